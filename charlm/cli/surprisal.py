"""Surprisals on their way out: lines of JSON, or a text in colours on a terminal."""

from __future__ import annotations

import dataclasses
import math
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from charlm.cli import console
from charlm.cli.escape import to_json_line
from charlm.cli.whole_file import why_not_written
from charlm.errors import OutputError

if TYPE_CHECKING:
    from charlm.evaluation.surprisal import Surprisal

# Up to so many bits, in this rendition: faint, plain, yellow, magenta, red, red and reversed.
STYLES = ((0.5, "2"), (2.0, ""), (4.0, "33"), (6.0, "35"), (9.0, "31"), (math.inf, "31;7"))


@contextmanager
def writing_surprisals(target: str | None) -> Iterator[Callable[[Surprisal], None] | None]:
    """What to call with each symbol while in here; None where nothing is asked for.

    Args:
        target: a file that is not there yet; ``-`` for standard output.

    Raises:
        OutputError: the file is there already, or cannot be written.
    """
    if target is None:
        yield None
    elif target == "-":
        out = console.DataWriter()
        if console.has_colours(sys.stdout):
            coloured = ColouredText(out)
            yield coloured.show
            coloured.end()
        else:
            yield lambda symbol: out.write(line_of(symbol))
            console.flush()
    else:
        with _new_file(target) as file:
            yield lambda symbol: _write(file, line_of(symbol), target)


def line_of(symbol: Surprisal) -> str:
    """``{"position": 7, "text": "e", "nats": 0.31}`` and the end of the line."""
    return to_json_line(dataclasses.asdict(symbol)) + "\n"


class ColouredText:
    """A text whose characters are the more striking the less they were expected."""

    def __init__(self, out: console.DataWriter) -> None:
        self._out = out
        self._nats, self._text, self._style = 0.0, "", ""

    def show(self, symbol: Surprisal) -> None:
        """The next symbol. Characters of one style are written together."""
        self._nats += symbol.nats or 0.0
        if not symbol.text:  # a part of a character: its nats count for the whole
            return
        style = "" if symbol.nats is None else style_of(self._nats)
        if style != self._style or self._text.endswith("\n"):
            self._out.write(self._text, self._style)
            self._text, self._style = "", style
        self._text += symbol.text
        self._nats = 0.0

    def end(self) -> None:
        """The rest, and what the colours mean."""
        self._out.write(self._text, self._style)
        self._out.write("\n\nbits  ")
        for most, style in STYLES:
            self._out.write("more" if math.isinf(most) else f"to {most:g}", style)
            self._out.write("  ")
        self._out.write("\n\n")


def style_of(nats: float) -> str:
    """The rendition for a surprise; that of the greatest for one that is no number."""
    bits = nats / math.log(2)
    return next((style for most, style in STYLES if bits <= most), STYLES[-1][1])


@contextmanager
def _new_file(name: str) -> Iterator[TextIO]:
    """A file that is made here, and is gone again if it is not finished."""
    path = Path(name)
    try:
        file = path.open("w" if _is_device(path) else "x", encoding="utf-8", newline="")
    except FileExistsError:
        raise OutputError(f"{name} is there already: give --surprisal another name, or remove it") from None
    except OSError as error:
        raise OutputError(f"cannot write {name}: {why_not_written(name, error)}") from None
    except ValueError as error:  # a NUL in the name
        raise OutputError(f"cannot write {name}: {error}") from None
    try:
        yield file
        _close(file, name)
    except BaseException:
        with suppress(OSError):
            file.close()
        if not _is_device(path):
            path.unlink(missing_ok=True)
        raise


def _is_device(path: Path) -> bool:
    with suppress(OSError, ValueError):
        return path.exists() and not path.is_file() and not path.is_dir()
    return False


def _write(file: TextIO, line: str, name: str) -> None:
    try:
        file.write(line)
    except OSError as error:
        raise OutputError(f"cannot write {name}: {error.strerror}") from None


def _close(file: TextIO, name: str) -> None:
    try:
        file.close()
    except OSError as error:
        raise OutputError(f"cannot write {name}: {error.strerror}") from None
