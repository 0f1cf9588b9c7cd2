"""From a configuration to a training that is ready to run, or to what it would cost."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Collection
from datetime import datetime
from pathlib import Path

from charlm.config import Config
from charlm.corpora import Progress
from charlm.evaluation.aside import BaselinesAside
from charlm.runs import create_run
from charlm.timing import counted_time, paused_seconds
from charlm.training.assembly import final_tokens, make_learner, make_trainer, notices_of_pauses, run_facts
from charlm.training.decisions import decide, read_text
from charlm.training.pace import Pace
from charlm.training.plan import Plan, make_plan
from charlm.training.run_folder import check_name, check_place, make_folder
from charlm.training.scoring import scoring_timer, validation_scorer
from charlm.training.summary import MOST_SCORED
from charlm.training.training import Training


def start_training(
    config: Config,
    *,
    run: str | None = None,
    root: Path,
    now: datetime,
    free: Collection[str] = (),
    progress: Progress | None = None,
    samples: bool | None = True,
    clock: Callable[[], float] = counted_time,
    started: float | None = None,
) -> Training:
    """Prepare a new training: read and encode the text, make model and run folder.

    Args:
        run: the run's name under `root`; None makes one of corpus and time.
        free: names of settings that nobody asked for and that can be chosen here, as `Resolved.free` has them.
        samples: make short samples while training; None: where the setting `sample_every` asks for them.
        started: when the time budget began, on `clock`; None for now.

    Raises:
        CharlmError: of the kind that fits; nothing is left behind.
    """
    started, before = clock() if started is None else started, paused_seconds()
    check_place(run, root)
    config, data = read_text(config, free, progress)
    config, data, machine = decide(config, free, data, lambda: clock() - started, progress)
    # a run says what it was trained with, whatever becomes of the default
    config = config.with_training({"weight_decay": config.training.decay}, "training")
    if config.tokenizer.min_count is None:
        tokenizer = dataclasses.replace(config.tokenizer, min_count=data.tokenizer.min_count)
        config = dataclasses.replace(config, tokenizer=tokenizer)
    learner = make_learner(config, data, machine)
    # the last thing that can fail for a reason of the user's: before it, nothing is left behind
    facts = run_facts(data, machine)
    opened = make_folder(
        run,
        root,
        now,
        data.corpus_name,
        lambda folder: create_run(folder, config=config, facts=facts, tokenizer=data.tokenizer),
    )
    trainer = make_trainer(opened, config, data, machine, learner, samples=samples, clock=clock, started=started)
    baselines = BaselinesAside(data, MOST_SCORED)
    notices = [*data.notices, *notices_of_pauses(config, before)]
    return Training(config, data, opened, machine, trainer, notices, baselines, progress)


def plan_training(
    config: Config,
    *,
    run: str | None = None,
    root: Path = Path(),
    free: Collection[str] = (),
    progress: Progress | None = None,
    clock: Callable[[], float] = counted_time,
    started: float | None = None,
) -> Plan:
    """What a training of `config` would cost; leaves no run behind. Arguments as of `start_training`.

    Raises:
        CharlmError: of the kind that `start_training` raises, for a name that is taken too.
    """
    started = clock() if started is None else started
    check_name(run, root)
    config, data = read_text(config, free, progress)
    config, data, machine = decide(config, free, data, lambda: clock() - started, progress)
    learner = make_learner(config, data, machine)
    spent = clock() - started
    tokens = len(data.store.part("train")) - 1
    validation = data.store.part("validation")
    evaluate = validation_scorer(validation, data.tokenizer, machine)
    time_last_scoring = scoring_timer(validation, final_tokens(data), machine, time.perf_counter)
    with machine.in_use():
        pace = Pace.of(config.training, tokens)
        plan = make_plan(config, learner, pace, tokens, evaluate, time_last_scoring, spent)
    return dataclasses.replace(plan, notices=data.notices)
