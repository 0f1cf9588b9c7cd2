"""Baselines computed beside a training, by a thread of its own: they are there by the time that somebody asks.

On a text of some megabytes they take seconds, most of them xz, and a training can do without them until its end. xz
and NumPy's sorting let other threads run, so the training goes on meanwhile.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading

from charlm.evaluation.remembered import remembered_baselines
from charlm.evaluation.score import Score
from charlm.runs import Data

# Parts that somebody asks for: the training itself when it ends, then most likely `charlm eval`.
ASKED_FOR = ("validation", "test")
NICENESS = 5


class BaselinesAside:
    """The baselines of a text's parts, on their way, the validation split first.

    Args:
        most: of a longer validation split, so much is scored: what a training scores of it when it ends.
    """

    def __init__(self, data: Data, most: int) -> None:
        self._data = data
        self._most = {"validation": most, "test": None}
        self._stopped = False
        self._ready = {part: threading.Event() for part in ASKED_FOR}
        # subtle: a daemon, so that a command that is told to end does not wait for what nobody will ask for
        threading.Thread(target=self._work, name="charlm-baselines", daemon=True).start()

    def scores(self) -> dict[str, Score]:
        """Those of the validation split, by name; waits for them."""
        self._ready["validation"].wait()
        return self._remembered("validation")

    def stop(self) -> None:
        """Nobody will ask for what is not there yet."""
        self._stopped = True

    def _remembered(self, part: str) -> dict[str, Score]:
        return remembered_baselines(self._data, part, self._most[part])

    def _work(self) -> None:
        if sys.platform == "linux":  # where a thread can be nicer than its process
            with contextlib.suppress(OSError):
                os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)
        for part, ready in self._ready.items():
            # whatever goes wrong here goes wrong again, and is told, where they are asked for
            with contextlib.suppress(Exception):
                if not self._stopped:
                    self._remembered(part)
            ready.set()
