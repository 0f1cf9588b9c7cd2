"""Characters: one id per distinct character of the training text that is not too rare, and byte ids for all others."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from charlm.config import TokenizerConfig
from charlm.errors import ConfigError, RunError, TokenizerError
from charlm.tokenizers.base import UNKNOWN, Ids, Tokenizer
from charlm.tokenizers.byte import BYTES
from charlm.tokenizers.escapes import refuse_ambiguous, refuse_surrogates
from charlm.tokenizers.rare import least_count
from charlm.tokenizers.saved import field, no_other_fields, shortened

Codes = npt.NDArray[np.uint32]

_CODES = 0x110000
_SURROGATES = slice(0xD800, 0xE000)
#: Characters handled at a time: they stay in the processor's cache, and pure ASCII takes a faster path.
_PIECE = 1 << 16
#: In the table of ASCII ids, a character outside the vocabulary; the ids themselves are below 128.
_MISSING = 255


class CharTokenizer(Tokenizer):
    """One id per character, sorted by code point; with `unknown` = ``bytes``, 256 byte ids after them.

    Raw bytes (U+DC80..U+DCFF) are never members: they are written as the byte ids they stand for.
    """

    family = "char"
    name = "char"

    def __init__(self, characters: str, unknown: str = "bytes", min_count: int = 1) -> None:
        """A vocabulary of these characters.

        Args:
            characters: the members, sorted by code point, each once, none a surrogate.
            min_count: rarer characters of the text it was learnt from were left out.
        """
        self.characters = characters
        self.unknown = unknown
        self.min_count = min_count
        members = [character.encode("utf-8") for character in characters]
        if unknown == "bytes":
            self.spelling = slice(len(members), len(members) + len(BYTES))
            members += BYTES
        super().__init__(members)
        # (0x110000,) id of each code point; V stands for "not in the vocabulary"
        self._table = np.full(_CODES, self.vocab_size, dtype=np.min_scalar_type(self.vocab_size))
        self._table[_codes(characters)] = np.arange(len(characters), dtype=self._table.dtype)
        first = self._table[:128]
        self._ascii = np.where(first == self.vocab_size, _MISSING, first).astype(np.uint8).tobytes().ljust(256)

    @classmethod
    def train(cls, config: TokenizerConfig, size: int | None, chunks: Iterable[str]) -> CharTokenizer:
        counts = np.zeros(_CODES, dtype=np.int64)
        for chunk in chunks:
            _count(chunk, counts)
        counts[_SURROGATES] = 0
        least = config.min_count
        if least is None:
            there = np.flatnonzero(counts).astype(np.uint32)
            # what cannot be written as bytes would be lost
            least = least_count(counts[there], _byte_lengths(there)) if config.unknown == "bytes" else 1
        if not ((counts > 0) & (counts < least)).any():
            least = 1  # it leaves none out
        members = "".join(map(chr, np.flatnonzero(counts >= least).tolist()))
        if not members and config.unknown != "bytes":
            if not counts.any():
                raise TokenizerError(f"this text has no characters: --unknown {config.unknown} leaves nothing to learn")
            raise ConfigError(f"min_count {least} leaves no character: the most frequent occurs {counts.max()} times")
        return cls(members, config.unknown, least)

    @classmethod
    def from_json(cls, values: dict[str, Any], where: Path) -> CharTokenizer:
        no_other_fields(values, ("characters", "unknown", "min_count"), where)
        characters: str = field(values, "characters", str, where)
        unknown: str = field(values, "unknown", str, where)
        if unknown not in UNKNOWN:
            raise RunError(f"{where}: unknown must be one of {', '.join(UNKNOWN)}")
        if not characters and unknown != "bytes":
            raise RunError(f"{where}: characters is empty")
        _check_members(characters, where)
        min_count: int = field({"min_count": 1, **values}, "min_count", int, where)
        if min_count < 1:
            raise RunError(f"{where}: min_count must be at least 1, was {shortened(min_count)}")
        return cls(characters, unknown, min_count)

    def _settings(self) -> dict[str, Any]:
        # subtle: a vocabulary of all characters is saved as it was before there was a least count
        least = {"min_count": self.min_count} if self.min_count > 1 else {}
        return {"unknown": self.unknown, **least, "characters": self.characters}

    def _encode(self, text: str, unknown: str) -> Ids:
        if unknown == "bytes" and self.unknown != "bytes":
            raise ConfigError("unknown cannot be bytes: this vocabulary was made without byte ids; use drop or error")
        found = [self._encode_piece(text, at, piece, unknown) for at, piece in _cut(text)]
        return found[0] if len(found) == 1 else np.concatenate([np.empty(0, self.dtype), *found])

    def _encode_piece(self, text: str, start: int, piece: str, unknown: str) -> Ids:
        """Ids of `piece`, which stands in `text` at `start`."""
        if piece.isascii():
            ids: Ids = np.frombuffer(piece.encode("ascii").translate(self._ascii), dtype=np.uint8)
            if not (ids == _MISSING).any():
                return ids.astype(self.dtype, copy=False)
        codes = _codes(piece)
        ids = np.take(self._table, codes)
        missing = np.flatnonzero(ids == self.vocab_size)
        if len(missing) and unknown == "error":
            raise _unknown_character(int(codes[missing[0]]), start + int(missing[0]), self.unknown == "bytes")
        if len(missing) and unknown == "drop":
            ids = np.delete(ids, missing)
        elif len(missing):
            refuse_surrogates(piece, start)
            # subtle: raw bytes that form a character may go on in the next piece, by three at most
            refuse_ambiguous(text[start : start + len(piece) + 3], start)
            ids = self._with_bytes(ids, codes, missing)
        return ids.astype(self.dtype, copy=False)

    def _with_bytes(self, ids: Ids, codes: Codes, missing: npt.NDArray[np.intp]) -> Ids:
        """Put the bytes of the characters at `missing` (M,) in their places among `ids` (N,)."""
        lengths = np.ones(len(ids), dtype=np.intp)
        lengths[missing] = _byte_lengths(codes[missing])
        filled = np.repeat(ids, lengths)
        characters = codes[missing].tobytes().decode("utf-32-le", "surrogatepass")
        data = np.frombuffer(characters.encode("utf-8", "surrogateescape"), dtype=np.uint8)
        filled[filled == self.vocab_size] = data.astype(self._table.dtype) + len(self.characters)
        return filled


def _check_members(characters: str, where: Path) -> None:
    codes = _codes(characters)
    if (codes[1:] <= codes[:-1]).any():
        raise RunError(f"{where}: characters must be sorted by code point, each once")
    if ((codes >= _SURROGATES.start) & (codes < _SURROGATES.stop)).any():
        raise RunError(f"{where}: characters holds half of a surrogate pair")


def _cut(text: str) -> Iterator[tuple[int, str]]:
    for at in range(0, len(text), _PIECE):
        yield at, text[at : at + _PIECE]


def _codes(text: str) -> Codes:
    """Code points (N,) of a text, lone surrogates included."""
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4")


def _byte_lengths(codes: Codes) -> npt.NDArray[np.intp]:
    """UTF-8 bytes of each code point; a raw byte is one."""
    lengths = np.searchsorted([0x80, 0x800, 0x10000], codes, side="right") + 1
    lengths[(codes >= _SURROGATES.start) & (codes < _SURROGATES.stop)] = 1
    return lengths


def _count(text: str, counts: npt.NDArray[np.int64]) -> None:
    """Add how often each code point occurs in `text` to `counts` (0x110000,)."""
    for _, piece in _cut(text):
        ascii_only = piece.isascii()
        codes = np.frombuffer(piece.encode("ascii"), dtype=np.uint8) if ascii_only else _codes(piece)
        found = np.bincount(codes)
        counts[: len(found)] += found


def _unknown_character(code: int, position: int, has_bytes: bool) -> TokenizerError:
    """`has_bytes`: whether the vocabulary has byte ids; without them, `unknown` cannot be bytes any more."""
    shown = f"{chr(code)!r} (U+{code:04X})" if not 0xD800 <= code < 0xE000 else f"U+{code:04X}"
    as_bytes = "--unknown bytes writes it as bytes" if has_bytes else "a run trained with --unknown bytes can write it"
    return TokenizerError(
        f"character {shown} at position {position} is not in the vocabulary; {as_bytes}, --unknown drop leaves it out",
        position,
    )
