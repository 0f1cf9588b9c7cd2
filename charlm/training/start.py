"""From a configuration to a training that is ready to run: data, machine, model, run folder."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable, Collection, Mapping
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from typing import Any

from charlm.config import Config
from charlm.config.shapes import check_shapes, parameter_shapes
from charlm.corpora import Progress
from charlm.errors import CompleteError, ConfigError, RunError
from charlm.evaluation.aside import BaselinesAside
from charlm.kernels.devices import choose_device
from charlm.plurals import counted
from charlm.runs import Data, Run, TrainingCheckpoint, create_run, find_run, open_run_data, prepare, refuse_unkept
from charlm.runs.data import text_change
from charlm.timing import counted_time, paused_seconds
from charlm.training.assembly import (
    CHECKPOINT,
    ENDS,
    changed_config,
    count_training_symbols,
    final_tokens,
    first_occurring,
    lanes_of,
    machine_again,
    make_learner,
    make_trainer,
    onto_another_text,
    run_facts,
)
from charlm.training.choices import (
    passes_of,
    with_batch_that_fits,
    with_lanes,
    with_passes,
    with_rates,
    with_size,
)
from charlm.training.device import choose_machine
from charlm.training.learner import Capture
from charlm.training.machine import Machine
from charlm.training.ngram_choices import LEAST_ORDER, new_ngrams, with_ngrams, with_ngrams_short_enough
from charlm.training.pace import Pace
from charlm.training.plan import Plan, make_plan, memory_estimate, memory_of_machine
from charlm.training.progress import check_progress
from charlm.training.run_folder import check_name, check_place, make_folder
from charlm.training.scoring import scoring_timer, validation_scorer
from charlm.training.summary import MOST_SCORED
from charlm.training.trainer import Trainer
from charlm.training.training import Training
from charlm.training.trial import symbols_per_second

# seconds of compiling and fetching that are worth a word
SHORTEST_PAUSE = 1.0


def start_training(
    config: Config,
    *,
    run: str | None = None,
    root: Path,
    now: datetime,
    fetch: bool = True,
    free: Collection[str] = (),
    progress: Progress | None = None,
    samples: bool | None = True,
    clock: Callable[[], float] = counted_time,
    started: float | None = None,
) -> Training:
    """Prepare a new training: read and encode the text, make model and run folder.

    Args:
        run: the run's name under `root`; None makes one of corpus and time.
        fetch: download a named corpus that is not there.
        free: names of settings that nobody asked for and that can be chosen here, as `Resolved.free` has them.
        samples: make short samples while training; None: where the setting `sample_every` asks for them.
        started: when the time budget began, on `clock`; None for now.

    Raises:
        CharlmError: of the kind that fits; nothing is left behind.
    """
    started, before = clock() if started is None else started, paused_seconds()
    check_place(run, root)
    config, data = _prepared(config, fetch, free, progress)
    config, data, machine = _chosen(config, free, data, lambda: clock() - started, progress)
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
    notices = [*data.notices, *_of_pauses(config, before)]
    return Training(config, data, opened, machine, trainer, notices, baselines, progress)


def resume_training(
    changes: Mapping[str, Any],
    *,
    run: str | None = None,
    root: Path,
    accept_change: bool = False,
    progress: Progress | None = None,
    samples: bool | None = True,
    clock: Callable[[], float] = counted_time,
    started: float | None = None,
) -> Training:
    """Go on with a run from its latest checkpoint, bit for bit where it is on the same machine.

    One that was killed before its first checkpoint begins again.

    Args:
        changes: settings given anew; only those in `CHANGEABLE` may differ from the run's own.
        accept_change: go on with the text as it is now, although it is not the one the run was made with.
        samples: as `start_training` has it.

    Raises:
        ConfigError: a setting that cannot change, or a machine that the run cannot go on with.
        CompleteError: a training that has come to its end.
        CharlmError: of the kind that fits, for damaged runs and changed texts.
    """
    started, before = clock() if started is None else started, paused_seconds()
    at = find_run(run, root)
    if at.which not in (None, "latest"):
        raise ConfigError(f"a run is resumed from its latest checkpoint, not from {at.which}: leave @{at.which} out")
    opened = at.run
    with ExitStack() as held:
        held.enter_context(opened.lock())
        checkpoint = opened.load_training() if opened.was_saved() else None
        if checkpoint is not None:
            check_progress(checkpoint.progress, checkpoint.step)
            _check_arrays(opened, checkpoint)
        then = {} if checkpoint is None else checkpoint.progress
        last = opened.config.with_training(then.get("training", {}), CHECKPOINT)
        config = changed_config(last, changes)
        data = open_run_data(opened, progress=progress, accept_change=accept_change)
        other_text = text_change(opened.facts.get("corpus", {}), data.facts) is not None
        machine = machine_again(config, then.get("machine"), data.tokenizer.vocab_size, progress)
        learner = make_learner(config, data, machine)
        figures = then.get("figures")
        trainer = make_trainer(
            opened, config, data, machine, learner, samples=samples, clock=clock, started=started, figures=figures
        )
        if checkpoint is not None:
            capture = Capture(weights=checkpoint.weights, training=checkpoint.training, progress=checkpoint.progress)
            trainer.restore(onto_another_text(capture, data) if other_text else capture)
            if other_text or any(
                getattr(config.training, name) != getattr(last.training, name) for name in (*ENDS, "patience")
            ):
                trainer.lengthen()
            if config.training.learning_rate != last.training.learning_rate:
                trainer.forget_rate_scale()
            _refuse_complete(opened, trainer)
        if other_text:
            # subtle: the checkpoint first; a run whose text is the new one has no place in the old one any more
            trainer.keeper.save_capture(trainer.capture(), best=False)
            opened.change_facts({"corpus": data.facts})
        unsaved = f"run {opened.name} ended before its first checkpoint and begins again"
        goes_on = [unsaved] if checkpoint is None else [*checkpoint.notices, f"goes on from step {checkpoint.step:,}"]
        notices = [*data.notices, *goes_on, *_of_pauses(config, before)]
        baselines = BaselinesAside(data, MOST_SCORED)
        return Training(config, data, opened, machine, trainer, notices, baselines, progress, held.pop_all())


def _of_pauses(config: Config, before: float) -> list[str]:
    """What to say of pauses since the clock had stood for `before` seconds, where minutes end the training."""
    seconds = paused_seconds() - before
    if seconds < SHORTEST_PAUSE or Pace.of(config.training, 1).seconds is None:
        return []
    return [f"compiling and fetching took {seconds:.0f} seconds, once: --minutes does not count them"]


def _check_arrays(run: Run, checkpoint: TrainingCheckpoint) -> None:
    """Refuse a checkpoint of another model than the run's before anything as large as its settings say is made."""
    shapes = parameter_shapes(run.config.model, run.tokenizer.vocab_size)
    where = f"run {run.name}, checkpoint step {checkpoint.step}"
    check_shapes({name: array.shape for name, array in checkpoint.weights.items()}, shapes, where)
    lanes, model = run.config.training.batch_size, run.config.model
    beside = {"attention": model.attention_window, "ngrams": model.ngram_order - 1}
    for name, array in checkpoint.training.items():
        part = name.split(".")[1] if name.startswith("state.") else ""
        expected = (lanes, beside[part]) if part in beside else (lanes,)
        if name.startswith("state.") and array.shape[: len(expected)] != expected:
            raise RunError(f"{where}: {name} has shape {array.shape}, must begin with {expected}")


def _refuse_complete(run: Run, trainer: Trainer) -> None:
    steps, seconds = trainer.learner.steps, trainer.standing.seconds
    reason = trainer.pace.ended(steps, seconds)
    patience = trainer.config.patience
    if reason is None and patience is not None and trainer.standing.without_improvement >= patience:
        reason = "patience"
    if reason is not None:
        lasted = f"{seconds:.1f} seconds" if seconds < 60 else f"{seconds / 60:.1f} minutes"
        raise CompleteError(
            f"run {run.name} is complete ({counted(steps, 'step')}, {lasted}): "
            f"to go on, give --{reason} a larger number"
        )


def plan_training(
    config: Config,
    *,
    run: str | None = None,
    root: Path = Path(),
    fetch: bool = True,
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
    config, data = _prepared(config, fetch, free, progress)
    config, data, machine = _chosen(config, free, data, lambda: clock() - started, progress)
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


def _prepared(config: Config, fetch: bool, free: Collection[str], progress: Progress | None) -> tuple[Config, Data]:
    """The text, and the settings with a batch that fits it."""
    refuse_unkept(config)
    data = prepare(config.corpus, config.tokenizer, progress=progress, fetch=fetch)
    notice = None
    if "batch_size" in free:
        config, notice = with_batch_that_fits(config, len(data.store.part("train")))
    # what cannot be cut in lanes is refused before anything is compiled for it
    lanes_of(config, data)
    data, training = _noted(data, notice), config.training
    if len(data.store.part("validation")) < 2 and (training.patience is not None or training.schedule == "plateau"):
        data = _noted(data, "there is nothing to validate on, so --patience and the schedule plateau have no effect")
    return config, data


def _chosen(
    config: Config, free: Collection[str], data: Data, spent: Callable[[], float], progress: Progress | None
) -> tuple[Config, Data, Machine]:
    """The machine, and the settings with what depends on how fast it is.

    Args:
        spent: seconds of a time budget that are over.
    """
    V, tokens = data.tokenizer.vocab_size, len(data.store.part("train")) - 1
    counts = count_training_symbols(data)
    # what n-grams bring elsewhere is not measured
    ngrams = choose_device(config.training.device).type == "cpu"
    if ngrams:
        new = new_ngrams(data.store.part("train")) if "ngram_order" in free else []
        config = with_ngrams(config, free, tokens + 1, new)
    machine = choose_machine(config.training, config.model, V, progress=progress)
    if tokens < 1:
        return config, data, machine
    # on CUDA all steps have all symbols in the output layer; elsewhere nearly all steps have these alone
    symbols = V if machine.device.type == "cuda" else first_occurring(counts)
    pace = Pace.of(config.training, tokens)
    speeds: dict[Any, float] = {}  # what was measured once is not measured again

    def speed(config: Config) -> float:
        # how long n-grams are hardly matters
        key = machine, dataclasses.replace(config.model, ngram_order=LEAST_ORDER), config.training.batch_size
        if key not in speeds:
            speeds[key] = symbols_per_second(machine, config.training, config.model, symbols)
        return speeds[key]

    def passes(config: Config) -> float:
        per_second = math.inf if pace.seconds is None else speed(config)
        return passes_of(pace, Pace.tokens_per_step(config.training), tokens, per_second, spent())

    if "hidden_size" in free:
        tried = config.model, config.training.batch_size
        memory = memory_of_machine()
        config, size = with_size(config, V, tokens, passes, lambda tried: memory_estimate(tried, V) < memory / 2)
        data = _noted(data, size)
        if "batch_size" in free and pace.steps is None:
            config, lanes = with_lanes(config, tokens)
            data = _noted(data, lanes)
        if "epochs" in free:
            config, end = with_passes(config, tokens, passes(config))
            data = _noted(data, end)
        if (config.model, config.training.batch_size) != tried:
            machine = choose_machine(config.training, config.model, symbols, progress=progress)
        pace = Pace.of(config.training, tokens)
    if ngrams:
        config, notice = with_ngrams_short_enough(config, free, new, passes)
        data = _noted(data, notice)
    config, notice = with_rates(config, free, V, tokens, passes)
    return config, _noted(data, notice), machine


def _noted(data: Data, notice: str | None) -> Data:
    return data if notice is None else dataclasses.replace(data, notices=(*data.notices, notice))
