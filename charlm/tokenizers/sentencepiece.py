"""Sub-word pieces by sentencepiece: unigram (Kudo, 2018, arXiv:1804.10959) and bpe (Sennrich et al., 2016,
arXiv:1508.07909), set up so that nothing is lost.

No normalisation, no dummy prefix, spaces kept, every byte an id. sentencepiece writes a space as U+2581, so a
U+2581 of the text itself never reaches it: that, line ends, raw bytes and the like are written as byte ids here.
Its id 0, "unknown", cannot occur and is left out: our id is sentencepiece's less one.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from charlm.config import TokenizerConfig
from charlm.errors import RunError, TokenizerError
from charlm.tokenizers.base import Ids, Tokenizer
from charlm.tokenizers.byte import BYTE_IDS, BYTES
from charlm.tokenizers.escapes import to_bytes
from charlm.tokenizers.saved import LARGEST_MODEL, field, no_other_fields, read_file

_SPACE = "\u2581"
#: What is never given to sentencepiece: line ends, its sign for a space, raw bytes, its names of bytes.
_APART = "[\n\u2581\udc80-\udcff]+|<0x[0-9A-F]{2}>"
#: Longer lines are cut here, so that time and memory stay linear in the text.
_LONGEST_LINE = 4096
_ENCODED_AT_ONCE = 1 << 18


class SentencePieceTokenizer(Tokenizer):
    """Base of the two families. Ids 0..255 are the bytes, the learnt pieces follow."""

    sizes = (BYTE_IDS + 1, 1_000_000)

    def __init__(self, model: bytes) -> None:
        """`model`: sentencepiece's own serialised form. Raises RuntimeError or ValueError where it is not one."""
        import sentencepiece

        self._model = model
        self._processor = sentencepiece.SentencePieceProcessor(model_proto=model)
        super().__init__(_pieces(self._processor))
        # subtle: where no space was learnt, sentencepiece would spell its sign for one in bytes
        learnt = self._processor.piece_to_id(_SPACE) > BYTE_IDS
        self._apart = re.compile(f"({_APART})" if learnt else f"( +|{_APART})")
        self.name = f"{self.family}:{self.vocab_size}"

    @classmethod
    def train(cls, config: TokenizerConfig, size: int | None, chunks: Iterable[str]) -> SentencePieceTokenizer:
        from charlm.tokenizers.sentencepiece_training import train_model

        assert size is not None  # the spec parser sees to it
        return cls(train_model(cls.family, size, config.min_count or 1, chunks))

    @classmethod
    def from_json(cls, values: dict[str, Any], where: Path) -> SentencePieceTokenizer:
        no_other_fields(values, ("vocab_size", "model_sha256"), where)
        size: int = field(values, "vocab_size", int, where)
        sha256: str = field(values, "model_sha256", str, where)
        path = where.with_name("tokenizer.model")
        model = read_file(path, LARGEST_MODEL)
        if hashlib.sha256(model).hexdigest() != sha256:
            raise RunError(f"{path}: damaged, or of another model: its SHA-256 is not the one in {where.name}")
        try:
            tokenizer = cls(model)
        except (RuntimeError, ValueError, UnicodeDecodeError) as error:
            raise RunError(f"{path}: no sentencepiece model of charlm: {_first_line(error)}") from None
        if tokenizer.vocab_size != size:
            raise RunError(f"{where}: vocab_size is {size}, but {path.name} holds {tokenizer.vocab_size} pieces")
        return tokenizer

    def _settings(self) -> dict[str, Any]:
        return {"vocab_size": self.vocab_size, "model_sha256": hashlib.sha256(self._model).hexdigest()}

    def to_files(self) -> dict[str, bytes]:
        return {**super().to_files(), "tokenizer.model": self._model}

    def _encode(self, text: str, unknown: str) -> Ids:
        data = to_bytes(text, unknown)
        if unknown == "drop":
            text = data.decode("utf-8", "surrogateescape")
        parts = [self._encode_lines(text[at : at + _ENCODED_AT_ONCE]) for at in range(0, len(text), _ENCODED_AT_ONCE)]
        ids = np.concatenate([np.empty(0, self.dtype), *parts])
        self._prove(ids, data)
        return ids

    def _encode_lines(self, text: str) -> Ids:
        pieces = self._apart.split(text)  # a line, what stands apart, a line, ..., a line
        if max(map(len, pieces)) > _LONGEST_LINE:
            pieces = list(_shortened(pieces))
        lines = self._processor.encode(pieces[::2], out_type=int, num_threads=1)
        ids: list[int] = []
        for line, apart in zip(lines, [*pieces[1::2], ""], strict=True):
            ids += line
            ids += [value + 1 for value in apart.encode("utf-8", "surrogateescape")]
        return (np.array(ids, dtype=np.int64) - 1).astype(self.dtype)

    def _prove(self, ids: Ids, data: bytes) -> None:
        """No trust without proof: what sentencepiece made must spell the text, byte for byte."""
        back = self.decode_bytes(ids)
        if back != data:
            differ = (at for at, (was, now) in enumerate(zip(data, back, strict=False)) if was != now)
            position = len(data[: next(differ, len(back))].decode("utf-8", "replace"))
            raise TokenizerError(
                f"character at position {position} cannot be represented by this {self.family} model", position
            )


class BpeTokenizer(SentencePieceTokenizer):
    """Byte-pair encoding: the most frequent pair is merged, again and again."""

    family = "bpe"


class UnigramTokenizer(SentencePieceTokenizer):
    """Unigram: the likeliest segmentation under a vocabulary pruned from a large one."""

    family = "unigram"


def _shortened(pieces: list[str]) -> Iterator[str]:
    """The same text and the same alternation, long lines cut with nothing between."""
    for number, piece in enumerate(pieces):
        yield piece[:_LONGEST_LINE] if number % 2 == 0 else piece
        for at in range(_LONGEST_LINE, len(piece) if number % 2 == 0 else 0, _LONGEST_LINE):
            yield ""
            yield piece[at : at + _LONGEST_LINE]


def _pieces(processor: Any) -> list[bytes]:
    """The bytes of each of our ids, or ValueError where the model is not one that charlm trained."""
    count = processor.vocab_size()
    if count <= BYTE_IDS or any(processor.id_to_piece(i + 1) != f"<0x{i:02X}>" for i in range(BYTE_IDS)):
        raise ValueError("ids 1 to 256 are not the bytes")
    learnt = range(BYTE_IDS + 1, count)
    if any(processor.is_byte(i) or processor.is_control(i) or processor.is_unknown(i) for i in learnt):
        raise ValueError("control or byte pieces among the learnt ones")
    return [*BYTES, *(processor.id_to_piece(i).replace(_SPACE, " ").encode("utf-8") for i in learnt)]


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
