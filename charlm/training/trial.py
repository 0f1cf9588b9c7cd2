"""A short measurement of several machines: a few windows through a model, there and back."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Sequence
from functools import cache

import torch

from charlm.config import ModelConfig, TrainingConfig
from charlm.config.cells import GATES
from charlm.kernels.team import torch_alone
from charlm.models import LanguageModel
from charlm.training.machine import Machine

# bfloat16 must be this much faster than float32 before it is chosen: it rounds
WORTHWHILE = 1.1
# torch's kernels must be this much faster than the compiled loops: what comes once a window, such as packing weights,
# counts too high in a short one, and a neighbour may have come by
CLEARLY = 1.25
# rounds that count; where machines are compared short ones go on for so many seconds, for a neighbour may slow down two
# in a row
ROUNDS, LEAST_SECONDS = 2, 0.1
# multiplications and additions of one window at most: some 100 ms of a small processor; and of one for each minute that
# the training has, for all trials come off that
BUDGET, BUDGET_A_MINUTE = 3e10, 1e10
MOST_LAYERS, MOST_LANES = 2, 64
# rows, depth and columns of the product that tells whether a format is emulated, how often it is taken at least, and
# for how long
PRODUCT_SHAPE, TRIES, TRIED_SECONDS = (64, 256, 256), 5, 0.005
FAR_SLOWER = 4.0


def fastest(
    machines: Sequence[Machine],
    training: TrainingConfig,
    model: ModelConfig,
    vocab_size: int,
    clock: Callable[[], float] = time.perf_counter,
) -> Machine:
    """The machine on which `model` takes the least time; float32 where bfloat16 gains little, the compiled loops where
    torch's kernels are not `CLEARLY` faster.

    A machine without rivals is taken, once its loops are compiled.
    """
    if len(machines) == 1:
        if machines[0].kernels == "compiled":
            _seconds(machines[0], training, model, vocab_size, clock, rounds=0)
        return machines[0]
    best: dict[torch.dtype, tuple[float, Machine]] = {}
    rivals = any(machine.kernels == "compiled" for machine in machines)
    for machine in machines:
        limit = min((seconds for seconds, _ in best.values()), default=float("inf"))
        seconds = _seconds(machine, training, model, vocab_size, clock, limit, least=LEAST_SECONDS)
        if rivals and machine.kernels == "torch":
            seconds *= CLEARLY
        if machine.dtype not in best or seconds < best[machine.dtype][0]:
            best[machine.dtype] = seconds, machine
    exact, rounded = best.get(torch.float32), best.get(torch.bfloat16)
    if exact is None or (rounded is not None and rounded[0] * WORTHWHILE < exact[0]):
        assert rounded is not None
        return rounded[1]
    return exact[1]


@cache
def is_emulated(dtype: torch.dtype, clock: Callable[[], float] = time.perf_counter) -> bool:
    """Whether this processor has no instructions for products of a format, so that torch's take `FAR_SLOWER` times as
    long as those of float32: with AVX2 alone some thirty times, which is 12 s for a window of 2 x 512."""
    rows, depth, columns = PRODUCT_SHAPE

    def shortest(tried: torch.dtype) -> float:
        left, right = torch.ones(rows, depth, dtype=tried), torch.ones(depth, columns, dtype=tried)
        times: list[float] = []
        while len(times) < TRIES or sum(times) < TRIED_SECONDS:
            begun = clock()
            torch.mm(left, right)
            times.append(clock() - begun)
        return min(times)

    # subtle: in one thread, for beside a neighbour two wait for each other far longer than such a product takes
    with torch_alone():
        return shortest(dtype) > FAR_SLOWER * shortest(torch.float32)


def symbols_per_second(
    machine: Machine,
    training: TrainingConfig,
    model: ModelConfig,
    vocab_size: int,
    clock: Callable[[], float] = time.perf_counter,
) -> float:
    """How fast `model` goes there and back on a machine, all layers counted; the optimiser is not."""
    config = _tried(model)
    B, T = _window(machine, training, config, vocab_size)
    seconds = _seconds(machine, training, model, vocab_size, clock)
    return B * T / seconds * config.layers / model.layers


def _tried(model: ModelConfig) -> ModelConfig:
    return dataclasses.replace(model, layers=min(model.layers, MOST_LAYERS))


def _window(machine: Machine, training: TrainingConfig, config: ModelConfig, vocab_size: int) -> tuple[int, int]:
    """Lanes and steps that are tried: on a processor as many as the budget has, elsewhere the whole window."""
    if machine.device.type != "cpu":
        return training.batch_size, training.window_length
    H, B = config.hidden_size, min(training.batch_size, MOST_LANES)
    operations = 6 * H * B * (2 * GATES[config.cell] * H * config.layers + vocab_size)
    budget = BUDGET if training.minutes is None else min(BUDGET, BUDGET_A_MINUTE * training.minutes)
    return B, max(2, min(training.window_length, round(budget / operations)))


def _seconds(
    machine: Machine,
    training: TrainingConfig,
    model: ModelConfig,
    vocab_size: int,
    clock: Callable[[], float],
    limit: float = float("inf"),
    rounds: int = ROUNDS,
    least: float = 0.0,
) -> float:
    """The least time of `rounds`, and of more until they took `least` seconds; of one round where that takes far longer
    than `limit`."""
    config = _tried(model)
    B, T = _window(machine, training, config, vocab_size)
    generator = torch.Generator().manual_seed(0)
    tried = LanguageModel(config, vocab_size, generator).to(machine.device)
    tried.sparse_rows = machine.device.type == "cpu"
    # as often as in texts, where the k-th most frequent symbol has a share of about 1 / k
    ids = ((vocab_size ** torch.rand(B, T + 1, generator=generator)).long() - 1).to(machine.device)
    masks = torch.Generator(machine.device).manual_seed(0)
    times: list[float] = []
    # the first is for getting ready
    while len(times) <= rounds or sum(times[1:]) < least:
        tried.zero_grad()
        with machine.in_use():
            begun = clock()
            with machine.autocast():
                loss, _ = tried.loss(ids[:, :-1], ids[:, 1:], None, masks)
            loss.backward()  # type: ignore[no-untyped-call]
            if machine.device.type != "cpu":
                # what is queued is done in order, so a number of the last gradient waits for all
                sum(p.grad.sum() for p in tried.parameters() if p.grad is not None).item()  # type: ignore[union-attr]
            times.append(clock() - begun)
        if (len(times) > 1 or machine.kernels == "torch") and times[-1] > 5 * limit:
            break
    return min(times[1:] or times)
