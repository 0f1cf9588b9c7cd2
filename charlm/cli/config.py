"""``charlm config``: every setting, its value and where that came from."""

from __future__ import annotations

from typing import Any

import click

from charlm.cli import console
from charlm.cli.command import Command, Group
from charlm.cli.completion import complete_texts
from charlm.cli.escape import escape_line
from charlm.cli.layers import config_options, resolve_layers
from charlm.cli.options import given, json_option
from charlm.config import SECTIONS, Config, Resolved, TokenizerConfig, settings_of, to_toml

COMMANDS = {"show": ("charlm.cli.config:show", "Show every setting and where its value came from.")}

EXAMPLES = (
    ("charlm config show", "what charlm train would use"),
    ("CHARLM_HIDDEN_SIZE=512 charlm config show --preset medium", "from variables and presets"),
    ("charlm config show --layers 3 > mine.toml", "a file for charlm train --config"),
)

config = Group(name="config", table=COMMANDS, help="Show settings.", examples=EXAMPLES[:1])


@click.command(cls=Command, examples=EXAMPLES)
@click.argument("text", nargs=-1, shell_complete=complete_texts)
@config_options
@json_option("{setting: {value, origin}} in JSON")
def show(text: tuple[str, ...], config_file: str | None, preset: str | None, json: bool, **settings: Any) -> None:
    """Show every setting that charlm train would use, with its origin, as TOML; what it chooses itself stays open.

    Flags go before environment (CHARLM_HIDDEN_SIZE=512), environment before file, file before preset,
    preset before default.
    """
    resolved = resolve_layers(given({"corpus": text, **settings}), config_file, preset)
    check_forms(resolved.config)
    if json:
        values = {name: value for section in resolved.config.to_json().values() for name, value in section.items()}
        values |= dict.fromkeys(left_open(resolved))
        console.print_json({name: {"value": value, "origin": resolved.origins[name]} for name, value in values.items()})
        return
    for line in annotated(resolved):
        console.print_line(line)


def check_forms(config: Config) -> None:
    """Check what the settings alone take for text: ``bpe:1000`` and ``90/5/5`` are read where they are used.

    Raises:
        ConfigError: what `charlm train` would say of it.
    """
    # subtle: only where it is not the default, for the room of tokenizers takes 0.1 s to open
    if config.tokenizer != TokenizerConfig():
        from charlm.tokenizers import parse_spec

        parse_spec(config.tokenizer.tokenizer)
    if config.corpus.split is not None:
        from charlm.corpora import parse_split

        parse_split(config.corpus.split)
    if config.corpus.encoding is not None:
        from charlm.corpora.reading import check_encoding

        check_encoding(config.corpus.encoding)


def left_open(resolved: Resolved) -> list[str]:
    """The settings that a training chooses, whose defaults are used only where it cannot."""
    tokenizer = resolved.config.tokenizer
    by_text = ("min_count",) if (tokenizer.tokenizer, tokenizer.unknown) == ("char", "bytes") else ()
    return [name for name in (*resolved.free, *by_text) if resolved.origins[name] == "default"]


def annotated(resolved: Resolved) -> list[str]:
    """The configuration as TOML, with the origin of each value as a comment; what is left to its rule too."""
    lines: list[str] = []
    assignments = dict(line.split(" = ", 1) for line in to_toml(resolved.config).split("\n") if " = " in line)
    origins = {**resolved.origins, **dict.fromkeys(left_open(resolved), "chosen by charlm train")}
    for name in left_open(resolved):
        assignments.pop(name, None)
    width = max(len(f"{name} = {value}") for name, value in assignments.items() if len(value) < 32)
    for section, cls in SECTIONS.items():
        lines += ["", f"[{section}]"] if lines else [f"[{section}]"]
        for name in settings_of(cls):
            value = assignments.get(name)
            shown = f"# {name}" if value is None else f"{name} = {value}"
            # a file may have any name, and this may become a file
            lines.append(f"{shown:<{width}}  # {escape_line(origins[name])}")
    return lines
