"""Evaluations between steps: when they are due, how much they read, and what they say of the training."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from charlm.config import TrainingConfig
from charlm.evaluation.score import Score
from charlm.models import LanguageModel
from charlm.training.events import Evaluated
from charlm.training.learner import Learner
from charlm.training.pace import Pace
from charlm.training.schedules import PLATEAU_DIVISOR
from charlm.training.standing import Standing

Evaluate = Callable[[LanguageModel, int], Score]


class Finding(NamedTuple):
    """One evaluation: the score, its nats per token (nan where nothing was predicted), whether it is the best so far,
    and the seconds it took."""

    score: Score
    nats: float
    best: bool
    seconds: float

    @property
    def broken(self) -> bool:
        """Whether something was predicted, and that with a loss that is no number."""
        return self.score.tokens > 0 and not math.isfinite(self.nats)

    def told(self, where: Mapping[str, Any], train_nats: float) -> Evaluated:
        """As the event, with the fields that every event has."""
        return Evaluated(
            **where,
            train_nats=train_nats,
            validation_nats=self.nats,
            perplexity=_number(self.score.perplexity),
            bits_per_character=_number(self.score.bits_per_character),
            best=self.best,
        )


def is_due(config: TrainingConfig, pace: Pace, standing: Standing, steps: int, position: Callable[[], float]) -> bool:
    """Whether it is time for one after so many steps; `position` tells how much of the training is done."""
    if config.evaluate_every is not None:
        return steps % config.evaluate_every == 0
    return position() * pace.evaluations() >= standing.evaluations + 1


def done_by(pace: Pace, standing: Standing, position: float) -> int:
    """How many of those that are spread over the training are done with the one that is under way."""
    return max(standing.evaluations + 1, int(position * pace.evaluations()))


def evaluate_now(
    learner: Learner,
    evaluate: Evaluate,
    config: TrainingConfig,
    pace: Pace,
    standing: Standing,
    fastest: float,
    clock: Callable[[], float],
) -> Finding:
    """Score the learner's model; `standing` learns what follows from it. `fastest`: seconds of the fastest step."""
    if not standing.evaluated_symbols:
        # settled once, so that all losses are of the same text; the first steps are slow, the fastest is not
        standing.evaluated_symbols = pace.evaluation_symbols(
            pace.tokens_per_step(config), fastest, config.evaluate_every
        )
    begun = clock()
    # what windows are computed in is not needed meanwhile, and evaluations have numbers of their own
    learner.model.scratch.release()
    with learner.averaged() as model:
        score = evaluate(model, standing.evaluated_symbols)
    nats = _number(score.nats_per_token)
    best = nats < standing.best_nats  # never true for nan
    standing.without_improvement = 0 if best else standing.without_improvement + 1
    if best:
        standing.best_nats = nats
    elif config.schedule == "plateau":
        standing.rate_scale /= PLATEAU_DIVISOR
    return Finding(score, nats, best, clock() - begun)


def _number(figure: float | None) -> float:
    """A figure of a score; nan where nothing was predicted."""
    return math.nan if figure is None else figure
