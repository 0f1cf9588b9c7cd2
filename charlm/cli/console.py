"""The two streams: data to standard output, everything else to standard error.

Data goes out as UTF-8 bytes whatever the locale says: escaped on a terminal, exact in a pipe or file.
"""

from __future__ import annotations

import contextlib
import os
import sys
import textwrap
import time
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TextIO

from charlm.cli.escape import escape, to_json_line
from charlm.errors import OutputError

# In a pipe, characters wait until this much has gathered or this many seconds have passed.
_PIPE_BYTES = 1 << 16
_PIPE_SECONDS = 0.2


def prepare_streams() -> None:
    """Make both streams UTF-8 whatever the locale, and keep files off the numbers of closed streams."""
    with contextlib.suppress(OSError):  # there are places without it
        while (number := os.open(os.devnull, os.O_RDWR)) <= 2:
            # subtle: with standard output closed, the next file opened would take its number and its output
            pass
        os.close(number)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")


def is_terminal(stream: TextIO | None) -> bool:
    """Whether a person looks at this stream."""
    try:
        return stream is not None and stream.isatty()
    except ValueError:  # closed
        return False


def is_smart_terminal(stream: TextIO | None) -> bool:
    """Whether the stream is a terminal that can redraw a line."""
    return is_terminal(stream) and os.environ.get("TERM", "") not in ("", "dumb", "unknown")


def has_colours(stream: TextIO | None) -> bool:
    """Whether colours may be written to the stream: not where NO_COLOR is set (no-color.org)."""
    return is_smart_terminal(stream) and not os.environ.get("NO_COLOR")


class DataWriter:
    """Text on its way to standard output, piece by piece: at once on a terminal, in blocks in a pipe."""

    def __init__(self) -> None:
        self.terminal = is_terminal(sys.stdout)
        self._waiting = 0
        self._flushed = time.monotonic()
        self._last = ""

    def write(self, text: str, style: str = "") -> None:
        """Write `text`.

        Args:
            style: numbers that select a graphic rendition, ``1;31``; for a terminal alone, a pipe gets none.

        Raises:
            BrokenPipeError: nobody reads any more.
            OutputError: it cannot be written (disk full).
        """
        if not text:
            return
        self._last = text[-1]
        data = to_bytes(text, self.terminal)
        _write_bytes(f"\x1b[{style}m".encode() + data + b"\x1b[0m" if style and self.terminal else data)
        self._waiting += len(text)
        now = time.monotonic()
        if self.terminal or self._waiting >= _PIPE_BYTES or now - self._flushed >= _PIPE_SECONDS:
            flush()
            self._waiting, self._flushed = 0, now

    def end_line(self) -> None:
        """On a terminal, leave the cursor at the start of a line; in a pipe, add nothing."""
        if self.terminal and self._last != "\n":
            self.write("\n")


def to_bytes(text: str, terminal: bool) -> bytes:
    """UTF-8 of `text`: escaped for a terminal; else exact, and bytes that were not UTF-8 are themselves again."""
    if terminal:
        return escape(text).encode("utf-8")
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # a lone surrogate that stands for no byte
        return text.encode("utf-8", "replace")


def print_line(text: str = "") -> None:
    """One line of data."""
    _write_bytes(to_bytes(text + "\n", is_terminal(sys.stdout)))


def print_json(value: Any) -> None:
    """One line of JSON, written at once, so that a reader of a pipe sees it now."""
    _write_bytes(to_json_line(value).encode("utf-8") + b"\n")
    flush()


class JsonLine:
    """One line of JSON of which a text, which may be endless, is written as it comes."""

    def __init__(self) -> None:
        self.begun = False
        self._writer = DataWriter()

    def begin(self, facts: Mapping[str, Any], name: str) -> None:
        """The fields before the text, and the name that it has."""
        self._writer.write(to_json_line({**facts, name: ""})[:-2])
        self.begun = True

    def write(self, text: str) -> None:
        """More of the text."""
        self._writer.write(to_json_line(text)[1:-1])

    def end(self, facts: Mapping[str, Any]) -> None:
        """The fields after the text; what was begun is a line now, and its reader sees it."""
        self._writer.write(f'", {to_json_line(facts)[1:]}\n')
        flush()
        self.begun = False


def print_table(rows: Iterable[Sequence[str]], heading: Sequence[str] | None = None, spare: Sequence[str] = ()) -> None:
    """Rows in aligned columns; the last one is as wide as it is. Numbers stand to the right.

    Args:
        spare: headings of columns that a terminal too narrow for all goes without, the first one first.
    """
    cells = [[escape(cell).replace("\n", "\\n") for cell in row] for row in rows]
    shown = ([list(heading)] if heading else []) + cells
    if not cells:
        return
    widths = [max(width_of(row[i]) for row in shown) for i in range(len(shown[0]))]
    right = [all(_is_figure(row[i]) for row in cells) for i in range(len(widths))]
    kept = list(range(len(widths)))
    for name in spare if is_terminal(sys.stdout) else ():
        if sum(widths[i] for i in kept) + 2 * (len(kept) - 1) <= terminal_width(sys.stdout):
            break
        kept.remove(list(heading or ()).index(name))
    for row in shown:
        gaps = [" " * (widths[i] - width_of(row[i])) for i in kept]
        padded = [gap + row[i] if right[i] else row[i] + gap for gap, i in zip(gaps, kept, strict=True)]
        print_line("  ".join(padded).rstrip())


def note(text: str) -> None:
    """One line (or some) to standard error, for a person; on a terminal folded to its width.

    A stream that takes no more is no reason to stop.
    """
    if is_terminal(sys.stderr):
        width = terminal_width(sys.stderr)
        text = "\n".join(part for line in text.split("\n") for part in folded(line, width))
    note_as_it_is(text)


def note_as_it_is(text: str) -> None:
    """`note` of lines that stay as they are: one that may be copied from a terminal, or a traceback."""
    Bar.wipe()
    try:
        if sys.stderr is not None:
            sys.stderr.write(escape(text) + "\n")
            sys.stderr.flush()
    except (OSError, ValueError):
        pass


class Bar:
    """The one line of standard error that is redrawn in place; a note wipes it first."""

    shown = False

    @classmethod
    def show(cls, text: str) -> None:
        """Draw `text`, which fits in the line, in place of what was drawn."""
        cls._put("\r\x1b[K" + text)
        cls.shown = True

    @classmethod
    def wipe(cls) -> None:
        """Leave an empty line, if anything was drawn."""
        if cls.shown:
            cls._put("\r\x1b[K")
        cls.shown = False

    @staticmethod
    def _put(text: str) -> None:
        try:
            if sys.stderr is not None:
                sys.stderr.write(text)
                sys.stderr.flush()
        except (OSError, ValueError):
            pass


def flush() -> None:
    """Send what waits for standard output on its way; raises as `DataWriter.write`."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OutputError(f"cannot write to standard output: {error.strerror}") from None


def discard_output(stream: TextIO | None = None) -> None:
    """Throw away what still waits for standard output, or another stream, and what comes yet.

    So the interpreter's own last flush is silent.
    """
    try:
        devnull = os.open(os.devnull, os.O_WRONLY)
        os.dup2(devnull, 1 if stream is None else stream.fileno())
        os.close(devnull)
    except (OSError, ValueError):
        pass


def read_standard_input() -> str:
    """All of standard input as text; bytes that are not UTF-8 are carried through as Python carries them."""
    if sys.stdin is None:
        return ""
    return sys.stdin.buffer.read().decode("utf-8", "surrogateescape")


def width_of(text: str) -> int:
    """Columns that `text` takes on a terminal."""
    return sum(
        0 if unicodedata.combining(character) else 2 if unicodedata.east_asian_width(character) in "WF" else 1
        for character in text
    )


def cut(text: str, columns: int) -> str:
    """The beginning of `text` that fits in so many columns."""
    while width_of(text) > columns:
        text = text[:-1]
    return text


def folded(line: str, width: int) -> list[str]:
    """A line in parts of at most so many characters, where words allow it.

    Words are never cut: a path or a command must stay one piece to be copied.
    """
    if len(line) <= width:
        return [line]
    return textwrap.wrap(line, max(8, width), break_long_words=False, break_on_hyphens=False, expand_tabs=False)


def terminal_width(stream: TextIO | None) -> int:
    """Columns of the terminal behind `stream`; 80 when there is none."""
    try:
        return os.get_terminal_size(stream.fileno()).columns or 80 if stream is not None else 80
    except (OSError, ValueError):
        return 80


def _is_figure(cell: str) -> bool:
    return not cell or cell[0].isdigit() or cell == "-"


def _write_bytes(data: bytes) -> None:
    if sys.stdout is None:
        raise BrokenPipeError
    try:
        sys.stdout.buffer.write(data)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OutputError(f"cannot write to standard output: {error.strerror}") from None
