"""Files to text: byte-order marks, encodings, gzip, and what is no text at all. Memory stays flat for any size."""

from __future__ import annotations

import codecs
import gzip
import io
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO, NamedTuple, cast

from charlm.errors import ConfigError, CorpusError

BLOCK = 4 * 2**20  # bytes read, and so the most characters decoded, at a time

# longest first: UTF-32's mark begins with UTF-16's
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)


class Kind(NamedTuple):
    """Content that is no text: where its mark stands, the mark, what it looks like, what to do."""

    offset: int
    mark: bytes
    looks_like: str
    advice: str


_UNPACK = "unpack it first"
_KINDS = (
    Kind(0, b"\x1f\x8b\x08", "gzip", "end its name in .gz, or unpack it first"),
    Kind(0, b"PK\x03\x04", "a zip archive (or an office document, e-book or checkpoint)", _UNPACK),
    Kind(0, b"%PDF-", "a PDF", "convert it to text first, for example with pdftotext"),
    Kind(0, b"\x7fELF", "an executable", "name a text"),
    Kind(0, b"MZ\x90\x00", "an executable", "name a text"),
    Kind(0, b"\xcf\xfa\xed\xfe", "an executable", "name a text"),
    Kind(0, b"\xca\xfe\xba\xbe", "an executable or Java class", "name a text"),
    Kind(0, b"\xfd7zXZ\x00", "xz", _UNPACK),
    Kind(0, b"BZh91AY&SY", "bzip2", _UNPACK),
    Kind(0, b"\x28\xb5\x2f\xfd", "zstd", _UNPACK),
    Kind(0, b"7z\xbc\xaf\x27\x1c", "a 7z archive", _UNPACK),
    Kind(0, b"Rar!\x1a\x07", "a rar archive", _UNPACK),
    Kind(257, b"ustar", "a tar archive", _UNPACK),
    Kind(0, b"\x89PNG\r\n", "a PNG picture", "name a text"),
    Kind(0, b"\xff\xd8\xff", "a JPEG picture", "name a text"),
    Kind(0, b"GIF8", "a GIF picture", "name a text"),
    Kind(0, b"SQLite format 3\x00", "an SQLite database", "export its text first"),
    Kind(0, b"\x89HDF\r\n", "an HDF5 file", "export its text first"),
    Kind(0, b"PAR1", "a Parquet file", "export its text first"),
    Kind(0, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old office document", "save it as text first"),
)


@dataclass(frozen=True, kw_only=True)
class Form:
    """How a document's bytes become characters."""

    encoding: str = "utf-8"
    as_bytes: bool = False  # bad bytes become surrogates U+DC80..U+DCFF
    unix_newlines: bool = False
    skip: int = 0  # bytes of the byte-order mark

    def decoder(self, errors: str | None = None) -> codecs.IncrementalDecoder:
        """A fresh decoder; newlines are made unix ones across blocks, too."""
        errors = errors or ("surrogateescape" if self.as_bytes else "strict")
        decoder = codecs.getincrementaldecoder(self.encoding)(errors)
        return cast(Any, io.IncrementalNewlineDecoder(decoder, translate=True)) if self.unix_newlines else decoder


@dataclass(frozen=True, kw_only=True)
class Document:
    """One document of a corpus.

    Attributes:
        name: what it is called in messages; not escaped.
        open: opens its bytes, from the start, each time anew.
        form: how bytes become characters.
        part: train, validation or test where its recipe says so.
    """

    name: str
    open: Callable[[], BinaryIO]
    form: Form
    part: str | None = None


def check_encoding(name: str) -> str:
    """`name` if Python can decode text in it piece by piece.

    Raises:
        ConfigError: it cannot.
    """
    try:
        b"a".decode(name, "replace")  # refuses codecs that make no text, such as base64
        bytes(range(128, 256)).decode(name, "replace")  # and those of other things than texts, such as punycode
        codecs.getincrementaldecoder(name)("strict")
    except (LookupError, ValueError):
        raise ConfigError(
            f"encoding must be one that Python knows, such as utf-8, latin-1, cp1252 or utf-16, was {name!r}"
        ) from None
    return name


def recognise(name: str, open_bytes: Callable[[], BinaryIO], form: Form, explicit: bool) -> tuple[Form, str | None]:
    """Look at the first bytes of a document: its byte-order mark, or that it is no text.

    Args:
        explicit: the encoding was given, not assumed; only a mark of the same encoding is taken off.

    Returns:
        The form to read the document in, and a notice about its byte-order mark.

    Raises:
        CorpusError: the content looks like an archive, a program, a picture, ...
    """
    if form.as_bytes:
        return form, None
    with reading(name), open_bytes() as stream:
        head = stream.read(512)
    for kind in _KINDS:
        if head.startswith(kind.mark, kind.offset) and not (kind.mark.isalnum() and _is_plain(head)):
            raise CorpusError(f"{name!r} looks like {kind.looks_like}, not text: {kind.advice}")
    for mark, encoding in _MARKS:
        if head.startswith(mark) and (not explicit or codecs.lookup(form.encoding).name == encoding):
            notice = f"{name!r}: decoded as {encoding.upper()}, as its byte-order mark says; the mark is left out"
            return (
                Form(encoding=encoding, unix_newlines=form.unix_newlines, skip=len(mark)),
                notice,
            )
    return form, None


def _is_plain(head: bytes) -> bool:
    """Whether the beginning of a file may be one of a text, whatever letters it begins with."""
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return False
    return b"\0" not in head


def read_text(document: Document) -> Iterator[str]:
    """The text of a document in pieces of at most `BLOCK` characters, none of them empty.

    Raises:
        CorpusError: it cannot be read, or a byte is not of its encoding; the message gives byte, offset and line.
    """
    decoder = document.form.decoder()
    offset = document.form.skip
    with reading(document.name), document.open() as stream:
        stream.read(document.form.skip)
        while True:
            block = stream.read(BLOCK)
            try:
                text = decoder.decode(block, final=not block)
            except UnicodeDecodeError as error:
                # the decoder's input is what it held back from earlier blocks, then this one
                at = offset + len(block) - len(error.object) + error.start
                raise _bad_byte(document, at, error.object[error.start]) from None
            except UnicodeError as error:  # UTF-16 or UTF-32 without the mark that says which
                name = document.form.encoding.upper()
                raise CorpusError(f"{document.name!r}: {error}; try --encoding {name}-LE or {name}-BE") from None
            offset += len(block)
            if text:
                yield text
            if not block:
                return


def _bad_byte(document: Document, offset: int, byte: int) -> CorpusError:
    line = 1
    decoder = document.form.decoder(errors="replace")
    left = offset - document.form.skip
    with document.open() as stream:
        stream.read(document.form.skip)
        while left > 0 and (block := stream.read(min(BLOCK, left))):
            left -= len(block)
            try:
                line += decoder.decode(block).count("\n")
            except UnicodeError:  # of UTF-16 and UTF-32 without their mark nothing can be counted
                break
    return CorpusError(
        f"{document.name!r}: byte 0x{byte:02X} at offset {offset}, line {line} is not"
        f" {document.form.encoding.upper()}; try --encoding, or --bytes with --tokenizer byte"
    )


class reading:  # noqa: N801 - a context manager, read as a verb
    """Turns what goes wrong while a document is read into a `CorpusError` that names it."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, gzip.BadGzipFile | EOFError | zlib.error):
            raise CorpusError(f"{self.name!r} is not a sound gzip file: {error}") from None
        if isinstance(error, OSError):
            raise CorpusError(f"cannot read {self.name!r}: {error.strerror or error}") from None
