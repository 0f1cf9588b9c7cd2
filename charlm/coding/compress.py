"""Compressed files: a text coded under a model, and back, bit for bit on any machine.

    file   = "CLM1" identity block* end
    block  = 1 symbols lanes size* others-size others stream* checksum
    end    = 0 digest checksum

Numbers take seven bits a byte, lowest first. `identity` is the first 16 bytes of the model's SHA-256, `digest`
those of the text's; a checksum is the CRC-32 of all before it. A block has at most `MOST_BYTES` bytes of the text,
cut in lanes of equal length (the last may be shorter), each coded from the model's empty state.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import numpy.typing as npt

from charlm.coding.fields import FieldReader, FieldWriter
from charlm.coding.lanes import Advance, decode, encode, open_coding_engine
from charlm.coding.pieces import MOST_BYTES, Piece, join_piece, make_piece, read_pieces
from charlm.coding.ranges import BYTES_A_SYMBOL, STARTED
from charlm.coding.weights import MOST_SYMBOLS
from charlm.coding.whole import make_whole
from charlm.config import ModelConfig
from charlm.errors import ConfigError, CorpusError, RunError
from charlm.tokenizers import Tokenizer

MAGIC = b"CLM1"
IDENTITY = DIGEST = 16
END, BLOCK = 0, 1
LANE = 2**16
"""Symbols of a lane, at least."""
LANE_BYTES, LANES_SHARE = 5, 0.0005
"""What a lane costs, and what all of them may, of a block: there are fewer where the model needs few bits."""
MOST_LANES = MOST_BYTES // LANE
LARGEST_OTHERS = 10 * MOST_BYTES


class Sizes(NamedTuple):
    """What was compressed: bytes `before` and `after`, and the symbols that were coded."""

    before: int
    after: int
    symbols: int


class Coder:
    """A model that compresses texts. Texts that another one compressed it refuses."""

    def __init__(
        self,
        config: ModelConfig,
        arrays: Mapping[str, npt.NDArray[Any]],
        tokenizer: Tokenizer,
        *,
        engine: str = "auto",
        threads: int | None = None,
        on_compile: Callable[[], None] | None = None,
    ) -> None:
        """
        Args:
            arrays: the model's tensors by name.
            engine: auto, numba or numpy; the files are the same.
            threads: at most so many work on a text; None for all processors. The files are the same.
            on_compile: told when the loop has to be compiled, which takes seconds.

        Raises:
            RunError: a tensor that is missing, one too many, misshapen or not finite.
            ConfigError: a model that cannot be computed in whole numbers, or an engine that cannot be had.
        """
        if tokenizer.vocab_size > MOST_SYMBOLS:
            raise ConfigError(f"compress takes vocabularies of up to {MOST_SYMBOLS:,}, was {tokenizer.vocab_size:,}")
        whole = make_whole(config, arrays, tokenizer.vocab_size)
        self._tokenizer = tokenizer
        self._identity = hashlib.sha256(whole.identity + tokenizer.fingerprint.encode()).digest()[:IDENTITY]
        self._engine = open_coding_engine(whole, engine, threads, on_compile)

    def compress(self, source: BinaryIO, target: BinaryIO, advance: Advance | None = None) -> Sizes:
        """Read `source` to its end, whatever its bytes are, and write it to `target`, compressed.

        Memory is flat in the length of the text. `advance` is told how many symbols were coded since it was last.
        """
        out, digest, before, symbols = FieldWriter(target), hashlib.sha256(), 0, 0
        out.put(MAGIC + self._identity)
        for content in read_pieces(source):
            digest.update(content)
            piece = make_piece(self._tokenizer, content)
            self._put_block(out, piece, advance or _silent)
            before, symbols = before + len(content), symbols + len(piece.ids)
        out.put(bytes([END]) + digest.digest()[:DIGEST])
        out.put_checksum()
        return Sizes(before, out.size, symbols)

    def decompress(
        self, source: BinaryIO, target: BinaryIO, name: str = "the input", advance: Advance | None = None
    ) -> int:
        """Write the text that `compress` read, block by block; returns its bytes.

        What was written is right only if this returns. Memory is flat, whatever `source` holds.

        Args:
            name: of the source, for messages.

        Raises:
            CorpusError: no compressed text, damaged, or cut short.
            RunError: compressed with another model.
        """
        fields, digest, size = FieldReader(source, name), hashlib.sha256(), 0
        if fields.get(len(MAGIC)) != MAGIC:
            raise CorpusError(f"{name!r} is not a text that this version of charlm compressed")
        if fields.get(IDENTITY) != self._identity:
            raise RunError(
                f"{name!r} was compressed with another model: name its run, and its checkpoint as in --run RUN@STEP"
            )
        while fields.get_number(BLOCK) == BLOCK:
            content = self._get_block(fields, advance or _silent)
            digest.update(content)
            size += len(content)
            target.write(content)
        found = fields.get(DIGEST)
        fields.check()
        fields.end()
        if found != digest.digest()[:DIGEST]:
            raise fields.damaged("what it holds is not what was compressed")
        return size

    def _put_block(self, out: FieldWriter, piece: Piece, advance: Advance) -> None:
        count = len(piece.ids)
        streams = self._streams(piece, max(1, count // LANE), advance) if count else []
        fewer = max(1, int(LANES_SHARE * sum(map(len, streams)) / LANE_BYTES))
        if fewer < len(streams):
            # how many bits there are is known only now
            streams = self._streams(piece, fewer, lambda symbols: None)
        out.put(bytes([BLOCK]))
        for number in (count, len(streams), *map(len, streams), len(piece.others)):
            out.put_number(number)
        out.put(b"".join([piece.others, *streams]))
        out.put_checksum()

    def _streams(self, piece: Piece, lanes: int, advance: Advance) -> list[bytes]:
        """The ids in so many lanes, coded."""
        length = -(-len(piece.ids) // lanes)
        parts = [piece.ids[lane * length : (lane + 1) * length] for lane in range(lanes)]
        return encode(self._engine, parts, advance)

    def _get_block(self, fields: FieldReader, advance: Advance) -> bytes:
        count = fields.get_number(MOST_BYTES)
        lanes = fields.get_number(MOST_LANES)
        if bool(count) != bool(lanes) or lanes > count:
            raise fields.damaged()
        length = -(-count // lanes) if lanes else 0
        most = BYTES_A_SYMBOL * length + STARTED + 1
        sizes = [fields.get_number(most) for _ in range(lanes)]
        others = fields.get(fields.get_number(LARGEST_OTHERS))
        streams = [fields.get(size) for size in sizes]
        fields.check()
        # from here on it is what an encoder wrote, or made to look like it
        counts = np.minimum(count - length * np.arange(lanes, dtype=np.int64), length)
        if lanes and counts[-1] < 1:
            raise fields.damaged()
        ids = decode(self._engine, streams, counts, advance) if lanes else np.empty(0, dtype=np.int64)
        if ids is None:
            raise fields.damaged("no model writes such a stream")
        try:
            return join_piece(self._tokenizer, Piece(ids, others))
        except ValueError:
            raise fields.damaged("it leaves out what was never there") from None


def _silent(count: int) -> None:
    """Nobody asks for progress."""
