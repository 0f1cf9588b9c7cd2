"""Any bytes as ids and a list of what the vocabulary has no ids for."""

from __future__ import annotations

import io
import zlib
from collections.abc import Iterator
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import numpy.typing as npt

from charlm.errors import TokenizerError
from charlm.tokenizers import Tokenizer

MOST_BYTES = 2**22
"""Bytes of a piece: memory stays flat in the length of a file."""
# How far back from its end a piece looks for the end of a line to be cut at.
LOOK_BACK = 2**12
_CONTINUATION, _LONGEST_CHARACTER = 0x80, 4


class Piece(NamedTuple):
    """Some bytes: `ids` (N,), and what stands between what they spell, packed by `pack` (empty: nothing)."""

    ids: npt.NDArray[Any]
    others: bytes


def read_pieces(source: BinaryIO, most: int = MOST_BYTES) -> Iterator[bytes]:
    """The bytes of `source` in pieces of at most `most`, each but the last ending with a line or a character."""
    held = b""
    while True:
        content = held + _read(source, most - len(held))
        if len(content) < most:
            if content:
                yield content
            return
        cut = content.rfind(b"\n", most - min(LOOK_BACK, most // 2)) + 1 or _character_end(content)
        yield content[:cut]
        held = content[cut:]


def make_piece(tokenizer: Tokenizer, content: bytes) -> Piece:
    """The ids that spell `content`, and what they leave out."""
    text = content.decode("utf-8", "surrogateescape")
    others: list[tuple[int, bytes]] = []
    try:
        if tokenizer.unknown == "bytes":
            kept = text
            ids = tokenizer.encode(text, "bytes")
        else:
            # what is no member of this vocabulary is none wherever it stands
            members = set(tokenizer.decode(tokenizer.encode("".join(sorted(set(text))), "drop")))
            kept, others = _without(text, members)
            ids = tokenizer.encode(kept, "error")
        if tokenizer.decode_bytes(ids) == kept.encode("utf-8", "surrogateescape"):
            return Piece(ids, pack(others))
    except TokenizerError:
        pass
    return Piece(np.empty(0, dtype=tokenizer.dtype), pack([(0, content)]))


def join_piece(tokenizer: Tokenizer, piece: Piece) -> bytes:
    """The bytes that `make_piece` was given. ValueError where `others` were never packed by `pack`."""
    spelled, at = tokenizer.decode_bytes(piece.ids), 0
    parts: list[bytes] = []
    for gap, content in unpack(piece.others):
        if at + gap > len(spelled):
            raise ValueError("a gap beyond the end")
        parts += [spelled[at : at + gap], content]
        at += gap
    return b"".join([*parts, spelled[at:]])


def pack(others: list[tuple[int, bytes]]) -> bytes:
    """Left-out bytes, each with how many spelled bytes stand before it since the last; empty for none."""
    if not others:
        return b""
    lengths = np.array([(gap, len(content)) for gap, content in others], dtype="<u4")
    count = len(others).to_bytes(4, "little")
    return zlib.compress(count + lengths.tobytes() + b"".join(content for _, content in others), 9)


def unpack(packed: bytes) -> list[tuple[int, bytes]]:
    """What `pack` was given. ValueError for anything else; memory is bounded by `MOST_BYTES`."""
    if not packed:
        return []
    unpacker = zlib.decompressobj()
    try:
        content = unpacker.decompress(packed, 9 * MOST_BYTES + 5)
    except zlib.error as error:
        raise ValueError(str(error)) from None
    count = int.from_bytes(content[:4], "little")
    if len(content) < 4 + 8 * count or not unpacker.eof:
        raise ValueError("too short or too long")
    lengths = np.frombuffer(content, dtype="<u4", count=2 * count, offset=4).reshape(-1, 2)
    rest = io.BytesIO(content[4 + 8 * count :])
    return [(gap, rest.read(size)) for gap, size in lengths.tolist()]


def _without(text: str, members: set[str]) -> tuple[str, list[tuple[int, bytes]]]:
    """The members of `text`, and the others, each with the bytes of members since the last of them."""
    kept: list[str] = []
    others: list[tuple[int, bytes]] = []
    begin, gap = 0, 0
    for place, character in enumerate(text):
        if character in members:
            continue
        kept.append(text[begin:place])
        gap = len(kept[-1].encode("utf-8", "surrogateescape"))
        others.append((gap, character.encode("utf-8", "surrogateescape")))
        begin = place + 1
    return "".join([*kept, text[begin:]]), others


def _character_end(content: bytes) -> int:
    """The last place, near the end, before which no character is cut."""
    for place in range(len(content) - 1, max(0, len(content) - _LONGEST_CHARACTER), -1):
        if content[place] & 0xC0 != _CONTINUATION:
            return place
    return len(content)


def _read(source: BinaryIO, size: int) -> bytes:
    """So many bytes, or all that are left: a pipe gives fewer at once."""
    found = bytearray()
    while len(found) < size and (piece := source.read(size - len(found))):
        found += piece
    return bytes(found)
