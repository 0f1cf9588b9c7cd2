"""One trial in one rung: start or resume its training, let it go on to the rung's end, score it."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import datetime
from functools import partial
from pathlib import Path

from charlm.config.resolve import choosable
from charlm.corpora import Progress
from charlm.errors import CompleteError, CorpusError
from charlm.evaluation import score_of, score_stream
from charlm.evaluation.passages import passages
from charlm.evaluation.score import Score
from charlm.models import LanguageModel
from charlm.runs import open_run, remove_run
from charlm.runs.data import text_change
from charlm.sweeps.folder import Search, run_name
from charlm.sweeps.plan import RungPace
from charlm.training import Training, resume_training, start_training
from charlm.training.pace import Pace
from charlm.training.scoring import scoring_timer

# Every trial is scored on the same symbols of the validation split, at most so many: enough to tell two settings
# apart, and no more than is cheap beside a short trial.
MOST_SCORED = 2**16


def open_trial(
    sweep: Path,
    search: Search,
    trial: int,
    end: float,
    spent: float,
    *,
    progress: Progress | None,
    clock: Callable[[], float],
) -> tuple[Training, bool]:
    """A trial's training, and whether there is anything to train up to its rung's `end`.

    Args:
        spent: seconds that the trial has cost in the rungs before, scoring included.

    Raises:
        ConfigError: settings that cannot be trained.
        CorpusError: the text is another than the sweep began with.
        UnavailableError: this machine lacks what a trial is to be trained on, or was before.
        CharlmError: of the kind that fits; nothing is left behind that is not taken up again.
    """
    name, started, complete = run_name(trial), clock(), False
    if not _has_checkpoint(sweep / name):
        config = search.config_of(trial)
        training = start_training(
            config, run=name, root=sweep, now=datetime.min, free=choosable(config, search.free),
            progress=progress, samples=False, clock=clock, started=started,
        )  # fmt: skip
        _refuse_change(search, training)
    else:
        training, complete = _resumed(sweep, search, name, progress, clock, started)
    # nobody reads what simpler models make of the text until a sweep is over
    training.baselines.stop()
    trainer = training.trainer
    # what the scorings of earlier rungs took is not in the checkpoint, but in the trial's time
    trainer.started -= max(0.0, spent - trainer.standing.seconds)
    tokens = len(training.data.store.part("train")) - 1
    trainer.pace = RungPace.until(trainer.pace, Pace.of(search.plan.training(training.config.training, end), tokens))
    validation = training.data.store.part("validation")
    trainer.time_last_scoring = scoring_timer(validation, min(len(validation), MOST_SCORED), training.machine, clock)
    if complete or (trainer.learner.steps and trainer.pace.ended(trainer.learner.steps, trainer.standing.seconds)):
        training.held.close()
        return training, False
    return training, True


def score_trial(training: Training) -> Score | None:
    """The best checkpoint on the sweep's part of the validation split: stream protocol, float32. None without one."""
    text = passages(training.data.store.part("validation"), MOST_SCORED)
    if len(text) < 2:
        return None
    run, machine, tokenizer = training.run, training.machine, training.data.tokenizer
    model = LanguageModel.from_arrays(run.config.model, tokenizer.vocab_size, run.load(None).weights)
    with machine.in_use():
        predictions = score_stream(model.to(machine.device), text, device=machine.device)
    return score_of(predictions, text[1:], tokenizer)


def _resumed(
    sweep: Path, search: Search, name: str, progress: Progress | None, clock: Callable[[], float], started: float
) -> tuple[Training, bool]:
    """A trial that was saved, and whether its training was over then."""
    resume = partial(
        resume_training, run=name, root=sweep, progress=progress, samples=False, clock=clock, started=started
    )
    try:
        return resume({}), False
    except CompleteError:
        # killed behind its last step, or out of patience: it is opened for its figures only
        return resume({search.plan.unit: 2 * search.plan.longest}), True


def _has_checkpoint(folder: Path) -> bool:
    """Whether a trial was saved; what a kill left of one that was not is removed."""
    if not os.path.lexists(folder):
        return False
    if open_run(folder).checkpoints():
        return True
    remove_run(folder)
    return False


def _refuse_change(search: Search, training: Training) -> None:
    change = text_change(search.corpus, training.data.facts)
    if change is not None:
        raise CorpusError(
            f"the corpus {training.data.corpus_name} has changed since the sweep began: {change}; start a new sweep"
        )
