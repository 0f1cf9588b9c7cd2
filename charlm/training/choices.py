"""What a training chooses by itself where nobody asked for anything: pure rules, each with what it was found on."""

from __future__ import annotations

import dataclasses
import math

from charlm.config import Config
from charlm.training.pace import Pace

# Settings that are chosen here when they are left open.
CHOSEN = ("batch_size", "dropout")

# A model that reads its training split about twice sees nothing often enough to learn it by heart, and learns most
# without dropout. From there on each doubling of the passes asks for so much more; docs/training.md has what that was
# found on.
PASSES_WITHOUT_DROPOUT = 2.0
DROPOUT_PER_DOUBLING = 0.06
MOST_DROPOUT = 0.5
# The share of a time budget that goes into steps; the rest is for evaluations, checkpoints and the last scoring.
SHARE_OF_STEPS = 0.9


def dropout_for(passes: float) -> float:
    """The dropout for so many passes over the training split."""
    wanted = DROPOUT_PER_DOUBLING * math.log2(max(passes, PASSES_WITHOUT_DROPOUT) / PASSES_WITHOUT_DROPOUT)
    return min(round(wanted, 2), MOST_DROPOUT)


def passes_of(pace: Pace, tokens_per_step: int, tokens_per_epoch: int, tokens_per_second: float, spent: float) -> float:
    """How often a training will read its training split.

    Args:
        tokens_per_second: of its steps.
        spent: seconds of a time budget that are over.
    """
    ends = []
    if pace.steps is not None:
        ends.append(pace.steps * tokens_per_step / tokens_per_epoch)
    if pace.seconds is not None:
        ends.append(max(0.0, pace.seconds - spent) * SHARE_OF_STEPS * tokens_per_second / tokens_per_epoch)
    return min(ends)


def with_dropout(config: Config, passes: float) -> tuple[Config, str]:
    """The settings with the dropout that so many passes ask for, and what to say about it."""
    dropout = dropout_for(passes)
    model = dataclasses.replace(config.model, dropout=dropout)
    notice = f"dropout {dropout:g}: about {passes:.1f} passes over the training split; --dropout decides otherwise"
    return dataclasses.replace(config, model=model), notice


def with_batch_that_fits(config: Config, symbols: int) -> tuple[Config, str | None]:
    """The settings with a batch that so many symbols can fill, and what to say where it is another."""
    training = config.training
    if not 2 <= symbols <= training.batch_size:
        return config, None
    fitting = max(1, (symbols - 1) // training.window_length)
    notice = f"the training split has only {symbols} symbols: --batch-size {fitting} in place of {training.batch_size}"
    return dataclasses.replace(config, training=dataclasses.replace(training, batch_size=fitting)), notice
