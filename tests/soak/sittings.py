"""Commands as processes that can be killed, and what they leave.

A sitting is one command from its start to its end. Most are forks of the soak program, which has imported charlm once:
a start costs milliseconds, so hundreds can be killed in the time of a few. A `fresh` one is a new interpreter.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import json
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from charlm.config.folders import cache_folder

# before torch and Numba are imported: what `charlm.__main__` sets, and one place for machine code, whoever needs it
os.environ.setdefault("GOMP_SPINCOUNT", "10000")
os.environ.setdefault("NUMBA_CACHE_DIR", str(cache_folder() / "compiled"))

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
# Modules that commands open lazily; a fork does not open them again.
TRAINING = (
    "charlm.cli.training_run",
    "charlm.cli.train",
    "charlm.simd",
    "charlm.kernels.compiled_layers",
    "charlm.cli.screen",
    "safetensors.numpy",
)
READING = (
    "charlm.cli.eval",
    "charlm.cli.generate",
    "charlm.cli.writing",
    "charlm.cli.runs",
    "charlm.evaluation.of_run",
)
TOO_LONG = 300.0  # seconds; no command here takes so long
LOOK = 0.002  # seconds between two looks at a process
DATA = ("weights.safetensors", "training.safetensors")
# What a training notes of the time it took.
TIMES = ("seconds", "first_step", "reserve")


def preload(modules: Iterable[str]) -> None:
    """Import what every sitting needs, once."""
    for name in ("charlm.cli.entry", *modules):
        importlib.import_module(name)
    if "charlm.simd" in modules:
        from numba.core.registry import cpu_target

        # reads what Numba knows of every type, half of what a short training takes
        cpu_target.target_context.refresh()


class Place:
    """A working folder with a text in it, a cache of its own, and its runs."""

    def __init__(self, folder: Path, text: str) -> None:
        self.folder, self.runs = folder, folder / "checkpoints"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "cats.txt").write_text(text, encoding="utf-8")
        kept = {name: value for name, value in os.environ.items() if not name.startswith("CHARLM_")}
        self.environment = kept | {"CHARLM_CACHE": str(folder / "cache")}

    def run(self, *arguments: str, **options: Any) -> Sitting:
        """A sitting that is let come to its end; it must end well."""
        sitting = Sitting(self, arguments, **options)
        code = sitting.wait(TOO_LONG)
        assert code == 0, f"{' '.join(arguments)}: exit {code}: {sitting.errors}"
        return sitting


class Sitting:
    """A command under way.

    Args:
        fresh: in a new interpreter.
        before: called in the fork before the command, to change what it will meet.
        output: where its standard output goes; None for a file.
    """

    count = 0

    def __init__(
        self,
        place: Place,
        arguments: Iterable[str],
        *,
        fresh: bool = False,
        before: Callable[[], object] | None = None,
        output: int | None = None,
    ) -> None:
        Sitting.count += 1
        self.place, self.arguments = place, [str(one) for one in arguments]
        self._log = place.folder / f"sitting-{Sitting.count}"
        self.code: int | None = None
        self.began, self.seconds = time.monotonic(), 0.0
        sys.stdout.flush()
        sys.stderr.flush()
        self.pid = os.fork()
        if not self.pid:
            self._become(fresh, before, output)

    def _become(self, fresh: bool, before: Callable[[], object] | None, output: int | None) -> None:
        """The child: never returns."""
        code = 1
        try:
            self._settle(output)
            if before is not None:
                before()
            if fresh:
                os.execve(sys.executable, [sys.executable, "-m", "charlm", *self.arguments], os.environ)
            from charlm.__main__ import hear_again
            from charlm.cli.entry import run

            sys.unraisablehook = hear_again
            code = run(self.arguments)
            sys.stdout.flush()
        except KeyboardInterrupt:
            code = 130
        except SystemExit as stop:
            code = int(stop.code or 0)
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)

    def _settle(self, output: int | None) -> None:
        os.chdir(self.place.folder)
        os.environ.clear()
        os.environ.update(self.place.environment)
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(os.open(f"{self._log}.out", flags) if output is None else output, 1)
        os.dup2(os.open(f"{self._log}.err", flags), 2)
        # streams of their own: those of the soak program remember what they were open to
        sys.stdout, sys.stderr = (open(number, "w", closefd=False) for number in (1, 2))  # noqa: SIM115
        for number in SIGNALS:
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)

    def wait(self, seconds: float) -> int | None:
        """Its exit code as a shell has it, or None where it goes on after so many seconds."""
        end = time.monotonic() + seconds
        while self.code is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                code = os.waitstatus_to_exitcode(status)
                self.code = code if code >= 0 else 128 - code
                self.seconds = time.monotonic() - self.began
            elif time.monotonic() >= end:
                return None
            else:
                time.sleep(LOOK)
        return self.code

    def send(self, number: int = signal.SIGKILL) -> None:
        """A signal, unless it has ended."""
        if self.code is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """Have it gone."""
        self.send()
        self.wait(TOO_LONG)

    @property
    def output(self) -> bytes:
        """What it has written to its standard output so far."""
        return self._read("out")

    @property
    def errors(self) -> str:
        """What it has written to its standard error so far."""
        return self._read("err").decode("utf-8", "replace")

    def _read(self, end: str) -> bytes:
        try:
            return Path(f"{self._log}.{end}").read_bytes()
        except FileNotFoundError:  # killed before it came so far
            return b""

    def records(self) -> list[dict[str, Any]]:
        """The whole lines of JSON that it has written."""
        return [json.loads(line) for line in self.output.decode().splitlines(keepends=True) if line.endswith("\n")]

    def forget(self) -> None:
        """Remove what it wrote."""
        for end in ("out", "err"):
            with contextlib.suppress(OSError):
                os.unlink(f"{self._log}.{end}")


def announced(sitting: Sitting) -> int | None:
    """The step of the last checkpoint that a training with --json said to be saved."""
    return next(
        (one["step"] for one in reversed(sitting.records()) if one["kind"] == "save" and "reason" not in one), None
    )


def outcome(run: Path) -> dict[str, Any]:
    """All that a finished training leaves, but for the time it took: equal where the trainings were the same."""
    if not run.exists():  # it diverged before its first checkpoint
        return {}
    pointers = json.loads((run / "pointers.json").read_text())
    left: dict[str, Any] = {name: pointers[name] for name in ("latest", "best")}
    for step in sorted((run / "steps").iterdir()):
        left[step.name] = {name: hashlib.sha256((step / name).read_bytes()).hexdigest() for name in DATA}
        progress = json.loads((step / "training.json").read_text())
        progress["standing"] = {name: one for name, one in progress["standing"].items() if name not in TIMES}
        left[step.name]["progress"] = progress
    records = map(json.loads, (run / "metrics.jsonl").read_text().splitlines())
    timeless = ("seconds", "characters_per_second", "crc")
    left["evaluations"] = [
        {name: one for name, one in record.items() if name not in timeless}
        for record in records
        if record["kind"] in ("evaluate", "rollback")
    ]
    return left
