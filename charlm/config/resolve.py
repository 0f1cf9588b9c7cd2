"""Put a configuration together from its layers, and remember where each value came from.

Later layers win: default < preset < file < environment (CHARLM_*) < flag.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from charlm.config.sections import CHOSEN, SECTIONS, Config
from charlm.config.settings import Setting, settings_of, shown
from charlm.config.toml import read_toml
from charlm.errors import ConfigError
from charlm.registry import suggestion

# Environment variables that name folders, not settings.
FOLDER_VARIABLES = ("CHARLM_CACHE", "CHARLM_CHECKPOINTS", "CHARLM_CORPORA")
PREFIX = "CHARLM_"
# subtle: charlm config show would list them too, but not with that variable set
UNKNOWN_VARIABLE = ": unset it; charlm train --help lists the settings"


@dataclass(frozen=True, kw_only=True)
class Layer:
    """Some settings with a common origin (``flag``, ``file char.toml``, ``environment``)."""

    origin: str
    values: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Resolved:
    """A complete configuration and the origin of each of its settings, by name."""

    config: Config
    origins: Mapping[str, str]

    @property
    def free(self) -> tuple[str, ...]:
        """Settings that nobody asked for and a training may choose; a preset is fixed but for what cannot be."""
        origins = {name: ("default", "preset") if name == "batch_size" else ("default",) for name in CHOSEN}
        return choosable(self.config, [name for name in CHOSEN if self.origins[name].startswith(origins[name])])


def choosable(config: Config, names: Collection[str]) -> tuple[str, ...]:
    """Of settings that nobody asked for those that a training of the others may choose."""
    found = list(names)
    training = config.training
    by_steps = training.steps is not None or training.epochs is not None
    if "hidden_size" in found and by_steps and training.minutes is None:
        found.remove("hidden_size")  # what fits into the time
    if "epochs" in found and (by_steps or "hidden_size" not in found):
        found.remove("epochs")  # when a size that was chosen has learnt the text
    by_rule = training.optimizer in ("adamw", "muon")
    if "learning_rate" in found and not (by_rule and training.schedule in ("cosine", "linear")):
        found.remove("learning_rate")  # steps of another size, or that stay as large as they begin
    for name in ("weight_decay", "ngram_embedding_size"):
        if name in found and not by_rule:
            found.remove(name)
    if not (config.model.ngram_embedding_size or "ngram_embedding_size" in found):
        found = [name for name in found if name not in ("ngram_order", "ngram_rows")]
    return tuple(found)


def all_settings() -> dict[str, tuple[str, Setting]]:
    """Every setting of a `Config` as ``name -> (section, setting)``; names are unique across sections."""
    return {name: (section, known) for section, cls in SECTIONS.items() for name, known in settings_of(cls).items()}


def resolve(layers: Iterable[Layer]) -> Resolved:
    """Build the configuration; the last layer that names a setting gives its value.

    Raises:
        ConfigError: an unknown setting, or a value out of range; the message names the origin.
    """
    known = all_settings()
    origins = dict.fromkeys(known, "default")
    sections: dict[str, dict[str, Any]] = {section: {} for section in SECTIONS}
    for layer in layers:
        for name, value in layer.values.items():
            if name not in known:
                raise ConfigError(f"{layer.origin}: no setting {shown(name)}{suggestion(name, known)}")
            section, field = known[name]
            try:
                sections[section][name] = field.check(value)
            except ConfigError as error:
                raise error if layer.origin == "flag" else ConfigError(f"{layer.origin}: {error}") from None
            origins[name] = layer.origin
    built: dict[str, Any] = {name: SECTIONS[name](**values) for name, values in sections.items()}
    return Resolved(config=Config(**built), origins=origins)


def call_layer(texts: tuple[str, ...], settings: Mapping[str, Any]) -> Layer:
    """The settings of a call from Python: `texts` by their place, all others by name.

    Raises:
        ConfigError: the texts are given by name as well.
    """
    if texts and "corpus" in settings:
        raise ConfigError(f"give texts or corpus, not both, was {shown(texts)} and {shown(settings['corpus'])}")
    return Layer(origin="flag", values={"corpus": texts, **settings} if texts else settings)


def file_layer(path: Path) -> Layer:
    """The settings of a TOML file: keys at top level, or in their sections ``[model]``, ``[training]``, ...

    Raises:
        ConfigError: the file cannot be read or parsed, or names an unknown section or key.
    """
    content = read_toml(path)
    values = {key: value for key, value in content.items() if not isinstance(value, dict)}
    for key, value in content.items():
        if not isinstance(value, dict):
            continue
        if key in SECTIONS:
            _merge_section(values, key, value, path)
        else:
            raise ConfigError(
                f"{path}: no section {shown(key)}{suggestion(key, SECTIONS)}: choose {', '.join(SECTIONS)}"
            )
    return Layer(origin=f"file {path}", values=values)


def _merge_section(values: dict[str, Any], section: str, table: Mapping[str, Any], path: Path) -> None:
    home = {name: owner for name, (owner, _) in all_settings().items()}
    for name, value in table.items():
        if name in home and home[name] != section:
            raise ConfigError(f"{path} [{section}]: {name!r} belongs in [{home[name]}]")
        if name not in home:
            raise ConfigError(
                f"{path} [{section}]: no setting {shown(name)}{suggestion(name, settings_of(SECTIONS[section]))}"
            )
        if name in values:
            raise ConfigError(f"{path} [{section}]: {name!r} stands before all sections too: leave one out")
        values[name] = value


def environment_layer(environment: Mapping[str, str]) -> Layer:
    """The settings given as ``CHARLM_HIDDEN_SIZE=512`` in `environment`.

    Raises:
        ConfigError: a ``CHARLM_`` variable that is no setting, or a value that does not parse.
    """
    known = all_settings()
    values = {}
    for variable, text in environment.items():
        # subtle: names with a leading underscore belong to click's shell completion
        if not variable.startswith(PREFIX) or variable in FOLDER_VARIABLES:
            continue
        name = variable[len(PREFIX) :].lower()
        if name not in known:
            # subtle: compared without the prefix, which alone makes any two of them look alike
            choices = [*map(str.upper, known), *(folder.removeprefix(PREFIX) for folder in FOLDER_VARIABLES)]
            near = suggestion(name.upper(), choices, PREFIX)
            raise ConfigError(f"environment: {variable} is no setting{near or UNKNOWN_VARIABLE}")
        try:
            values[name] = known[name][1].parse(text)
        except ConfigError as error:
            raise ConfigError(f"environment {variable}: {error}") from None
    return Layer(origin="environment", values=values)


def to_toml(config: Config) -> str:
    """The configuration as a TOML file that `file_layer` reads back to the same values.

    Raises:
        ConfigError: a name of a file that is not UTF-8, which TOML cannot hold.
    """
    lines = []
    for section, values in config.to_json().items():
        lines.append(f"[{section}]")
        # TOML has no null: a setting that is left to its rule is left out
        lines += [f"{name} = {_toml_value(value)}" for name, value in values.items() if value is not None]
        lines.append("")
    return "\n".join(lines)


def _toml_value(value: Any) -> str:
    # TOML's strings, numbers, booleans and arrays are JSON's, but for DEL, which TOML wants escaped
    text = json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    try:
        text.encode()
    except UnicodeEncodeError:  # what stands for a byte of a file's name
        raise ConfigError(f"a TOML file cannot hold {shown(value)}, which is not UTF-8: rename the file") from None
    return text
