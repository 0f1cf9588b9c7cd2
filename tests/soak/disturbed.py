"""Signals sent to a sitting, by itself at a chosen stage or from outside, and how it must end then."""

from __future__ import annotations

import importlib
import os
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from counting import Asked, Count
from kill_and_resume import PLAIN, SIZE, TEXT
from sittings import TOO_LONG, Place, Sitting, outcome

import charlm

OURS = f"{Path(charlm.__file__).parent}{os.sep}"
IN_TIME = 5.0  # seconds from the last signal to the end
LAST_WORDS = 0.5  # of them, where the end was so near that it was an ordinary one
TRAIN = [
    "train", "cats.txt", "--json", *SIZE, *PLAIN, "--dropout", "0.2", "--ema", "0.9", "--schedule", "plateau",
    "--window-jitter", "0.3", "--steps", "12", "--evaluate-every", "3", "--checkpoint-every", "2",
    "--sample-every", "4", "--keep", "1",
]  # fmt: skip


def at_stage(stage: str, call: int, number: int, delays: Sequence[float], mark: Path) -> Callable[[], None]:
    """What a fork does before its command: be ready to send itself a signal.

    Args:
        stage: ``module:function``, which that module calls.
        call: at which call of it, from 1.
        delays: seconds from there to the signal; further ones to further signals.
        mark: the file that gets the time of the last.
    """

    def strike() -> None:
        for delay in delays:
            time.sleep(delay)
            mark.write_text(str(time.monotonic()))
            os.kill(os.getpid(), number)

    def before() -> None:
        module, _, name = stage.partition(":")
        owner, calls = importlib.import_module(module), [0]
        function = getattr(owner, name)

        def reached(*arguments: Any, **options: Any) -> Any:
            calls[0] += 1
            if calls[0] == call:
                threading.Thread(target=strike, daemon=True).start()
            return function(*arguments, **options)

        setattr(owner, name, reached)

    return before


def struck_from_outside(sitting: Sitting, number: int, delays: Sequence[float], mark: Path) -> None:
    """Send the signals, unless it has ended by then."""
    for delay in delays:
        if sitting.wait(delay) is None:
            mark.write_text(str(time.monotonic()))
            sitting.send(number)


def ended_as_told(sitting: Sitting, number: int, mark: Path) -> float | None:
    """The seconds from the last signal to the end; None where it had ended before any.

    Raises:
        AssertionError: another exit code, too late, or with a traceback.
    """
    code = sitting.wait(TOO_LONG)
    ended, errors = time.monotonic(), sitting.errors
    name = f"{signal.Signals(number).name} to {sitting.arguments[0]}"
    assert code is not None, f"{name}: it does not end"
    assert not _is_traceback(errors), f"{name}: {errors[-400:]}"
    if not mark.exists():
        assert code == 0, f"not disturbed, exit {code}: {errors}"
        return None
    late = ended - float(mark.read_text())
    mark.unlink()
    # a signal that finds a process on its last instructions changes nothing any more
    ordinary = code == 0 and late <= LAST_WORDS
    of_python = code == 1 and _is_of_pythons_start(errors)
    assert code == 128 + number or ordinary or of_python, f"{name}: exit {code}, {late:.1f} s later: {errors}"
    assert late <= IN_TIME, f"{name}: ended {late:.1f} s later"
    return late


def _is_traceback(errors: str) -> bool:
    """Whether there is one with a line of charlm's own in it. In Python's own start it is Python that reports."""
    if "Exception ignored" in errors:
        return True
    ours = [line for line in errors.splitlines() if 'File "' in line and OURS in line]
    return any(not line.endswith("in <module>") or "__main__" not in line for line in ours)


def _is_of_pythons_start(errors: str) -> bool:
    """Whether Python was stopped before it came to charlm."""
    return "Traceback" in errors and not any(OURS in line for line in errors.splitlines())


class Bench:
    """A place with a training that nobody disturbed, and what has to be done with one that somebody did."""

    def __init__(self, asked: Asked, count: Count) -> None:
        self.count, self.place, self.slowest = count, Place(asked.folder, TEXT * 4), 0.0
        self.mark = asked.folder / "mark"
        self.seconds = self.place.run(*TRAIN, "--run", "whole").seconds
        self.whole = outcome(self.place.runs / "whole")

    def check(self, sitting: Sitting, number: int) -> bool:
        """How it ended; returns whether the signal came before the end."""
        late = ended_as_told(sitting, number, self.mark)
        if late is not None:
            self.slowest = max(self.slowest, late)
            self.count.notes["slowest end"] = f"{self.slowest:.1f} s"
            self.count.notes["signals"] = int(self.count.notes.get("signals", 0)) + 1
        return late is not None

    @contextmanager
    def training(self, name: str) -> Iterator[Path]:
        """The run that a training is to be disturbed in; afterwards it is let come to its end and compared."""
        run = self.place.runs / name
        try:
            yield run
            if run.exists():
                again = Sitting(self.place, ["train", "--resume", "--run", name, "--json"])
                code = again.wait(TOO_LONG)
                assert code == 0 or "is complete" in again.errors, f"resumed: exit {code}: {again.errors}"
            else:
                self.place.run(*TRAIN, "--run", name)
            assert outcome(run) == self.whole, "another outcome"
        finally:
            shutil.rmtree(run, ignore_errors=True)
