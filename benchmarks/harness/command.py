"""Whole commands, as a user starts them: time to the first character, to the end, and peak memory.

A small program of its own starts the command and waits for it: the system counts the memory of whoever starts a
process as that process's own, and a benchmark with torch in it is large.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

# argv: where the answer goes, then the command. Standard output of the command is a terminal, so that its first
# character is on its way when it is written.
LAUNCHER = """
import json, os, sys, time
answer, *command = sys.argv[1:]
mine, its = os.openpty()
started = time.perf_counter()
child = os.fork()
if child == 0:
    os.dup2(its, 1)
    os.close(mine)
    os.execvp(command[0], command)
os.close(its)
first, count = None, 0
while True:
    try:
        data = os.read(mine, 65536)
    except OSError:  # the command has closed its end
        break
    if not data:
        break
    first = first or time.perf_counter() - started
    count += len(data)
_, status, usage = os.wait4(child, 0)
ended = time.perf_counter() - started
with open(answer, "w") as out:
    json.dump([first, ended, usage.ru_maxrss, os.waitstatus_to_exitcode(status), count], out)
"""


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What a command took.

    Attributes:
        first_seconds: to its first byte of output; None where it wrote none.
        seconds: to its end.
        peak_bytes: the most memory it had at once.
        written: bytes of output.
    """

    first_seconds: float | None
    seconds: float
    peak_bytes: int
    written: int


def users_environment(**more: str) -> dict[str, str]:
    """This process's environment as users have it: Python keeps what it compiles of modules."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return {**kept, "TERM": "dumb", **more}


def charlm(*arguments: str) -> list[str]:
    """The command line of `charlm` with this interpreter."""
    return [sys.executable, "-m", "charlm", *arguments]


def cost_of(command: Sequence[str], folder: Path) -> Cost:
    """Run a command to its end. `folder` holds the answer and what the command says on standard error.

    Raises:
        RuntimeError: it failed; the message is what it said.
    """
    answer, said = folder / "cost.json", folder / "stderr.txt"
    with said.open("wb") as errors:
        subprocess.run(
            [sys.executable, "-I", "-S", "-c", LAUNCHER, str(answer), *command],
            stdin=subprocess.DEVNULL,
            stderr=errors,
            env=users_environment(),
            check=True,
        )
    first, seconds, peak, code, written = json.loads(answer.read_text())
    if code != 0:
        raise RuntimeError(f"{' '.join(command)} ended with {code}: {said.read_text(errors='replace')[-500:]}")
    # Linux counts in kilobytes, macOS in bytes
    scale = 1 if sys.platform == "darwin" else 1024
    return Cost(first_seconds=first, seconds=seconds, peak_bytes=peak * scale, written=written)
