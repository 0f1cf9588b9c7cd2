"""Fail the k-th system call, or die at it, for every k: of saving, resuming, encoding, fetching, compressing, training.

Real processes under strace: ENOSPC, EIO, EACCES, EROFS, EDQUOT and SIGKILL at each call that opens, writes, flushes,
renames, removes or closes. After each attempt the old state or the new one is there, whole; what was announced is
there; and nothing of an interrupted act is left behind after the next one. And disks that are really full.

    python tests/soak/system_calls.py            all of it
    python tests/soak/system_calls.py --quick    a few attempts of each part, to see that it works; nothing is kept
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import full_disk
import run_trials
import text_trials
import traced
import training_trial
from counting import Asked, Count, Part, main
from trial import Trial

FEW = 2
# Attempts at a whole training, which makes some thousand calls: drawn among all of them.
TRAININGS = 600


def part(trials: Callable[[Path], Iterator[Trial]], what: str, promise: str, most: int | None = None) -> Part:
    """The part that makes every attempt of some trials, or `most` of them."""

    def run(asked: Asked) -> Count:
        count = Count(what=f"{what}: a failing or last system call", promise=promise)
        with count.attempt("without a fault"):
            traced.needed()
            for trial in trials(asked.folder):
                some = FEW if asked.quick else most
                for name, ended in traced.every_fault(trial, asked.folder / "calls.log", some, asked.seed):
                    with count.attempt(name):
                        trial.hold(name, ended)
        return count

    return run


OLD_OR_NEW = "the old state or the new one, whole; what was announced is there; no leftovers"
PARTS: Mapping[str, Part] = {
    "save": part(run_trials.save, "a save, of a new step and of the same again", OLD_OR_NEW),
    "resume": part(run_trials.resume, "a run taken up again", OLD_OR_NEW),
    "create": part(run_trials.create, "a run folder made", OLD_OR_NEW),
    "remove": part(run_trials.remove, "a run folder removed", OLD_OR_NEW),
    "encode": part(text_trials.store, "a text encoded", OLD_OR_NEW),
    "fetch": part(text_trials.fetch, "a corpus fetched", OLD_OR_NEW),
    "compress": part(text_trials.compress, "a file compressed and got back", OLD_OR_NEW),
    "train": part(training_trial.train, "a training", f"{OLD_OR_NEW}; resumed to the same weights", TRAININGS),
    "full": full_disk.full,
    "freed": full_disk.freed,
    "read_only": full_disk.read_only,
}

if __name__ == "__main__":
    sys.exit(main("system_calls", PARTS, __doc__))
