"""A sweep's folder, and all that reads it but the trainings themselves."""

from __future__ import annotations

import math
import time
from pathlib import Path

from specimen import Specimen

from charlm.runs.lock import hold
from charlm.sweeps import folder as sweep_folder
from charlm.sweeps.folder import Outcome, Search
from charlm.sweeps.plan import Plan

TRIALS = ({"hidden_size": 8, "dropout": 0.1}, {"hidden_size": 16, "dropout": 0.2})


def make_sweep(one: Specimen, folder: Path) -> tuple[str, str]:
    """Make one in `folder`, which is there and empty; returns the names of its files."""
    run = one.opened()
    search = Search(
        config=run.config,
        ranges={"hidden_size": "8,16", "dropout": "0.1..0.3"},
        trials=TRIALS,
        plan=Plan(unit="steps", sizes=(2, 1), ends=(3, 9)),
        corpus=run.facts["corpus"],
        free=("batch_size",),
    )
    folder.rmdir()
    sweep_folder.create(folder, search)
    with hold(folder, time.time) as held:
        for trial, values in enumerate(TRIALS, 1):
            outcome = Outcome(
                trial=trial, rung=1, run=f"trial-{trial:03}", values=values, status="trained", reason=None, step=3,
                seconds=1.5, nats_per_character=2.0, bits_per_character=2 / math.log(2),
            )  # fmt: skip
            sweep_folder.append(folder, outcome, held)
    return sweep_folder.SWEEP, sweep_folder.RESULTS


def read_sweep(folder: Path) -> None:
    """Read it, and go by all it says."""
    search, outcomes, _ = sweep_folder.read(folder)
    for number in range(1, len(search.trials) + 1):
        search.config_of(number)
    assert search.plan.total >= 0
    for outcome in sorted(outcomes, key=lambda outcome: outcome.rank):
        assert "/" not in outcome.run
        assert 1 <= outcome.trial <= len(search.trials)
        assert outcome.seconds >= 0
