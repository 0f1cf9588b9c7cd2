"""What a training chooses by itself where nobody asked for anything: pure rules, each with what it was found on."""

from __future__ import annotations

import dataclasses
import math
from bisect import bisect_left
from collections.abc import Callable, Collection

from charlm.config import Config, ModelConfig, flag_of
from charlm.config.shapes import NGRAM_TABLE, parameter_shapes
from charlm.training.pace import DEFAULT_MINUTES, Pace

# Of the sizes at which each multiplied weight is trained on so many symbols, the largest learns most in its time: a
# smaller one has learnt what it can, a larger one sees too little. docs/training.md has what that was found on.
SYMBOLS_A_WEIGHT = 6.0
# A text that is read so often is known: a larger model with more dropout learns more from the same time, and beyond the
# second none learns much.
PASSES_ENOUGH, MOST_PASSES = 6.0, 10.0
MOST_WEIGHTS_A_SYMBOL = 32.0
# In fewer steps than this nothing is learnt well, however often the text is read; and fewer lanes make more of them.
FEWEST_STEPS = 1000
FEWEST_LANES = 16
SIZES: tuple[int, ...] = (*range(64, 256, 32), *range(256, 768, 64), *range(768, 1025, 128))
"""Units of a layer to choose from: whole vectors and tiles of any processor."""

# The rate of Adam at so many units and steps: few steps have to be longer ones to get anywhere, and with more units as
# long a step of each weight moves the outputs further. docs/recipes.md has what that was found on.
RATE, UNITS_OF_RATE, STEPS_OF_RATE = 0.016, 128, 1000
RATE_BY_UNITS, RATE_BY_STEPS = -0.6, -0.25  # powers
LEAST_RATE, MOST_RATE = 0.001, 0.04

# A model that reads its training split about twice sees nothing often enough to learn it by heart, and learns most
# without dropout and with little weight decay. From there on each doubling of the passes asks for so much more of both,
# and so does each doubling of the weights beyond one for each symbol; docs/training.md and docs/recipes.md have what
# that was found on.
PASSES_WITHOUT_DROPOUT = 2.0
DROPOUT_PER_DOUBLING, MOST_DROPOUT = 0.06, 0.5
DECAY_PER_DOUBLING, MOST_DECAY = 0.06, 0.5
# Weights forget what they were as exp(-decay * the sum of all rates) (Wang and Aitchison, 2024, arXiv:2405.13698): so
# often the decay times the highest rate goes into a training. Where rate and steps are small weights have to grow; how
# much decay is too much there was hardly measured.
FORGOTTEN, MOST_FORGOTTEN_DECAY = 2.0, 0.125
# The share of a time budget that goes into steps; the rest is for evaluations, checkpoints and the last scoring.
SHARE_OF_STEPS = 0.9


def multiplied_weights(model: ModelConfig, vocab_size: int) -> int:
    """Weights that every symbol is multiplied with: all matrices but those that are looked up, which are an embedding
    that is not tied, that of n-grams, and the first layer's input weights of symbols."""
    shapes = parameter_shapes(model, vocab_size)
    matrices = {name: math.prod(shape) for name, shape in shapes.items() if len(shape) == 2}
    # where there is no output_weight, the embedding is multiplied in its place
    looked_up = {"layers.0.input_weight", NGRAM_TABLE} | ({"embedding"} if "output_weight" in shapes else set())
    of_ngrams = model.ngram_embedding_size * shapes["layers.0.input_weight"][0]
    return of_ngrams + sum(count for name, count in matrices.items() if name not in looked_up)


def size_for(
    model: ModelConfig,
    vocab_size: int,
    symbols: int,
    read: Callable[[int], float],
    fits: Callable[[int], bool] = lambda size: True,
) -> int:
    """The largest of `SIZES` of which each weight sees `SYMBOLS_A_WEIGHT`, or that passes over the text
    `PASSES_ENOUGH` times; the smallest where none does.

    Args:
        symbols: of the training split; of weights there are at most `MOST_WEIGHTS_A_SYMBOL` for each.
        read: symbols that a size will be trained on; it is asked for few of them, and for none that does not fit.
        fits: whether there is memory for a size.
    """

    def is_too_large(size: int) -> bool:
        weights = multiplied_weights(dataclasses.replace(model, hidden_size=size), vocab_size)
        if weights > MOST_WEIGHTS_A_SYMBOL * symbols or not fits(size):
            return True
        return read(size) < min(SYMBOLS_A_WEIGHT * weights, PASSES_ENOUGH * symbols)

    return SIZES[max(0, bisect_left(SIZES, True, key=is_too_large) - 1)]


def dropout_for(passes: float, weights_a_symbol: float = 1.0) -> float:
    """The dropout for so many passes over the training split, and weights for each of its symbols."""
    return min(round(DROPOUT_PER_DOUBLING * _doublings(passes, weights_a_symbol), 2), MOST_DROPOUT)


def learning_rate_for(steps: float, hidden_size: int) -> float:
    """Adam's highest rate for so many steps of layers of so many units, to two digits."""
    units = (hidden_size / UNITS_OF_RATE) ** RATE_BY_UNITS
    rate = RATE * units * (max(steps, 1.0) / STEPS_OF_RATE) ** RATE_BY_STEPS
    return _in_two_digits(min(max(rate, LEAST_RATE), MOST_RATE))


def weight_decay_for(rate: float, steps: float, passes: float, weights_a_symbol: float = 1.0) -> float:
    """The decoupled weight decay for so many steps at a highest rate, passes over the training split, and weights for
    each of its symbols; in two digits."""
    forgotten = min(FORGOTTEN / (rate * max(steps, 1.0)), MOST_FORGOTTEN_DECAY)
    return _in_two_digits(min(forgotten + DECAY_PER_DOUBLING * _doublings(passes, weights_a_symbol), MOST_DECAY))


def _in_two_digits(number: float) -> float:
    return float(f"{number:.2g}")


def _doublings(passes: float, weights_a_symbol: float) -> float:
    """Doublings of the passes, and of the weights, beyond those at which nothing is learnt by heart."""
    doublings = math.log2(max(passes, PASSES_WITHOUT_DROPOUT) / PASSES_WITHOUT_DROPOUT)
    # what is hardly seen twice is not learnt by heart by a large model either
    return doublings + min(doublings, 1.0) * math.log2(max(weights_a_symbol, 1.0))


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


def with_size(
    config: Config,
    vocab_size: int,
    tokens_per_epoch: int,
    passes: Callable[[Config], float],
    fits: Callable[[Config], bool],
) -> tuple[Config, str]:
    """The settings with the units that time and text ask for, and what to say about it.

    Args:
        passes: that a training of such settings will make.
        fits: whether there is memory for one.
    """

    def read(size: int) -> float:
        return passes(of_size(config, size)) * tokens_per_epoch

    size = size_for(config.model, vocab_size, tokens_per_epoch, read, lambda size: fits(of_size(config, size)))
    notice = (
        f"hidden size {size}: by the time and the text, at the speed of this machine; --hidden-size decides otherwise"
    )
    return of_size(config, size), notice


def of_size(config: Config, size: int) -> Config:
    """The settings with so many units."""
    return dataclasses.replace(config, model=dataclasses.replace(config.model, hidden_size=size))


def with_lanes(config: Config, tokens_per_epoch: int) -> tuple[Config, str | None]:
    """The settings with fewer lanes where a text is short, and what to say about it."""
    training = config.training
    steps = MOST_PASSES * tokens_per_epoch / Pace.tokens_per_step(training)
    if steps >= FEWEST_STEPS or training.batch_size <= FEWEST_LANES:
        return config, None
    notice = f"{FEWEST_LANES} lanes: a short text is few steps; --batch-size decides otherwise"
    return dataclasses.replace(config, training=dataclasses.replace(training, batch_size=FEWEST_LANES)), notice


def with_passes(config: Config, tokens_per_epoch: int, passes: float) -> tuple[Config, str | None]:
    """The settings that end before a short text is known by heart, and what to say about it."""
    training = config.training
    most = max(MOST_PASSES, math.ceil(FEWEST_STEPS * Pace.tokens_per_step(training) / tokens_per_epoch))
    if passes <= most:
        return config, None
    notice = f"ends after {most:g} passes: the text is known by then; --epochs beside --minutes decides otherwise"
    # the time stays an end, the default as well
    minutes = DEFAULT_MINUTES if training.minutes is None else training.minutes
    training = dataclasses.replace(training, epochs=float(most), minutes=minutes)
    return dataclasses.replace(config, training=training), notice


def with_rates(
    config: Config, free: Collection[str], vocab_size: int, tokens_per_epoch: int, passes: Callable[[Config], float]
) -> tuple[Config, str | None]:
    """The settings with the learning rate, dropout and weight decay that size, passes and steps ask for, and what to
    say about it.

    Args:
        passes: that a training of such settings will make; asked only where something is chosen.
    """
    wanted = [name for name in ("learning_rate", "dropout", "weight_decay") if name in free]
    if not wanted:
        return config, None
    made = passes(config)
    steps = made * tokens_per_epoch / Pace.tokens_per_step(config.training)
    weights_a_symbol = multiplied_weights(config.model, vocab_size) / tokens_per_epoch
    training, model = config.training, config.model
    if "learning_rate" in wanted:
        training = dataclasses.replace(training, learning_rate=learning_rate_for(steps, model.hidden_size))
    if "dropout" in wanted:
        model = dataclasses.replace(model, dropout=dropout_for(made, weights_a_symbol))
    if "weight_decay" in wanted:
        decay = weight_decay_for(training.learning_rate, steps, made, weights_a_symbol)
        training = dataclasses.replace(training, weight_decay=decay)
    values = {"learning_rate": training.learning_rate, "dropout": model.dropout, "weight_decay": training.weight_decay}
    what = ", ".join(f"{name.replace('_', ' ')} {values[name]:g}" for name in wanted)
    *before, last = [flag_of(name) for name in wanted]
    flags = f"{', '.join(before)} and {last} decide" if before else f"{last} decides"
    many = f"for about {made:.1f} passes over the training split"
    return dataclasses.replace(config, model=model, training=training), f"{what}: {many}; {flags} otherwise"


def with_batch_that_fits(config: Config, symbols: int) -> tuple[Config, str | None]:
    """The settings with a batch that so many symbols can fill, and what to say where it is another."""
    training = config.training
    if not 2 <= symbols <= training.batch_size:
        return config, None
    fitting = max(1, (symbols - 1) // training.window_length)
    notice = f"the training split has only {symbols} symbols: --batch-size {fitting} in place of {training.batch_size}"
    return dataclasses.replace(config, training=dataclasses.replace(training, batch_size=fitting)), notice
