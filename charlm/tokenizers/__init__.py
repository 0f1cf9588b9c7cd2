"""Text to ids and back, without loss. To add a tokenizer: a file in this folder and a line in `TOKENIZERS`."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from charlm.config import TokenizerConfig
from charlm.errors import ConfigError, RunError
from charlm.registry import lookup
from charlm.tokenizers.base import TextStream, Tokenizer
from charlm.tokenizers.byte import ByteTokenizer
from charlm.tokenizers.char import CharTokenizer
from charlm.tokenizers.saved import FORMAT, field, load_json, shortened
from charlm.tokenizers.sentencepiece import BpeTokenizer, UnigramTokenizer

TOKENIZERS: dict[str, type[Tokenizer]] = {
    "bpe": BpeTokenizer,
    "byte": ByteTokenizer,
    "char": CharTokenizer,
    "unigram": UnigramTokenizer,
}


def parse_spec(text: str) -> tuple[type[Tokenizer], int | None]:
    """What ``char``, ``byte``, ``bpe:1000`` or ``unigram:8000`` asks for: the class, and the size if it has one.

    Raises:
        ConfigError: no such family, a size where there is none, none where one is needed, or one out of range.
    """
    family, colon, digits = text.strip().partition(":")
    chosen = lookup(TOKENIZERS, family, "tokenizer")
    if chosen.sizes is None:
        if colon:
            raise ConfigError(f"tokenizer {family} has no size: write just {family}, was {text[:40]!r}")
        return chosen, None
    low, high = chosen.sizes
    if not colon:
        raise ConfigError(f"tokenizer {family} needs a size, for instance {family}:1000")
    # subtle: isdigit alone takes other scripts' digits, and int() refuses thousands of them
    if not (digits.isascii() and digits.isdigit() and len(digits) <= 9 and low <= int(digits) <= high):
        raise ConfigError(f"tokenizer {family} needs a size in [{low}, {high}], was {digits[:40]!r}")
    return chosen, int(digits)


def train_tokenizer(config: TokenizerConfig, chunks: Iterable[str]) -> Tokenizer:
    """The tokenizer that `config` asks for, learnt from the text that `chunks` add up to; memory stays flat.

    Raises:
        ConfigError: a spec such as ``bpe`` or ``char:5`` that says nothing, or a size that this text cannot fill.
        TokenizerError: a text with nothing to learn from.
    """
    chosen, size = parse_spec(config.tokenizer)
    return chosen.train(config, size, chunks)


def load_tokenizer(folder: Path, fingerprint: str | None = None) -> Tokenizer:
    """The tokenizer that `Tokenizer.save` wrote into `folder`.

    Args:
        fingerprint: what the model was trained with, where that is known; any other vocabulary is refused.

    Raises:
        RunError: absent, damaged, or of another kind or model; names file and field.
    """
    path = folder / "tokenizer.json"
    values = load_json(path)
    found = field(values, "format", int, path)
    if found != FORMAT:
        raise RunError(f"{path}: format is {shortened(found)}, this version of charlm reads {FORMAT}")
    family: str = field(values, "tokenizer", str, path)
    if family not in TOKENIZERS:
        raise RunError(f"{path}: tokenizer must be one of {', '.join(TOKENIZERS)}, was {shortened(family)}")
    tokenizer = TOKENIZERS[family].from_json(values, path)
    if fingerprint is not None and fingerprint != tokenizer.fingerprint:
        raise RunError(f"{path}: the vocabulary does not match the model: it is another one's")
    return tokenizer


__all__ = [
    "TOKENIZERS",
    "BpeTokenizer",
    "ByteTokenizer",
    "CharTokenizer",
    "TextStream",
    "Tokenizer",
    "UnigramTokenizer",
    "load_tokenizer",
    "parse_spec",
    "train_tokenizer",
]
