"""The fields of a compressed file, read without trust: whole numbers, bytes, and a checksum of all before it."""

from __future__ import annotations

import zlib
from typing import BinaryIO

from charlm.errors import CorpusError

_GROUP = 7
MOST_GROUPS = 5
AT_ONCE = 2**20


class FieldWriter:
    """Writes fields; `size` bytes so far."""

    def __init__(self, target: BinaryIO) -> None:
        self._target = target
        self._checksum = 0
        self.size = 0

    def put(self, content: bytes) -> None:
        """These very bytes."""
        self._target.write(content)
        self._checksum = zlib.crc32(content, self._checksum)
        self.size += len(content)

    def put_number(self, number: int) -> None:
        """A whole number >= 0, seven bits a byte, the lowest first."""
        groups = bytearray()
        while number >> _GROUP:
            groups.append(number & 127 | 128)
            number >>= _GROUP
        self.put(bytes([*groups, number]))

    def put_checksum(self) -> None:
        """The CRC-32 of all so far."""
        self.put(self._checksum.to_bytes(4, "little"))


class FieldReader:
    """Reads what a `FieldWriter` wrote. All errors are a `CorpusError` that names the file, `name`."""

    def __init__(self, source: BinaryIO, name: str) -> None:
        self._source = source
        self._checksum = 0
        self.name = name

    def get(self, size: int) -> bytes:
        """So many bytes; memory grows with what is there, not with what is asked for."""
        found = bytearray()
        while len(found) < size:
            piece = self._source.read(min(size - len(found), AT_ONCE))
            if not piece:
                raise CorpusError(f"{self.name!r} is cut short: get the whole file")
            found += piece
        self._checksum = zlib.crc32(found, self._checksum)
        return bytes(found)

    def get_number(self, most: int) -> int:
        """A whole number of at most `most`."""
        number = 0
        for group in range(MOST_GROUPS):
            (byte,) = self.get(1)
            number |= (byte & 127) << (_GROUP * group)
            if byte < 128:
                break
        if byte > 127 or number > most:
            raise self.damaged()
        return number

    def check(self) -> None:
        """Raise unless the checksum that comes next is that of all before it."""
        wanted = self._checksum.to_bytes(4, "little")
        if self.get(4) != wanted:
            raise self.damaged()

    def end(self) -> None:
        """Raise where something follows."""
        if self._source.read(1):
            raise self.damaged("something follows its end")

    def damaged(self, cause: str = "a checksum is wrong") -> CorpusError:
        """The error to raise."""
        return CorpusError(f"{self.name!r} is damaged: {cause}; get it again, or compress the text again")
