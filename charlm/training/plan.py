"""What a training will cost, told before it starts."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

from charlm.config import Config
from charlm.config.shapes import NGRAM_TABLE, parameter_shapes
from charlm.evaluation.score import Score
from charlm.models import LanguageModel
from charlm.plurals import counted
from charlm.training.learner import Learner
from charlm.training.pace import Pace, after_the_last_step

BYTES = 4  # of a float32
# Arrays of H numbers that a layer keeps per lane and time step: input and output, both packed once more for gradients
# of weights, and for each gate itself and its gradient, memory among them.
ACTIVATIONS, ACTIVATIONS_PER_GATE = 4, 2
# The interpreter with torch in it, before any model; and what a build for CUDA loads, whether there is a GPU or not.
BASE_BYTES, CUDA_BYTES = 350 * 2**20, 450 * 2**20

WARM_STEPS, TIMED_STEPS = 2, 5


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Size, memory, speed and duration of a training.

    Attributes:
        parameters: numbers that are learnt.
        memory_bytes: estimated peak of the process.
        characters_per_second: measured over a few steps that were then thrown away.
        steps: optimiser steps to the end.
        seconds: time to the end, getting ready, evaluations and the last scoring in it.
        evaluating_seconds: how much of it those take; one was timed.
        epochs: passes over the training split.
        machine: device, threads and number format, in words.
        notices: lines for the user about how the text was read.
    """

    parameters: int
    memory_bytes: int
    characters_per_second: float
    steps: int
    seconds: float
    evaluating_seconds: float
    epochs: float
    machine: str
    notices: tuple[str, ...] = ()

    def lines(self) -> list[str]:
        """The plan in words, one fact a line."""
        return [
            f"parameters      {self.parameters:,}",
            f"memory          about {self.memory_bytes / 2**20:,.0f} MB",
            f"machine         {self.machine}",
            f"speed           {self.characters_per_second:,.0f} characters/s, measured over {TIMED_STEPS} steps",
            f"length          {self.steps:,} steps, {self.epochs:.2f} passes over the training split",
            f"time            about {_duration(self.seconds)}, {_duration(self.evaluating_seconds)} of it to evaluate",
        ]


def make_plan(
    config: Config,
    learner: Learner,
    pace: Pace,
    tokens_per_epoch: int,
    evaluate: Callable[[LanguageModel, int], Score] | None,
    time_last_scoring: Callable[[LanguageModel], float],
    spent: float,
) -> Plan:
    """Time a few steps, an evaluation and a block of the last scoring; `learner` must not be trained afterwards.

    Args:
        evaluate, time_last_scoring: as `Trainer` has them.
        spent: seconds that a training would have taken by now, of its time budget too.
    """
    seconds_per_step, characters_per_step = _time_steps(learner)
    every, tokens_per_step = config.training.evaluate_every, pace.tokens_per_step(config.training)
    evaluation, last = 0.0, 0.0
    if evaluate is not None:
        begun = time.perf_counter()
        evaluate(learner.model, pace.evaluation_symbols(tokens_per_step, seconds_per_step, every))
        evaluation = time.perf_counter() - begun
        last = time_last_scoring(learner.model)
        if pace.seconds is not None:
            last = pace.keeping(after_the_last_step(last, evaluation)).reserve
    steps = math.inf if pace.steps is None else pace.steps
    if pace.seconds is not None:
        left = pace.seconds - spent - last - (0 if every else pace.evaluations() * evaluation)
        # each of these steps brings its share of an evaluation with it
        steps = min(steps, left / (seconds_per_step + (evaluation / every if every else 0)))
    steps = max(1, math.floor(steps))
    evaluating = pace.evaluations_of(steps, every) * evaluation + last
    return Plan(
        parameters=learner.model.count_parameters(),
        memory_bytes=memory_estimate(config, learner.model.vocab_size),
        characters_per_second=characters_per_step / seconds_per_step,
        steps=steps,
        seconds=spent + steps * seconds_per_step + evaluating,
        evaluating_seconds=evaluating,
        epochs=steps * tokens_per_step / tokens_per_epoch,
        machine=learner.machine.describe(),
    )


def memory_estimate(config: Config, vocab_size: int) -> int:
    """Estimated peak memory of a training, in bytes: interpreter, weights and their companions, activations."""
    model, training = config.model, config.training
    shapes = parameter_shapes(model, vocab_size)
    table = math.prod(shapes.get(NGRAM_TABLE, (0,)))
    weights = sum(math.prod(shape) for shape in shapes.values()) - table
    gates = shapes["layers.0.recurrent_weight"][0] // model.hidden_size
    # weights, gradients, two moments, and the last good copy of weights and moments; the average if any
    averages = 2 if training.ema else 0
    companions = 7 + averages
    per_step = model.layers * model.hidden_size * (ACTIVATIONS + ACTIVATIONS_PER_GATE * gates) + 3 * vocab_size
    per_step += (3 * model.ngram_order + 5) * model.ngram_embedding_size
    A = model.attention_window
    if A:  # its scores, shares and means over the past
        per_step += 3 * (A + training.window_length) + 5 * model.hidden_size
    activations = training.batch_size * (training.window_length * per_step + 3 * A * model.hidden_size)
    base = BASE_BYTES + (CUDA_BYTES if torch.version.cuda else 0)
    # the table of n-grams has no moments, and on a CPU gradients of few rows
    return base + BYTES * (companions * weights + (2 + averages) * table + activations)


def memory_of_machine() -> float:
    """Its bytes; infinite where the system does not say."""
    try:
        return float(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    except (AttributeError, OSError, ValueError):
        return math.inf


def _time_steps(learner: Learner) -> tuple[float, float]:
    """Mean time of a step after warming up, and the characters it reads."""
    for _ in range(WARM_STEPS):
        learner.step(0.0)
    start, characters = time.perf_counter(), 0
    for _ in range(TIMED_STEPS):
        characters += learner.step(0.0).characters
    return (time.perf_counter() - start) / TIMED_STEPS, characters / TIMED_STEPS


def _duration(seconds: float) -> str:
    if seconds < 90:
        return counted(round(seconds), "second")
    if seconds < 5400:
        return f"{seconds / 60:.1f} minutes"
    return f"{seconds / 3600:.1f} hours"
