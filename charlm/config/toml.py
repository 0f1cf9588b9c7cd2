"""Small TOML files, which a person wrote or somebody sent: read within bounds, every failure one line."""

from __future__ import annotations

import codecs
import re
import sys
from pathlib import Path
from typing import Any

from charlm.errors import ConfigError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

# Bytes in all, so that names of as many texts fit as a run can keep; and of those that are no string, for of keys and
# tables the parser remembers many times their size.
LARGEST, LARGEST_BARE = 1 << 21, 1 << 17
# The parser remembers every beginning of a dotted key: ``a.a.a...`` of 64 KB would take 4 GB.
MOST_DOTS = 100
# those that end in their line
_STRINGS = re.compile(rb'"(?:[^"\\\n]|\\.)*"|\'[^\'\n]*\'')


def read_toml(path: Path) -> dict[str, Any]:
    """The content of a TOML file.

    Raises:
        ConfigError: it cannot be read, is too large for what people write, or is not TOML.
    """
    where = repr(str(path))
    try:
        with open(path, "rb") as file:
            content = file.read(LARGEST + 1).removeprefix(codecs.BOM_UTF8)  # which some editors write
    except (OSError, ValueError) as error:  # a NUL in the name
        raise ConfigError(f"cannot read {where}: {getattr(error, 'strerror', None) or error}") from None
    if len(content) > LARGEST:
        raise ConfigError(f"{where} is not valid TOML for charlm: it is longer than {LARGEST} bytes")
    # after a string of several lines it cannot be told what is inside of one
    several = b'"""' in content or b"'''" in content
    bare = content if several else _STRINGS.sub(b"", content)
    if len(bare) > LARGEST_BARE:
        raise ConfigError(
            f"{where} is not valid TOML for charlm: beside strings it is longer than {LARGEST_BARE} bytes"
        )
    for number, line in enumerate(bare.split(b"\n"), start=1):
        if line.count(b".") > MOST_DOTS and not line.lstrip().startswith(b"#"):
            raise ConfigError(f"{where} is not valid TOML for charlm: line {number} has more than {MOST_DOTS} dots")
    try:
        values: dict[str, Any] = tomllib.loads(content.decode())
    # a number of many thousand digits is a plain ValueError
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{where} is not valid TOML: {_brief(error)}") from None
    return values


def _brief(error: Exception) -> str:
    """The parser's words, in one line, however long the key that it names."""
    words = " ".join(str(error).split())
    return words if len(words) <= 200 else f"{words[:197]}..."
