"""Text to ids and back, without loss. To add a tokenizer: a file in this folder and a line in `TOKENIZERS`."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from charlm.config import TokenizerConfig
from charlm.errors import RunError
from charlm.registry import lookup
from charlm.tokenizers.base import TextStream, Tokenizer
from charlm.tokenizers.byte import ByteTokenizer
from charlm.tokenizers.char import CharTokenizer
from charlm.tokenizers.saved import FORMAT, field, load_json
from charlm.tokenizers.sentencepiece import BpeTokenizer, UnigramTokenizer
from charlm.tokenizers.spec import TokenizerSpec, parse_spec

TOKENIZERS: dict[str, type[Tokenizer]] = {
    "bpe": BpeTokenizer,
    "byte": ByteTokenizer,
    "char": CharTokenizer,
    "unigram": UnigramTokenizer,
}


def train_tokenizer(config: TokenizerConfig, chunks: Iterable[str]) -> Tokenizer:
    """The tokenizer that `config` asks for, learnt from the text that `chunks` add up to; memory stays flat.

    Raises:
        ConfigError: a spec such as ``bpe`` or ``char:5`` that says nothing, or a size that this text cannot fill.
        TokenizerError: a text with nothing to learn from.
    """
    spec = parse_spec(config.tokenizer)
    return lookup(TOKENIZERS, spec.family, "tokenizer").train(config, spec.size, chunks)


def load_tokenizer(folder: Path) -> Tokenizer:
    """The tokenizer that `Tokenizer.save` wrote into `folder`.

    Raises:
        RunError: absent, damaged or of another kind; names file and field.
    """
    path = folder / "tokenizer.json"
    values = load_json(path)
    found = field(values, "format", int, path)
    if found != FORMAT:
        raise RunError(f"{path}: format {found} is not {FORMAT}, the one this version of charlm reads")
    family: str = field(values, "tokenizer", str, path)
    if family not in TOKENIZERS:
        raise RunError(f"{path}: tokenizer must be one of {', '.join(TOKENIZERS)}, was {family[:40]!r}")
    return TOKENIZERS[family].from_json(values, path)


__all__ = [
    "TOKENIZERS",
    "BpeTokenizer",
    "ByteTokenizer",
    "CharTokenizer",
    "TextStream",
    "Tokenizer",
    "TokenizerSpec",
    "UnigramTokenizer",
    "load_tokenizer",
    "parse_spec",
    "train_tokenizer",
]
