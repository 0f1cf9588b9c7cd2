"""A table of a TOML file whose keys are taken one by one, each with its type checked; what is left over is an error."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from charlm.config.settings import shown
from charlm.config.toml import read_toml
from charlm.corpora.reading import check_encoding
from charlm.errors import ConfigError, CorpusError
from charlm.registry import suggestion

LARGEST_NUMBER = 2**53


def read_table(path: Path) -> Table:
    """The content of a TOML file.

    Raises:
        CorpusError: the file cannot be read, is too large for a recipe, or is not TOML.
    """
    try:
        return Table(read_toml(path), str(path), "")
    except ConfigError as error:
        raise CorpusError(str(error)) from None


class Table:
    """One table of a TOML file. Every error names the file and the key."""

    def __init__(self, values: Mapping[str, Any], path: str, section: str) -> None:
        self.values = values
        self.path = path
        self.where = f"{path!r}{f' [{section}]' if section else ''}"
        self._known: list[str] = []

    def error(self, key: str, problem: str) -> CorpusError:
        """An error about `key`."""
        return CorpusError(f"{self.where}: {key} {problem}")

    def finish(self) -> None:
        """Raise `CorpusError` if the table has a key that nobody asked for."""
        for key in self.values:
            if key not in self._known:
                raise CorpusError(f"{self.where}: no key {shown(key)}{suggestion(key, self._known)}")

    def string(self, key: str, default: str | None = None) -> str:
        """A text; required when there is no default."""
        value = self._take(key, default)
        if not isinstance(value, str):
            raise self.error(key, f"must be text, was {shown(value)}")
        if default is None and not value:
            raise self.error(key, "must not be empty")
        return value

    def strings(self, key: str) -> tuple[str, ...]:
        """A list of texts, empty by default."""
        value = self._take(key, [])
        if not isinstance(value, list) or not all(isinstance(item, str) and item for item in value):
            raise self.error(key, f"must be a list of texts, was {shown(value)}")
        return tuple(value)

    def number(self, key: str, default: int | None) -> int | None:
        """A whole number above 0."""
        self._known.append(key)
        if key not in self.values:
            return default
        value = self.values[key]
        if not isinstance(value, int) or isinstance(value, bool) or not 0 < value <= LARGEST_NUMBER:
            raise self.error(key, f"must be a whole number above 0, was {shown(value)}")
        return value

    def sha256(self, key: str, required: bool = True) -> str | None:
        """64 hexadecimal digits, returned in lower case."""
        if not required and key not in self.values:
            self._known.append(key)
            return None
        value = self.string(key).lower()
        if not re.fullmatch(r"[0-9a-f]{64}", value):
            raise self.error(key, f"must be 64 hexadecimal digits, was {shown(value)}")
        return value

    def encoding(self, key: str, default: str) -> str:
        """The name of a text encoding."""
        value = self.string(key, default)
        try:
            return check_encoding(value)
        except ConfigError as error:
            raise self.error(key, str(error).removeprefix("encoding ")) from None

    def choice(self, key: str, default: str, choices: Iterable[str]) -> str:
        """A text that is one of `choices`."""
        value = self.string(key, default)
        names = sorted(choices)
        if value not in names:
            raise self.error(key, f"must be one of {', '.join(names)}, was {shown(value)}{suggestion(value, names)}")
        return value

    def table(self, key: str) -> Table:
        """A table within, empty by default."""
        value = self._take(key, {})
        if not isinstance(value, dict):
            raise self.error(key, f"must be a table, was {shown(value)}")
        return Table(value, self.path, key)

    def tables(self, key: str, required: bool = False) -> list[Table]:
        """The tables of ``[[key]]``."""
        value = self._take(key, None if required else [])
        if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
            raise self.error(key, f"must be tables, written [[{key}]], was {shown(value)}")
        if required and not value:
            raise self.error(key, "must not be empty")
        return [Table(item, self.path, f"{key} {number}") for number, item in enumerate(value, 1)]

    def _take(self, key: str, default: Any) -> Any:
        self._known.append(key)
        if key in self.values:
            return self.values[key]
        if default is None:
            raise self.error(key, f"is missing{suggestion(key, self.values.keys() - set(self._known))}")
        return default
