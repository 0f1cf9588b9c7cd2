"""Members of a zip, wheel or tar archive, by name; nothing is ever unpacked to disk."""

from __future__ import annotations

import errno
import lzma
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import IO, Literal, cast

from charlm.corpora.patterns import matches, matches_any
from charlm.corpora.recipe import Source
from charlm.errors import CorpusError

ZIP_ENDINGS = (".whl", ".zip")
TAR_MODES = {".tar.gz": "r:gz", ".tgz": "r:gz", ".tar": "r:", ".tar.bz2": "r:bz2", ".tar.xz": "r:xz"}
LARGEST_CONTENT = 2**30  # bytes that the members of one archive may unpack to
# what the readers raise on content that is not theirs, RuntimeError for an encrypted member among it
_DAMAGED = (
    zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, EOFError, OSError,
    RuntimeError, NotImplementedError, ValueError,
)  # fmt: skip


def is_archive(filename: str) -> bool:
    """Whether a file of that name has members."""
    return filename.endswith((*ZIP_ENDINGS, *TAR_MODES))


def read_members(path: Path, source: Source) -> dict[str, bytes]:
    """The content of the members that `source` lists, by name below its root, in name order.

    Raises:
        CorpusError: the archive is damaged; a name in it is absolute or has ``..``; a listed member is a
            link or a device, comes twice, or is too large; or a pattern matches nothing.
        OSError: the disk cannot be read.
    """
    read = _zip_members if source.filename.endswith(ZIP_ENDINGS) else _tar_members
    try:
        members = read(path, source)
    except _DAMAGED as error:
        # subtle: a hostile archive leads its reader to impossible places (EINVAL); any other number is the disk's
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
            raise
        raise CorpusError(f"{source.filename!r} is damaged: {' '.join(str(error).split())}") from None
    for pattern in source.members:
        if not any(matches(name, pattern) for name in members):
            raise CorpusError(f"{source.filename!r} has no member {pattern!r}")
    return dict(sorted(members.items()))


class _Wanted:
    """Picks members by name and keeps count of what they hold."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.content: dict[str, bytes] = {}
        self.left = LARGEST_CONTENT

    def name(self, full_name: str) -> str | None:
        """The name below the root if this member is wanted."""
        self._refuse(self._escapes(full_name), full_name, "leads out of the archive")
        name = full_name
        if self.source.root:
            name = full_name.removeprefix(self.source.root + "/")
            if name == full_name:
                return None
        wanted = matches_any(name, self.source.members) and not matches_any(name, self.source.exclude)
        return name if wanted else None

    def take(self, name: str, is_file: bool, open_member: Callable[[], IO[bytes] | None]) -> None:
        """Read a wanted member."""
        self._refuse(not is_file, name, "is a link or a device")
        self._refuse(name in self.content, name, "is there twice")
        stream = open_member()
        if stream is None:
            self._refuse(True, name, "cannot be read")
            return
        with stream:
            content = stream.read(self.left + 1)
        self._refuse(len(content) > self.left, name, f"makes more than {LARGEST_CONTENT} bytes")
        self.left -= len(content)
        self.content[name] = content

    def _escapes(self, name: str) -> bool:
        # "//" would leave an absolute name below a root
        return (
            name.startswith("/") or "//" in name or "\\" in name or ":" in name[:2] or ".." in PurePosixPath(name).parts
        )

    def _refuse(self, refused: bool, name: str, why: str) -> None:
        if refused:
            raise CorpusError(f"{self.source.filename!r} is refused: its member {name!r} {why}")


def _zip_members(path: Path, source: Source) -> dict[str, bytes]:
    wanted = _Wanted(source)
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            name = wanted.name(member.filename)
            if name and not member.is_dir():
                # the upper half holds the unix mode; 0 where the archive was not made on unix
                kind = (member.external_attr >> 28) & 0xF
                wanted.take(name, kind in (0, 0o10), lambda member=member: archive.open(member))  # type: ignore[misc]
    return wanted.content


def _tar_members(path: Path, source: Source) -> dict[str, bytes]:
    wanted = _Wanted(source)
    mode = next(mode for ending, mode in TAR_MODES.items() if source.filename.endswith(ending))
    with tarfile.open(path, cast(Literal["r:gz"], mode)) as archive:
        for member in archive:
            name = wanted.name(member.name)
            if name and not member.isdir():
                wanted.take(name, member.isreg(), lambda member=member: archive.extractfile(member))  # type: ignore[misc]
    return wanted.content
