"""A training gone on with, from its latest checkpoint."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from charlm.config.parts import ENDS
from charlm.config.shapes import check_shapes, parameter_shapes
from charlm.corpora import Progress
from charlm.errors import CompleteError, ConfigError, RunError
from charlm.evaluation.aside import BaselinesAside
from charlm.plurals import counted
from charlm.runs import Run, TrainingCheckpoint, find_run, open_run_data
from charlm.runs.data import text_change
from charlm.timing import counted_time, paused_seconds
from charlm.training.assembly import (
    CHECKPOINT,
    changed_config,
    machine_again,
    make_learner,
    make_trainer,
    notices_of_pauses,
    onto_another_text,
)
from charlm.training.learner import Capture
from charlm.training.progress import check_progress
from charlm.training.summary import MOST_SCORED
from charlm.training.trainer import Trainer
from charlm.training.training import Training


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
            refuse_complete(opened, trainer)
        if other_text:
            # subtle: the checkpoint first; a run whose text is the new one has no place in the old one any more
            trainer.keeper.save_capture(trainer.capture(), best=False)
            opened.change_facts({"corpus": data.facts})
        unsaved = f"run {opened.name} ended before its first checkpoint and begins again"
        goes_on = [unsaved] if checkpoint is None else [*checkpoint.notices, f"goes on from step {checkpoint.step:,}"]
        notices = [*data.notices, *goes_on, *notices_of_pauses(config, before)]
        baselines = BaselinesAside(data, MOST_SCORED)
        return Training(config, data, opened, machine, trainer, notices, baselines, progress, held.pop_all())


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


def refuse_complete(run: Run, trainer: Trainer) -> None:
    """Raises `CompleteError` where nothing is left to do by the run's own ends."""
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
