"""From what was asked to a sweep that is ready to run; and from its folder to one that goes on."""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Callable, Iterable
from datetime import datetime
from pathlib import Path

from charlm.config import Config
from charlm.config.ranges import Range, SweepConfig, draw_trials, parse_ranges
from charlm.corpora import Progress
from charlm.errors import ConfigError, CorpusError, RunError
from charlm.registry import suggestion
from charlm.runs import Data, new_run_name, prepare
from charlm.runs.files import shown
from charlm.sweeps import folder as files
from charlm.sweeps.folder import SWEEP, Search
from charlm.sweeps.plan import make_plan
from charlm.sweeps.sweep import Sweep


def start_sweep(
    config: Config,
    ranges: Iterable[str],
    sweep: SweepConfig,
    *,
    folder: str | None = None,
    root: Path,
    now: datetime,
    fit_batch: bool = False,
    progress: Progress | None = None,
    clock: Callable[[], float] = time.monotonic,
    started: float | None = None,
) -> Sweep:
    """Prepare a new sweep: draw the trials, plan the rungs, read the text, make the folder.

    Args:
        config: settings of all trials. `minutes` are those of the whole sweep, `steps` or `epochs` those of the
            longest trial; the trials are drawn with its `seed`.
        ranges: what is searched, ``NAME=LOW..HIGH`` or ``NAME=A,B,C`` (`charlm.config.ranges`).
        folder: the sweep's name under `root`, or its path; None makes one of corpus and time.
        fit_batch: as `charlm.training.start_training`, in every trial.
        started: when the time budget began, on `clock`; None for now.

    Raises:
        CharlmError: of the kind that fits; nothing is left behind.
    """
    started = clock() if started is None else started
    found = parse_ranges(ranges)
    if "-" in config.corpus.corpus:
        raise ConfigError("a sweep reads its text again for every trial: save standard input to a file first")
    make_plan(config.training, sweep)  # what it refuses is refused before the text is read
    data = prepare(config.corpus, config.tokenizer, progress=progress, fetch=True)
    if len(data.store.part("validation")) < 2:
        raise CorpusError(f"the validation split of {data.corpus_name} has nothing to compare trials by: give --split")
    search = _search(config, found, sweep, data, clock() - started, fit_batch)
    place = _new_folder(folder, data.corpus_name, root, now)
    files.create(place, search)
    return Sweep(place, search, notices=data.notices, progress=progress, clock=clock)


def resume_sweep(
    name: str, *, root: Path, progress: Progress | None = None, clock: Callable[[], float] = time.monotonic
) -> Sweep:
    """A sweep that goes on where it was stopped or killed; of one that is complete, nothing is left but its ranking.

    Args:
        name: of a sweep in `root`, or the path of its folder.

    Raises:
        RunError: there is none, or it is damaged.
    """
    place = root / name if (root / name / SWEEP).is_file() else Path(name)
    if not name or not place.is_dir():
        near = suggestion(name, [path.parent.name for path in root.glob(f"*/{SWEEP}")])
        raise RunError(f"no sweep {name!r} in {shown(root)}{near}; charlm sweep makes one")
    search, outcomes, notices = files.read(place)
    return Sweep(place, search, outcomes, notices=notices, progress=progress, clock=clock)


def _search(
    config: Config, ranges: dict[str, Range], sweep: SweepConfig, data: Data, spent: float, fit_batch: bool
) -> Search:
    """The trials, each of them a configuration that can be; fewer where the ranges hold no more."""
    wanted = make_plan(config.training, sweep, spent).sizes[0]
    trials = draw_trials(ranges, wanted, config.training.seed)
    search = Search(
        config=config,
        ranges={name: one.text for name, one in ranges.items()},
        trials=tuple(trials),
        plan=make_plan(config.training, dataclasses.replace(sweep, trials=len(trials)), spent),
        corpus=data.facts,
        fit_batch=fit_batch and "batch_size" not in ranges,
    )
    for trial in range(1, len(trials) + 1):
        search.config_of(trial)
    return search


def _new_folder(folder: str | None, corpus_name: str, root: Path, now: datetime) -> Path:
    if folder is None:
        return root / new_run_name(f"{corpus_name}-sweep", now, root)
    if not Path(folder).name or Path(folder).name.startswith("."):
        raise ConfigError(f"{folder!r} is no name for a sweep's folder: it must not be empty or start with a dot")
    return Path(folder) if os.sep in folder else root / folder
