"""An act in a process of its own whose k-th system call fails, or is its last: strace does that, from outside.

The process is forked from this one, so that what the act needs is imported already and k counts the act's own calls.
"""

from __future__ import annotations

import json
import mmap
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from counting import NotHereError

from charlm.errors import CharlmError

if TYPE_CHECKING:
    from trial import Trial

# All that changes files, and what comes before and after; ? is for what only some processors have.
CALLS = (
    "?open", "openat", "?creat", "write", "pwrite64", "writev", "fsync", "fdatasync", "ftruncate", "close",
    "?rename", "renameat", "renameat2", "?link", "linkat", "?mkdir", "mkdirat", "?unlink", "unlinkat", "?rmdir",
    "flock", "copy_file_range", "sendfile",
)  # fmt: skip
KILL = "signal=SIGKILL"
FAULTS = ("error=ENOSPC", "error=EIO", "error=EACCES", "error=EROFS", "error=EDQUOT", KILL)
PAUSE = 0.0005  # seconds between two looks at a process
MOST_LOOKS = 400_000

Say = Callable[[str], None]
Act = Callable[[Say], None]


@dataclass(frozen=True, kw_only=True)
class Ended:
    """How an act ended.

    Attributes:
        code: its exit code; None where it was killed.
        said: what it announced, a line each.
        error: the `CharlmError` that ended it, or a traceback of anything else.
        printed: what it wrote to standard output and standard error.
        call: the call that did not happen, as strace shows it; empty where the act ended before it.
        calls: how often each kind of call was made.
    """

    code: int | None
    said: list[str]
    error: str
    printed: str
    call: str
    calls: Counter[str]


class Notebook:
    """What a process says, in memory shared with its parent: no system call, and it outlives a kill."""

    SIZE = 1 << 16

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, self.SIZE)
        self._end = 0

    def say(self, key: str, text: str) -> None:
        line = json.dumps([key, text[:8000]]).encode() + b"\n"
        self._memory[self._end : self._end + len(line)] = line
        self._end += len(line)

    def all(self, key: str) -> list[str]:
        lines = self._memory[:].rstrip(b"\0").splitlines()
        return [text for found, text in map(json.loads, lines) if found == key]


def needed() -> None:
    """Raise `NotHereError` where strace is not there or may not watch processes."""
    if shutil.which("strace") is None:
        raise NotHereError("this needs strace, which is not installed")
    tried = subprocess.run(["strace", "-o", os.devnull, "true"], capture_output=True, text=True)
    if tried.returncode:
        raise NotHereError(f"this needs strace, which may not watch processes: {tried.stderr.strip()}")


def every_fault(trial: Trial, log: Path, some: int | None = None, seed: int = 0) -> Iterator[tuple[str, Ended]]:
    """Do the act with each fault at its k-th call of each kind, for k = 1, 2, ... until it ends without reaching it.

    Args:
        some: only so many of all these attempts, drawn at random from `seed`.

    Yields:
        Words that name the fault, and how the act ended.
    """
    trial.prepare()
    whole = run(trial.act, log)
    if whole.code != 0:
        raise AssertionError(f"without a fault: {whole.error}{whole.printed}")
    kinds = sorted(whole.calls.items())
    attempts = [(kind, k, fault) for kind, calls in kinds for k in range(1, calls + 2) for fault in FAULTS]
    if some is not None and some < len(attempts):
        attempts = sorted(random.Random(seed).sample(attempts, some))
    for kind, k, fault in attempts:
        trial.prepare()
        ended = run(trial.act, log, f"{kind}:{fault}:when={k}")
        if ended.call or k <= whole.calls[kind]:
            yield f"{fault} at {kind} {k} ({ended.call.strip()[:120] or 'not reached'})", ended


def run(act: Act, log: Path, inject: str | None = None, *, watched: bool = True) -> Ended:
    """Do `act` in a forked process, under strace if it is to be watched.

    Args:
        log: strace writes it; what the process prints goes into a file beside it.
        inject: a fault in strace's words.
    """
    notebook, printed = Notebook(), log.with_suffix(".printed")
    ours, theirs = socket.socketpair()
    process = os.fork()
    if process == 0:
        _act(act, notebook, theirs, printed)
    theirs.close()
    ours.recv(1)  # it is ready
    watching = ["-e", f"trace={','.join(CALLS)}"] + (["-e", f"inject={inject}"] if inject else [])
    command = ["strace", "-f", "-qq", "-y", "-o", log, *watching, "-p", str(process)]
    strace = subprocess.Popen(command) if watched else None
    try:
        if strace is not None:
            _until_watched(process, strace)
    finally:
        ours.send(b"!")
    status = _wait(process)
    lines = []
    if strace is not None:
        strace.wait()
        lines = log.read_text(errors="replace").splitlines()
    return Ended(
        code=None if os.WIFSIGNALED(status) else os.waitstatus_to_exitcode(status),
        said=notebook.all("said"),
        error="".join(notebook.all("error")),
        printed=printed.read_text(encoding="utf-8", errors="replace"),
        call=_missed(lines),
        calls=Counter(match[1] for line in lines if (match := re.match(r"\d+ +(\w+)\(", line))),
    )


def _act(act: Act, notebook: Notebook, parent: socket.socket, printed: Path) -> NoReturn:
    """What the forked process does; it ends here."""
    code = 1
    try:
        output = os.open(printed, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(output, 1)
        os.dup2(output, 2)
        parent.send(b"!")
        parent.recv(1)
        code = 0
        act(lambda text: notebook.say("said", text))
    except CharlmError as error:
        code = error.exit_code
        notebook.say("error", str(error))
    except SystemExit as stop:
        code = int(stop.code or 0)
    except BaseException:
        code = 1
        notebook.say("error", traceback.format_exc())
    finally:
        os._exit(code)


def _until_watched(process: int, strace: subprocess.Popen[bytes]) -> None:
    status = Path(f"/proc/{process}/status")
    while "TracerPid:\t0\n" in status.read_text():
        if strace.poll() is not None:
            raise RuntimeError("this needs strace, which could not watch a process: nothing was tried")
        time.sleep(PAUSE)


def _wait(process: int) -> int:
    """The process's status; one that hangs is killed, which is no fault that was asked for."""
    # looks, not seconds: who is stopped for a while himself must not find that the other hangs
    for _ in range(MOST_LOOKS):
        ended, status = os.waitpid(process, os.WNOHANG)
        if ended:
            return status
        time.sleep(PAUSE)
    os.kill(process, signal.SIGKILL)
    os.waitpid(process, 0)
    raise TimeoutError("the act does not end")


def _missed(lines: list[str]) -> str:
    """The call that did not happen."""
    missed = [line for line in lines if "(INJECTED)" in line or line.endswith(" = ?")]
    return re.sub(r"^\d+ +", "", missed[0]) if missed else ""
