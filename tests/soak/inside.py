"""The command line, called in this process: what a command does, without the time that a process takes to start."""

from __future__ import annotations

import contextlib
import io
import signal
import sys
import time
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass

import click

from charlm.cli import entry
from charlm.cli.command import Group
from charlm.errors import ConfigError, CorpusError, DivergedError, OutputError, RunError, RunInUseError

# What a command may end with, but for signals and pipes that were closed.
CODES = {0, *(kind.exit_code for kind in (ConfigError, CorpusError, RunError, OutputError, DivergedError))}
CODES.add(RunInUseError.exit_code)
PREFIX = "charlm: error: "
# Seconds of the processor that a refusal may take, and after which a command is interrupted.
PROMPT, LONG = 2.0, 6.0
# Seconds after which it hangs. A machine may be stopped for a while; a hang is for ever.
HANGS = 3600.0


@dataclass(frozen=True, kw_only=True)
class Ended:
    """A command that has ended.

    Attributes:
        code: its exit code.
        output, errors: what it wrote to the two streams.
        seconds: of the processor.
        interrupted: whether it went on for longer than it was given, and was sent SIGINT.
    """

    code: int
    output: bytes
    errors: str
    seconds: float
    interrupted: bool = False

    @property
    def error(self) -> str:
        """The line that says what was wrong; empty where nothing was."""
        lines = [line for line in self.errors.split("\n") if line.startswith(PREFIX)]
        return lines[0].removeprefix(PREFIX) if lines else ""


class Hangs(BaseException):
    """A command neither ends nor heeds a signal."""


def leaves(found: click.Command | None = None, path: tuple[str, ...] = ()) -> Iterator[tuple[str, click.Command]]:
    """Every command that is no group, by its words: ``("runs show", ...)``."""
    found = found or entry.charlm()
    if not isinstance(found, Group):
        yield " ".join(path), found
        return
    for name in found.table:
        command = found.get_command(click.Context(found), name)
        assert command is not None
        yield from leaves(command, (*path, name))


def charlm(*arguments: str, stdin: bytes = b"", limit: float = LONG) -> Ended:
    """Run ``charlm ARGUMENTS`` here; after `limit` seconds of the processor it is sent SIGINT."""
    output, errors = io.BytesIO(), io.BytesIO()
    streams = [io.TextIOWrapper(stream, write_through=True) for stream in (io.BytesIO(stdin), output, errors)]
    with _streams(streams), _interrupted_after(limit) as interrupted:
        before = time.process_time()
        code = entry.run(arguments)
        seconds = time.process_time() - before
    return Ended(
        code=code,
        output=output.getvalue(),
        errors=errors.getvalue().decode("utf-8"),
        seconds=seconds,
        interrupted=bool(interrupted),
    )


@contextlib.contextmanager
def _streams(streams: list[io.TextIOWrapper]) -> Iterator[None]:
    before = sys.stdin, sys.stdout, sys.stderr
    sys.stdin, sys.stdout, sys.stderr = streams
    try:
        yield
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        sys.stdin, sys.stdout, sys.stderr = before


@contextlib.contextmanager
def _interrupted_after(limit: float) -> Iterator[list[int]]:
    """Inside, SIGINT comes after `limit` seconds of the processor, again later on, and `Hangs` after a long while."""
    told: list[int] = []

    def interrupt(*_: object) -> None:
        told.append(1)
        signal.raise_signal(signal.SIGINT)

    def give_up(*_: object) -> None:
        raise Hangs

    handlers = {signal.SIGINT: signal.default_int_handler, signal.SIGPROF: interrupt, signal.SIGALRM: give_up}
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    signal.setitimer(signal.ITIMER_PROF, limit, 10 * limit)
    signal.setitimer(signal.ITIMER_REAL, HANGS)
    try:
        yield told
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in before.items():
            signal.signal(number, handler)


def hold(ended: Ended, endless: bool = False) -> None:
    """What is promised of every command, whatever it was given: raises where it does not hold.

    Args:
        endless: what was asked for may be more than there is time for.
    """
    lines = ended.errors.split("\n")
    errors = [line for line in lines if line.startswith(PREFIX)]
    assert "Traceback" not in ended.errors, ended.errors
    if ended.interrupted:
        assert endless, f"it went on for more than {ended.seconds:.0f} s: {ended.errors}"
        assert ended.code in (0, 130), f"exit {ended.code}: {ended.errors}"
        return
    assert ended.code in CODES, f"exit {ended.code}: {ended.errors}"
    assert len(errors) == (ended.code != 0), f"exit {ended.code}: {ended.errors}"
    assert harmless(ended.errors), ascii(ended.errors)
    if ended.code:
        assert lines[-2:] == [errors[0], ""], f"the error is not what it ends with: {ended.errors}"
        assert len(errors[0]) < 2000, f"{len(errors[0])} characters"
        # what is wrong with a command line is found out before anything is said
        assert ended.code != ConfigError.exit_code or not ended.output, ended.output
        assert ended.seconds < PROMPT, f"{ended.seconds:.1f} s to say {errors[0]}"


def harmless(text: str) -> bool:
    """Whether nothing in `text` drives a terminal or hides itself."""
    return all(one in "\n\t" or unicodedata.category(one) not in ("Cc", "Cf", "Cs", "Zl", "Zp") for one in text)
