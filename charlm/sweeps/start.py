"""From what was asked to a sweep that is ready to run; and from its folder to one that goes on."""

from __future__ import annotations

import dataclasses
import errno
import os
from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from charlm.config import PRESETS, Config, Layer, call_layer, resolve
from charlm.config.ranges import Range, SweepConfig, draw_trials, parse_ranges
from charlm.config.sections import NGRAM_SETTINGS
from charlm.corpora import Progress
from charlm.errors import ConfigError, CorpusError, RunError
from charlm.registry import lookup, suggestion
from charlm.runs import Data, checkpoints_folder, new_run_name, prepare, refuse_unkept
from charlm.runs.data import refuse_read_once
from charlm.runs.files import in_words, shown
from charlm.runs.opening import SWEEP
from charlm.sweeps import folder as files
from charlm.sweeps.events import SweepEvent
from charlm.sweeps.folder import Search
from charlm.sweeps.plan import make_plan
from charlm.sweeps.sweep import Sweep
from charlm.timing import counted_time
from charlm.training.device import choose_machine
from charlm.training.run_folder import check_folder

# What a trial chooses as any training does. Not its size, by the speed of the moment: trials would not be of one.
FREE = ("batch_size", "learning_rate", "dropout", "weight_decay", *NGRAM_SETTINGS)


def start_sweep(
    config: Config,
    ranges: Iterable[str],
    wanted: SweepConfig,
    *,
    folder: str | None = None,
    root: Path,
    now: datetime,
    free: Collection[str] = (),
    progress: Progress | None = None,
    clock: Callable[[], float] = counted_time,
    started: float | None = None,
) -> Sweep:
    """Prepare a new sweep: draw the trials, plan the rungs, read the text, make the folder.

    Args:
        config: settings of all trials. `minutes` are those of the whole sweep, `steps` or `epochs` those of the
            longest trial; the trials are drawn with its `seed`.
        ranges: what is searched, ``NAME=LOW..HIGH`` or ``NAME=A,B,C`` (`charlm.config.ranges`).
        wanted: how many trials, and how fast they are given up.
        folder: the sweep's name under `root`, or its path; None makes one of corpus and time.
        free: names of settings that nobody asked for, as `Resolved.free` has them; each trial chooses those of `FREE`.
        started: when the time budget began, on `clock`; None for now.

    Raises:
        CharlmError: of the kind that fits; nothing is left behind.
    """
    started = clock() if started is None else started
    found = parse_ranges(ranges)
    refuse_read_once(config.corpus, "a sweep")
    refuse_unkept(config)
    make_plan(config.training, wanted)  # what it refuses is refused before the text is read
    named = None if folder is None else _named(folder, root)
    check_folder(named.parent if named else root, "sweep", "--folder")
    if named is not None:
        files.refuse_taken(named)
    data = prepare(config.corpus, config.tokenizer, progress=progress, fetch=True)
    if len(data.store.part("validation")) < 2:
        raise CorpusError(f"the validation split of {data.corpus_name} has nothing to compare trials by: give --split")
    # what a first use compiles is not to be the first trial's loss; and a device that is not there is found out here
    choose_machine(config.training, config.model, data.tokenizer.vocab_size, progress=progress)
    search = _search(config, found, wanted, data, clock() - started, free)
    place = named or root / new_run_name(f"{data.corpus_name}-sweep", now, root)
    files.create(place, search)
    return Sweep(place, search, notices=data.notices, progress=progress, clock=clock)


def resume_sweep(name: str, *, root: Path, progress: Progress | None = None) -> Sweep:
    """A sweep that goes on where it was stopped or killed; of one that is complete, nothing is left but its ranking.

    Args:
        name: of a sweep in `root`, or the path of its folder.

    Raises:
        RunError: there is none, or it is damaged.
    """
    place = _place(name, root)
    if place is None:
        near = suggestion(name, [path.parent.name for path in root.glob(f"*/{SWEEP}")])
        raise RunError(f"no sweep {name!r} in {shown(root)}{near}; charlm sweep makes one")
    search, outcomes, notices = files.read(place)
    return Sweep(place, search, outcomes, notices=notices, progress=progress, clock=counted_time)


def _place(name: str, root: Path) -> Path | None:
    """The folder that `name` means: a sweep's in `root`, or any by its path."""
    if not name or "\0" in name:
        return None
    try:
        place = root / name if (root / name / SWEEP).is_file() else Path(name)
        return place if place.is_dir() else None
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            return None
        raise RunError(f"sweep folder {shown(name)} cannot be read: {in_words(error)}") from None


def sweep(
    *texts: str,
    ranges: Mapping[str, str],
    folder: str | None = None,
    root: str | Path | None = None,
    preset: str | None = None,
    on_event: Callable[[SweepEvent], None] | None = None,
    trials: int | None = None,
    halving: int = 3,
    **settings: Any,
) -> Sweep:
    """`charlm.sweep`: search for settings to the end; `ranking()` and `best_run()` of the result say what came out.

    Args:
        texts: named corpora (fetched when absent), files or folders; none for ``shakespeare``.
        ranges: what is searched, by name of the setting: ``{"dropout": "0..0.5", "cell": "gru,lstm"}``.
        folder: the sweep's name or path; None makes one of corpus and time.
        root: the folder of runs; None for ./checkpoints or what CHARLM_CHECKPOINTS names.
        preset: a name in `charlm.config.PRESETS`.
        on_event: called with each event of `charlm.sweeps.events` as it happens.
        trials, halving: as `charlm.config.ranges.SweepConfig` has them.
        settings: any other setting of `Config`; `minutes` are those of the whole sweep.

    Raises:
        CharlmError: of the kind that fits; see `charlm.errors`.
    """
    layers = [Layer(origin=f"preset {preset}", values=lookup(PRESETS, preset, "preset"))] if preset else []
    if twice := sorted(set(ranges) & set(settings)):
        raise ConfigError(f"{twice[0]} is given beside its range: give one of them")
    layers.append(call_layer(texts, settings))
    resolved = resolve(layers)
    found = start_sweep(
        resolved.config,
        [f"{name}={text}" for name, text in ranges.items()],
        SweepConfig(trials=trials, halving=halving),
        folder=folder,
        root=checkpoints_folder() if root is None else Path(root),
        now=datetime.now(),
        free=resolved.free,
    )
    for event in found.events():
        if on_event is not None:
            on_event(event)
    return found


def _search(
    config: Config, ranges: dict[str, Range], wanted: SweepConfig, data: Data, spent: float, free: Collection[str]
) -> Search:
    """The trials, each of them a configuration that can be; fewer where the ranges hold no more."""
    trials = draw_trials(ranges, make_plan(config.training, wanted, spent).sizes[0], config.training.seed)
    search = Search(
        config=config,
        ranges={name: one.text for name, one in ranges.items()},
        trials=tuple(trials),
        plan=make_plan(config.training, dataclasses.replace(wanted, trials=len(trials)), spent),
        corpus=data.facts,
        free=tuple(name for name in FREE if name in free and name not in ranges),
    )
    for trial in range(1, len(trials) + 1):
        search.config_of(trial)
    return search


def _named(folder: str, root: Path) -> Path:
    if not Path(folder).name or Path(folder).name.startswith(".") or "\0" in folder:
        raise ConfigError(
            f"{folder!r} is no name for a sweep's folder: it must not be empty, start with a dot or have a NUL in it"
        )
    return Path(folder) if os.sep in folder else root / folder
