"""How long one command of a checkout takes, or takes until it says something."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from harness.command import users_environment

# What a snippet prints: its own seconds, and what it found.
SECONDS = "seconds:"
# In place of the exit code of a command that ended well, and too early.
NEVER = -1000
GRACE = 20.0  # seconds


class Said:
    """What a command writes on its standard output, and when."""

    def __init__(self) -> None:
        self.text = b""
        self.times: list[tuple[int, float]] = []

    def add(self, data: bytes, now: float) -> None:
        """Some more of it."""
        self.text += data
        self.times.append((len(self.text), now))

    def when(self, words: bytes) -> float | None:
        """When the last of `words` was there; None where they were not said."""
        at = self.text.find(words)
        return next((now for size, now in self.times if size >= at + len(words)), None) if at >= 0 else None


@dataclass(frozen=True, kw_only=True)
class Checkout:
    """One side: a charlm to run, with a folder of its own for everything it keeps.

    Attributes:
        code: the folder that `charlm/` lies in.
        folder: where commands run; runs and caches lie below it.
        extra: environment of all its commands.
    """

    code: Path
    folder: Path
    extra: dict[str, str] = field(default_factory=dict)

    def environment(self) -> dict[str, str]:
        """The environment of its commands."""
        own = {
            "PYTHONPATH": str(self.code),
            "CHARLM_CACHE": str(self.folder / "cache"),
            "CHARLM_CHECKPOINTS": str(self.folder / "checkpoints"),
        }
        return users_environment(**own, **self.extra)

    def seconds(self, arguments: Sequence[str], *, until: str | None = None, after: str = "", **extra: str) -> float:
        """Seconds that Python with `arguments` takes.

        Args:
            until: end when standard output has said so ("": anything); the command is then stopped.
            after: count from when it has said so.
            extra: further environment.

        Raises:
            RuntimeError: it failed, or never said what was waited for.
        """
        errors = self.folder / "stderr.txt"
        with errors.open("wb") as stderr:
            said, started, ended, code = _watch([sys.executable, *arguments], until, stderr, self, extra)
        begun = said.when(after.encode()) if after else started
        if code or begun is None:
            wanted = after or until
            what = f"never said {wanted!r}" if begun is None or code == NEVER else f"ended with {code}"
            raise RuntimeError(f"{' '.join(arguments)} {what}: {errors.read_text(errors='replace')[-800:]}")
        return ended - begun

    def snippet(self, code: str, *arguments: str) -> tuple[float, str]:
        """Seconds that a piece of Python says it took, and the rest of what it said."""
        done = subprocess.run(
            [sys.executable, "-c", code, *arguments],
            cwd=self.folder,
            env=self.environment(),
            capture_output=True,
            text=True,
        )
        if done.returncode:
            raise RuntimeError(f"a snippet ended with {done.returncode}: {done.stderr[-800:]}")
        found, _, seconds = done.stdout.rpartition(SECONDS)
        return float(seconds), found


def _watch(
    command: Sequence[str], until: str | None, stderr: IO[bytes], side: Checkout, extra: dict[str, str]
) -> tuple[Said, float, float, int]:
    """What was said, when it began and ended, and the exit code; 0 where it was stopped as wanted."""
    mine, its = os.openpty()  # what is written to a terminal is on its way at once
    said = Said()
    environment = side.environment() | extra
    started = time.perf_counter()
    with subprocess.Popen(
        command, cwd=side.folder, env=environment, stdin=subprocess.DEVNULL, stdout=its, stderr=stderr
    ) as process:
        os.close(its)
        while data := _read(mine):
            said.add(data, time.perf_counter())
            ended = None if until is None else said.when(until.encode())
            if ended is not None:
                _end(process)
                os.close(mine)
                return said, started, ended, 0
        code = process.wait()
        ended = time.perf_counter()
    os.close(mine)
    return said, started, ended, code or (NEVER if until is not None else 0)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Stop a command, politely: what it has started beside it must not run on while others are timed."""
    process.terminate()
    try:
        process.wait(GRACE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 1 << 16)
    except OSError:  # nobody holds the other end any more
        return b""
