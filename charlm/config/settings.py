"""One setting: its type, range, help and group, written once beside the field and read by all.

`setting()` declares a dataclass field; `Setting` is what the command line, the TOML reader and the
checks read back from it. There is one validator: `Setting.check`.
"""

from __future__ import annotations

import dataclasses
import math
import types
import typing
from dataclasses import dataclass
from typing import Any, TypeVar

from charlm.errors import ConfigError
from charlm.registry import lookup, suggestion

SectionT = TypeVar("SectionT", bound="Section")

# No whole number may exceed this, whatever its field: it must fit arrays, seeds and JSON readers.
LARGEST = 2**63 - 1


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What is known of one field of a section."""

    name: str
    type: type  # bool, int, float, str, or tuple (of str)
    optional: bool
    default: Any
    help: str
    group: str
    common: bool
    minimum: float | None
    maximum: float | None
    above: float | None  # exclusive minimum
    below: float | None  # exclusive maximum
    choices: tuple[str, ...] | None
    names: tuple[str, ...] | None  # as `choices`, of what can be added to: a table in one of the rooms has them too

    def check(self, value: Any) -> Any:
        """Return `value` in the field's type.

        Raises:
            UnknownNameError: a name that is in no table; it lists them.
            ConfigError: any other value that cannot be, naming field, value and range.
        """
        if value is None:
            if self.optional:
                return None
            raise ConfigError(f"{self.name} must be {self.describe()}, was none")
        if self.type is tuple:
            if isinstance(value, str) or not all(isinstance(item, str) for item in _items(self, value)):
                raise ConfigError(f"{self.name} must be {self.describe()}, was {shown(value)}")
            return tuple(value)
        if self.type is float and isinstance(value, int) and not isinstance(value, bool) and abs(value) <= LARGEST:
            value = float(value)
        if not isinstance(value, self.type) or (isinstance(value, bool) and self.type is not bool):
            raise ConfigError(f"{self.name} must be {self.describe()}, was {shown(value)}")
        if isinstance(value, float | int) and not isinstance(value, bool) and not self._in_range(value):
            raise ConfigError(f"{self.name} must be {self.describe()}, was {shown(value)}")
        if self.choices is not None and value not in self.choices:
            hint = suggestion(str(value), self.choices)
            raise ConfigError(f"{self.name} must be {self.describe()}, was {shown(value)}{hint}")
        if self.names is not None:
            lookup(dict.fromkeys(self.names), str(value), self.name)
        return value

    def parse(self, text: str) -> Any:
        """Read a value from a flag's or environment variable's text, then check it."""
        if self.type is tuple:
            return self.check(tuple(text.split(",")) if text else ())
        if self.type is bool:
            words = {
                "1": True,
                "true": True,
                "yes": True,
                "on": True,
                "0": False,
                "false": False,
                "no": False,
                "off": False,
            }
            if text.strip().lower() not in words:
                raise ConfigError(f"{self.name} must be {self.describe()}, was {shown(text)}")
            return words[text.strip().lower()]
        if self.type in (int, float):
            try:
                return self.check(self.type(text))
            except ValueError:
                raise ConfigError(f"{self.name} must be {self.describe()}, was {shown(text)}") from None
        return self.check(text)

    def _in_range(self, value: float) -> bool:
        return (
            (abs(value) <= LARGEST if isinstance(value, int) else math.isfinite(value))
            and (self.minimum is None or value >= self.minimum)
            and (self.maximum is None or value <= self.maximum)
            and (self.above is None or value > self.above)
            and (self.below is None or value < self.below)
        )

    def describe(self) -> str:
        """The allowed values in words: ``a number in [0, 1)``."""
        if self.choices or self.names:
            return "one of " + ", ".join(self.choices or self.names or ())
        noun = {bool: "true or false", int: "a whole number", float: "a number", str: "text", tuple: "a list of texts"}[
            self.type
        ]
        low = self.minimum if self.minimum is not None else self.above
        high = self.maximum if self.maximum is not None else self.below
        if low is None and high is None:
            return noun
        if high is None:
            return f"{noun} {'>=' if self.minimum is not None else '>'} {low:g}"
        opening = "[" if self.minimum is not None else "("
        closing = "]" if self.maximum is not None else ")"
        # subtle: a large whole-number bound is printed in full, a float in its short form
        low_text, high_text = (f"{b}" if isinstance(b, int) else f"{b:g}" for b in (low, high))
        return f"{noun} in {opening}{low_text}, {high_text}{closing}"


def _items(field: Setting, value: Any) -> Any:
    if not isinstance(value, list | tuple):
        raise ConfigError(f"{field.name} must be {field.describe()}, was {shown(value)}")
    return value


def shown(value: Any) -> str:
    """A value as errors quote it: its literal form, cut when it is long."""
    if isinstance(value, int) and abs(value) > LARGEST:
        return f"a whole number of {value.bit_length()} bits"
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # a number of many thousand digits in a list; lists in lists
        text = f"a {type(value).__name__} that cannot be shown"
    return text if len(text) <= 60 else text[:57] + "..."


def flag_of(name: str) -> str:
    """The flag of a setting: ``hidden_size`` -> ``--hidden-size``."""
    return "--" + name.replace("_", "-")


def setting(
    default: Any,
    help: str,
    *,
    group: str,
    common: bool = False,
    minimum: float | None = None,
    maximum: float | None = None,
    above: float | None = None,
    below: float | None = None,
    choices: tuple[str, ...] | None = None,
    names: tuple[str, ...] | None = None,
) -> Any:
    """Declare a field: its default, its help line, the help group, and what values it takes."""
    metadata = {
        "help": help,
        "group": group,
        "common": common,
        "minimum": minimum,
        "maximum": maximum,
        "above": above,
        "below": below,
        "choices": choices,
        "names": names,
    }
    return dataclasses.field(default=default, metadata=metadata)


_KNOWN: dict[Any, dict[str, Setting]] = {}  # by section class: made once, read at every check


def settings_of(section: type[Section]) -> dict[str, Setting]:
    """The settings of a section class, by name, in order of declaration."""
    if section not in _KNOWN:
        _KNOWN[section] = _read_settings(section)
    return _KNOWN[section]


def _read_settings(section: type[Section]) -> dict[str, Setting]:
    hints = typing.get_type_hints(section)
    found = {}
    for field in dataclasses.fields(section):
        hint = hints[field.name]
        optional = isinstance(hint, types.UnionType)
        if optional:
            (hint,) = (option for option in typing.get_args(hint) if option is not type(None))
        kind = typing.get_origin(hint) or hint
        found[field.name] = Setting(
            name=field.name, type=kind, optional=optional, default=field.default, **field.metadata
        )
    return found


@dataclass(frozen=True, kw_only=True)
class Section:
    """Base of the sections: checks every field as it is made."""

    def __post_init__(self) -> None:
        for name, known in settings_of(type(self)).items():
            object.__setattr__(self, name, known.check(getattr(self, name)))

    @classmethod
    def from_mapping(cls: type[SectionT], values: typing.Mapping[str, Any], where: str) -> SectionT:
        """Make a section of a mapping; `where` names its origin in the error of an unknown key."""
        known = settings_of(cls)
        for key in values:
            if key not in known:
                raise ConfigError(f"{where}: no setting {shown(key)}{suggestion(key, known)}")
        return cls(**values)
