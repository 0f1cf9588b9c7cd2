"""Token store: the ids of a corpus on disk, encoded once.

``KEY.bin`` holds the ids of all parts, one after another, as little-endian u8, u16 or u32; ``KEY.json`` beside
it says what they are and carries checksums. Both are written under temporary names, flushed to the disk and
renamed, the side file last: whoever finds it finds the ids. Ids of up to 64 MB are read once and held, those of more
are read through a memory map. Two processes that write one key at once write the
same content under different temporary names, and either's files will do.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from charlm.errors import ConfigError, OutputError
from charlm.registry import lookup
from charlm.streams.replacement import replacing

Ids = npt.NDArray[Any]

FORMAT = 1
_LARGEST_VOCABULARY = 1 << 32
_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}")
# Parsed JSON takes up to thirty times its text; this is enough for a store of two terabytes.
_LARGEST_SIDE_FILE = 2 << 20
# Ids of so many bytes are held in memory: nobody can change them, or cut the file under them, once they are checked.
_HELD = 1 << 26
#: Bytes under one checksum.
BLOCK = 1 << 24
#: Bytes read at a time.
_READ = 1 << 20
#: Blocks read through when a store is opened, evenly spaced: all of a store up to 256 MB, some of a larger one.
CHECKED_BLOCKS = 16


class TokenStore:
    """Ids of a corpus, part by part.

    Attributes:
        vocab_size: V; every id is below it.
        facts: what the writer wanted to keep with the ids.
        parts: (first, end) of each part among all ids.
    """

    def __init__(self, ids: Ids, vocab_size: int, parts: Mapping[str, tuple[int, int]], facts: dict[str, Any]) -> None:
        self._ids = ids
        self.vocab_size = vocab_size
        self.parts = dict(parts)
        self.facts = facts

    def part(self, name: str) -> Ids:
        """(N,) ids of a part, or of ``all``; read-only; empty for an empty part."""
        first, end = lookup({**self.parts, "all": (0, len(self._ids))}, name, "part")
        return self._ids[first:end]


def write_store(
    folder: Path,
    key: str,
    *,
    vocab_size: int,
    parts: Mapping[str, Iterable[Ids]],
    facts: dict[str, Any],
) -> TokenStore:
    """Write the ids of `parts`, piece by piece, and open the result. Memory stays flat.

    Args:
        folder: made if absent.
        key: names the content: equal keys, equal content.
        parts: for each part its ids, in pieces of any length, every id below `vocab_size`.
        facts: JSON-ready, kept with the ids.

    Raises:
        OutputError: it cannot be written: disk full, no permission.
    """
    _check_key(key)
    dtype = _dtype(vocab_size)
    written = 0
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with replacing(folder / f"{key}.bin") as file:
            output = _Checksummed(file)
            bounds = {}
            for name, pieces in parts.items():
                first = output.size // dtype.itemsize
                for ids in pieces:
                    output.write(_as_stored(np.asarray(ids), vocab_size, dtype))
                    written = output.size
                bounds[name] = (first, output.size // dtype.itemsize)
        with replacing(folder / f"{key}.json") as file:
            file.write(_side_file(vocab_size, bounds, output.finish(), output.size, facts))
    except OSError as error:
        raise OutputError(
            f"token store not written in {folder}: {error.strerror or error} (after {written / 1e6:.0f} MB); "
            "set CHARLM_CACHE to another folder"
        ) from None
    store = open_store(folder, key)
    if store is None:
        raise OutputError(f"token store not written in {folder}: {key} does not read back as it was written")
    return store


def open_store(folder: Path, key: str) -> TokenStore | None:
    """The store of that key, or None where there is none or it is damaged: then it is to be written again."""
    _check_key(key)
    try:
        side = _read_side_file(folder / f"{key}.json")
        dtype = _dtype(side["vocab_size"])
        with (folder / f"{key}.bin").open("rb") as file:
            ids = _read_ids(file, dtype, side["bytes"], side["crc32"])
    except (OSError, _DamagedError):
        return None
    parts = {name: (first, end) for name, (first, end) in side["parts"].items()}
    return TokenStore(ids, side["vocab_size"], parts, side["facts"])


class _DamagedError(Exception):
    """The side file is not what `_side_file` wrote."""


class _Checksummed:
    """Passes arrays on to a file and takes a CRC-32 of each block of it."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._sums: list[int] = []
        self._running = 0
        self.size = 0

    def write(self, ids: Ids) -> None:
        data = ids.view(np.uint8).data
        self._file.write(data)
        while len(data):
            taken = min(len(data), BLOCK - self.size % BLOCK)
            self._running = zlib.crc32(data[:taken], self._running)
            self.size += taken
            data = data[taken:]
            if self.size % BLOCK == 0:
                self._sums.append(self._running)
                self._running = 0

    def finish(self) -> list[int]:
        return [*self._sums, self._running] if self.size % BLOCK else self._sums


def _read_ids(file: BinaryIO, dtype: np.dtype[Any], size: int, sums: list[int]) -> Ids:
    """The ids of a file of `size` bytes, checked; read-only."""
    if size <= _HELD:
        file.seek(0)
        content = file.read(size + 1)
        held = io.BytesIO(content)
        if len(content) != size or not _sound(held, sums):
            raise _DamagedError
        ids: Ids = np.frombuffer(content, dtype=dtype)
        return ids
    if file.seek(0, 2) != size or not _sound(file, sums):
        raise _DamagedError
    return np.memmap(file, dtype=dtype, mode="r", shape=(size // dtype.itemsize,)).view(np.ndarray)


def _sound(file: BinaryIO, sums: list[int]) -> bool:
    """Whether up to `CHECKED_BLOCKS` blocks, first and last among them, have their checksums."""
    chosen = sorted({int(n) for n in np.linspace(0, len(sums) - 1, CHECKED_BLOCKS)}) if sums else []
    for number in chosen:
        file.seek(number * BLOCK)
        running = 0
        for at in range(0, BLOCK, _READ):
            running = zlib.crc32(file.read(min(_READ, BLOCK - at)), running)
        if running != sums[number]:
            return False
    return True


def _as_stored(ids: Ids, vocab_size: int, dtype: np.dtype[Any]) -> Ids:
    low = 0 if ids.dtype.kind == "u" else int(ids.min(initial=0))
    high = int(ids.max(initial=0))
    if low < 0 or high >= vocab_size:
        raise ConfigError(f"token store: id {low if low < 0 else high} is outside the vocabulary of {vocab_size}")
    return np.ascontiguousarray(ids, dtype=dtype)


def _side_file(
    vocab_size: int, parts: dict[str, tuple[int, int]], sums: list[int], size: int, facts: dict[str, Any]
) -> bytes:
    body = {
        "format": FORMAT,
        "vocab_size": vocab_size,
        "bytes": size,
        "parts": {name: list(bounds) for name, bounds in parts.items()},
        "facts": facts,
        "crc32": sums,
    }
    # The file vouches for itself: the checksum of all the rest stands in its last line.
    return json.dumps({**body, "checksum": _checksum(body)}, indent=1, allow_nan=False).encode()


def _read_side_file(path: Path) -> dict[str, Any]:
    if path.stat().st_size > _LARGEST_SIDE_FILE:
        raise _DamagedError
    data = path.read_bytes()
    try:
        side: dict[str, Any] = json.loads(data)
        checksum = side.pop("checksum")
        if side["format"] != FORMAT or checksum != _checksum(side) or not _are_fields(side):
            raise _DamagedError
    except (ValueError, RecursionError, LookupError, TypeError, AttributeError):
        raise _DamagedError from None
    return side


def _are_fields(side: dict[str, Any]) -> bool:
    """Whether the values are such as `write_store` writes. ValueError, TypeError, AttributeError, LookupError: no."""
    vocab_size, size, sums = side["vocab_size"], side["bytes"], side["crc32"]
    ends = [end for bounds in side["parts"].values() for end in bounds]
    if not all(type(value) is int and value >= 0 for value in (vocab_size, size, *sums, *ends)):
        return False
    if vocab_size > _LARGEST_VOCABULARY or len(sums) != -(-size // BLOCK) or not isinstance(side["facts"], dict):
        return False
    count, left = divmod(size, _dtype(vocab_size).itemsize)
    return not left and all(first <= end <= count for first, end in side["parts"].values())


def _checksum(body: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()


def _dtype(vocab_size: int) -> np.dtype[Any]:
    """Little-endian u8, u16 or u32: the smallest that holds V ids."""
    dtype: np.dtype[Any] = np.min_scalar_type(max(0, vocab_size - 1)).newbyteorder("<")
    return dtype


def _check_key(key: str) -> None:
    if not _KEY.fullmatch(key):
        raise ConfigError(f"a token store's key must be of letters, digits, '.', '_' and '-', was {key[:40]!r}")
