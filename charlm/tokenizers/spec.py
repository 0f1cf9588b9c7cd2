"""What `--tokenizer` says: a family, and a size where the family has one."""

from __future__ import annotations

from typing import NamedTuple

from charlm.errors import ConfigError
from charlm.registry import lookup

#: Smallest and largest size by family; None where the family has no size.
SIZES: dict[str, tuple[int, int] | None] = {
    "bpe": (257, 1_000_000),
    "byte": None,
    "char": None,
    "unigram": (257, 1_000_000),
}


class TokenizerSpec(NamedTuple):
    """``bpe:1000`` taken apart."""

    family: str
    size: int | None


def parse_spec(text: str) -> TokenizerSpec:
    """Read ``char``, ``byte``, ``bpe:1000`` or ``unigram:8000``, or raise `ConfigError` saying what is wrong."""
    family, colon, digits = text.strip().partition(":")
    limits = lookup(SIZES, family, "tokenizer")
    if limits is None:
        if colon:
            raise ConfigError(f"tokenizer {family} has no size: write just {family}, was {text!r}")
        return TokenizerSpec(family, None)
    low, high = limits
    if not colon:
        raise ConfigError(f"tokenizer {family} needs a size, for instance {family}:1000")
    # subtle: str.isdigit alone takes other scripts' digits, and int() refuses thousands of digits
    if not (digits.isascii() and digits.isdigit() and len(digits) <= 9 and low <= int(digits) <= high):
        raise ConfigError(f"tokenizer {family} needs a size in [{low}, {high}], was {digits[:40]!r}")
    return TokenizerSpec(family, int(digits))
