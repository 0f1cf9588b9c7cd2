"""The installed command, run as a user runs it in a folder of its own, and what the system says that it took."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from counting import resident

from charlm.cli import entry
from charlm.config.folders import cache_folder

CHECKOUT = Path(__file__).parents[2]
MB = 2**20
PAGE = os.sysconf("SC_PAGE_SIZE")

TINY = ("--hidden-size", "8", "--layers", "1", "--batch-size", "4", "--window-length", "16", "--threads", "1")
"""What makes a training small, where no size is what is tried."""
AT_ONCE = ("--kernels", "torch", "--dtype", "float32")
"""What lets a training begin without a trial of what is fastest."""


@dataclass(frozen=True, kw_only=True)
class Measured:
    """A command that has ended.

    Attributes:
        code: its exit code; less than 0 for a signal.
        output, errors: what it wrote to the two streams.
        peak: the most memory that it ever held, in MB, as the system counted it: pages of mapped files are in it.
    """

    code: int
    output: bytes
    errors: str
    peak: int

    @property
    def error(self) -> str:
        """The last line on standard error."""
        return self.errors.rstrip("\n").rpartition("\n")[2]


@dataclass(frozen=True)
class Child:
    """A command that is running."""

    pid: int

    def held(self) -> float:
        """MB of memory that it holds (Linux)."""
        return resident(self.pid) / MB

    def interrupt(self) -> None:
        """Ctrl-C."""
        os.kill(self.pid, signal.SIGINT)

    def finish(self) -> tuple[int, int]:
        """Wait for its end: the exit code, and the most MB that it held."""
        _, status, usage = os.wait4(self.pid, 0)
        return os.waitstatus_to_exitcode(status), usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024) // MB


class Place:
    """A folder to work in, with cache and runs of its own; machine code is made once for all of them."""

    def __init__(self, folder: Path, *, forked: bool = False) -> None:
        """`forked`: commands are forks of this process, and trainings begin at once, which saves some seconds each."""
        self.folder = folder
        self.folder.mkdir(parents=True, exist_ok=True)
        kept = {name: value for name, value in os.environ.items() if not name.startswith("CHARLM_")}
        named = {"CHARLM_CACHE": str(folder / "cache"), "CHARLM_CHECKPOINTS": str(folder / "runs")}
        self.environment = {"NUMBA_CACHE_DIR": str(cache_folder() / "compiled"), **kept, **named}
        self.environment |= {"PYTHONPATH": str(CHECKOUT), "PYTHONUNBUFFERED": "1"}
        self.tiny = (*TINY, *AT_ONCE) if forked else TINY
        self._forked = forked
        if forked:
            import charlm.training  # noqa: F401 - torch with it

    def write(self, name: str, text: str) -> str:
        """A file here; returns its name."""
        (self.folder / name).write_text(text, encoding="utf-8", newline="")
        return name

    def start(self, *arguments: object, stdin: BinaryIO, stdout: BinaryIO, stderr: BinaryIO) -> Child:
        """The command, started and left running."""
        words = [str(argument) for argument in arguments]
        if not self._forked:
            command = [sys.executable, "-m", "charlm", *words]
            process = subprocess.Popen(
                command, cwd=self.folder, env=self.environment, stdin=stdin, stdout=stdout, stderr=stderr
            )
            process.returncode = 0  # subtle: it is waited for by its number
            return Child(process.pid)
        child = os.fork()
        if not child:
            self._become(words, (stdin, stdout, stderr))
        return Child(child)

    def _become(self, words: list[str], files: tuple[BinaryIO, ...]) -> None:
        """Be the command from here on."""
        code = 1
        try:
            for number, file in enumerate(files):
                os.dup2(file.fileno(), number)
            os.chdir(self.folder)
            os.environ.clear()
            os.environ.update(self.environment)
            code = entry.run(words)
            sys.stdout.flush()
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(code)

    @contextlib.contextmanager
    def running(self, *arguments: object, stdin: bytes = b"") -> Iterator[tuple[Child, BinaryIO, BinaryIO]]:
        """The command, running, with the files that it writes its output and its errors to."""
        with contextlib.ExitStack() as files:
            given, out, err = (
                files.enter_context((self.folder / name).open("w+b")) for name in ("stdin", "stdout", "stderr")
            )
            given.write(stdin)
            given.seek(0)
            yield self.start(*arguments, stdin=given, stdout=out, stderr=err), out, err

    def run(self, *arguments: object, stdin: bytes = b"", code: int = 0) -> Measured:
        """The command, run to its end; another exit code than `code`, or a traceback, is a failure."""
        with self.running(*arguments, stdin=stdin) as (child, out, err):
            ended, peak = child.finish()
            out.seek(0)
            err.seek(0)
            errors = err.read().decode("utf-8", "replace")
            found = Measured(code=ended, output=out.read(), errors=errors, peak=peak)
        assert found.code == code, f"charlm {' '.join(map(str, arguments))}: exit {found.code}: {errors[-400:]}"
        assert "Traceback" not in errors, errors
        return found

    def json(self, *arguments: object) -> Any:
        """What the command prints with ``--json``."""
        return json.loads(self.run(*arguments, "--json").output)

    def records(self, run: str) -> list[dict[str, Any]]:
        """What is in a run's metrics.jsonl."""
        lines = (self.folder / "runs" / run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
        return [json.loads(line) for line in lines]
