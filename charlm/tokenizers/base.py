"""What every tokenizer is and can do, written in terms of the bytes that each id stands for."""

from __future__ import annotations

import codecs
import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from charlm.config import TokenizerConfig
from charlm.errors import ConfigError, TokenizerError
from charlm.tokenizers.saved import FORMAT, dump_json, write_file

Ids = npt.NDArray[Any]
UNKNOWN = ("bytes", "drop", "error")
#: A long text is decoded so many ids at a time, by table where no id spells more than a character.
_DECODED_AT_ONCE = 1 << 16
_LONGEST_SPELLED = 4


class Tokenizer(ABC):
    """Text to ids and back, without loss: ``decode(encode(text)) == text``, or a `TokenizerError`.

    Letters: V the size of the vocabulary. The characters U+DC80..U+DCFF stand for single raw bytes
    0x80..0xFF that are not valid UTF-8 (Python's "surrogateescape"), as in texts read with `--bytes`.

    Attributes:
        family: the name in the table `TOKENIZERS`.
        sizes: smallest and largest number after the colon of a spec; None where the family has no size.
        name: what `--tokenizer` would be given to get one like it, for instance ``bpe:1000``.
        unknown: what `encode` does with characters outside the vocabulary unless told otherwise.
        min_count: characters that were rarer in the text it was learnt from have no id; 1 where all have.
        spelling: ids that spell what the vocabulary lacks, byte by byte; none where it lacks nothing or drops it.
    """

    family: ClassVar[str]
    sizes: ClassVar[tuple[int, int] | None] = None
    name: str
    unknown: str = "bytes"
    min_count: int = 1
    spelling: slice = slice(0)

    def __init__(self, pieces: Sequence[bytes]) -> None:
        # subtle: no copy of a list, for a vocabulary may be all of Unicode
        self._pieces = pieces if isinstance(pieces, list) else list(pieces)
        self.vocab_size = len(self._pieces)
        #: smallest of uint8, uint16, uint32 that holds V ids; what `encode` returns
        self.dtype: np.dtype[Any] = np.min_scalar_type(max(0, self.vocab_size - 1))

    @classmethod
    @abstractmethod
    def train(cls, config: TokenizerConfig, size: int | None, chunks: Iterable[str]) -> Tokenizer:
        """A tokenizer for the text that `chunks` add up to. `size` is the number after the colon."""

    @classmethod
    @abstractmethod
    def from_json(cls, values: dict[str, Any], where: Path) -> Tokenizer:
        """The tokenizer that `to_json` described; `where` is its file. Damage is a `RunError`."""

    @abstractmethod
    def _settings(self) -> dict[str, Any]:
        """What `to_json` has to hold beside the family: no more than is needed to make it again."""

    @abstractmethod
    def _encode(self, text: str, unknown: str) -> Ids:
        """Ids (N,) of `text` in `self.dtype`, under the policy `unknown`."""

    def encode(self, text: str, unknown: str | None = None) -> Ids:
        """Ids (N,) of `text`, in the smallest unsigned type that holds V.

        Args:
            unknown: for characters outside the vocabulary: ``bytes`` (write them as UTF-8 bytes), ``drop``
                or ``error``; None for the policy the tokenizer was made with.

        Raises:
            TokenizerError: a character that cannot be represented, with its position.
        """
        policy = self.unknown if unknown is None else unknown
        if policy not in UNKNOWN:
            raise ConfigError(f"unknown must be one of {', '.join(UNKNOWN)}, was {policy!r}")
        ids = self._encode(text, policy)
        return ids if ids.flags.writeable else ids.copy()

    def encode_chunks(self, chunks: Iterable[str], unknown: str | None = None, start: int = 0) -> Iterator[Ids]:
        """`encode` for each of `chunks`, whose errors give places in the text that they are a part of.

        Args:
            start: how many characters of the text stand before the first chunk.
        """
        for chunk in chunks:
            try:
                yield self.encode(chunk, unknown)
            except TokenizerError as error:
                raise error.further_on(start) from None
            start += len(chunk)

    @property
    def unknown_in_prompts(self) -> str:
        """What `encode` is told for a prompt where nobody says: bytes mean something only to who learnt some."""
        return "bytes" if self.min_count > 1 and self.unknown == "bytes" else "error"

    @property
    def line_end(self) -> Ids:
        """What a model reads before a text that begins: the end of a line; in a vocabulary that has none, id 0."""
        try:
            return self.encode("\n", self.unknown_in_prompts)
        except TokenizerError:
            return np.zeros(1, dtype=self.dtype)

    def decode(self, ids: npt.ArrayLike) -> str:
        """The text of `ids` (N,); bytes that are not UTF-8 become U+DC80..U+DCFF.

        Raises:
            TokenizerError: an id outside the vocabulary.
        """
        return self.decode_bytes(ids).decode("utf-8", "surrogateescape")

    def decode_bytes(self, ids: npt.ArrayLike) -> bytes:
        """The bytes of `ids` (N,): the text as UTF-8, raw bytes as they are."""
        array = self._checked(ids)
        if len(array) < _DECODED_AT_ONCE or int(self.bytes_per_id.max()) > _LONGEST_SPELLED:
            return b"".join(map(self._pieces.__getitem__, array.tolist()))
        parts = (array[at : at + _DECODED_AT_ONCE] for at in range(0, len(array), _DECODED_AT_ONCE))
        return b"".join(map(self._spell, parts))

    def _spell(self, ids: Ids) -> bytes:
        spelled, used = self._spelling
        if not used[:, 1][ids].any():  # the common case, four times as fast
            return spelled[:, 0][ids].tobytes()
        return spelled[ids][used[ids]].tobytes()

    @cached_property
    def _spelling(self) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.bool_]]:
        """The bytes of every id side by side, (V, 4), and which of those places it has."""
        spelled = [np.frombuffer(piece.ljust(_LONGEST_SPELLED, b"\0"), dtype=np.uint8) for piece in self._pieces]
        return np.stack(spelled), np.arange(_LONGEST_SPELLED) < self.bytes_per_id[:, None]

    def pieces(self, ids: npt.ArrayLike) -> list[str]:
        """One text per id, for display: its characters, or ``<0xE2>`` for a byte of a longer character."""
        return [_shown(self._pieces[index]) for index in self._checked(ids).tolist()]

    def stream(self) -> TextStream:
        """Makes text of ids that come one at a time."""
        return TextStream(self)

    @cached_property
    def bytes_per_id(self) -> npt.NDArray[np.int32]:
        """(V,) UTF-8 bytes that each id stands for."""
        return np.array([len(piece) for piece in self._pieces], dtype=np.int32)

    @cached_property
    def characters_per_id(self) -> npt.NDArray[np.int32]:
        """(V,) characters that each id stands for; a character in several byte ids counts at its first byte.

        Sums are exact for all text that is valid UTF-8. In raw bytes a stray continuation byte
        (0x80..0xBF) counts no character: use the bytes there.
        """
        return np.array([sum(byte & 0xC0 != 0x80 for byte in piece) for piece in self._pieces], dtype=np.int32)

    def to_json(self) -> dict[str, Any]:
        """All that `tokenizer.json` holds."""
        return {"format": FORMAT, "tokenizer": self.family, **self._settings()}

    def to_files(self) -> dict[str, bytes]:
        """The files that `save` writes: content by name."""
        return {"tokenizer.json": dump_json(self.to_json())}

    def save(self, folder: Path) -> None:
        """Write `tokenizer.json` (and `tokenizer.model`) into an existing folder, flushed to the disk."""
        for name, content in self.to_files().items():
            write_file(folder / name, content)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the saved form; equal when and only when the vocabulary and its use are equal."""
        canonical = json.dumps(self.to_json(), sort_keys=True, ensure_ascii=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()

    def piece_bytes(self, index: int) -> bytes:
        """The bytes of one id."""
        if not 0 <= index < self.vocab_size:
            raise TokenizerError(f"id {index} is outside the vocabulary of {self.vocab_size}")
        return self._pieces[index]

    def _checked(self, ids: npt.ArrayLike) -> Ids:
        array = np.asarray(ids)
        if array.size == 0:
            return np.empty(0, dtype=self.dtype)
        if array.ndim != 1 or array.dtype.kind not in "iu":
            raise TokenizerError(f"ids must be a row of whole numbers, was {array.dtype} of shape {array.shape}")
        if int(array.min()) < 0 or int(array.max()) >= self.vocab_size:
            position = int(np.argmax((array < 0) | (array >= self.vocab_size)))
            raise TokenizerError(
                f"id {array[position]} at position {position} is outside the vocabulary of {self.vocab_size}"
            )
        return array


class TextStream:
    """Text of ids that come one at a time: only whole characters leave, invalid UTF-8 as U+FFFD."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def feed(self, index: int) -> str:
        """The characters that this id completes; may be empty."""
        return self._decoder.decode(self._tokenizer.piece_bytes(index))

    def finish(self) -> str:
        """What an unfinished character at the end becomes."""
        return self._decoder.decode(b"", final=True)


def _shown(piece: bytes) -> str:
    try:
        return piece.decode("utf-8")
    except UnicodeDecodeError:
        return "".join(f"<0x{byte:02X}>" for byte in piece)
