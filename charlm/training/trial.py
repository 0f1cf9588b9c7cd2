"""A short measurement of several machines: a few windows through one layer, there and back."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import torch

from charlm.config import ModelConfig, TrainingConfig
from charlm.kernels import find_kernel
from charlm.models import CELLS
from charlm.training.machine import Machine

# bfloat16 must be this much faster than float32 before it is chosen: it rounds
WORTHWHILE = 1.1
ROUNDS = 3
# multiplications and additions of one window: some 10 ms of a small processor
BUDGET = 2e9
LONGEST = 16


def fastest(
    machines: Sequence[Machine],
    training: TrainingConfig,
    model: ModelConfig,
    clock: Callable[[], float] = time.perf_counter,
) -> Machine:
    """The machine on which a layer of `model` takes the least time; float32 where bfloat16 gains little.

    A machine without rivals is taken, once its loops are compiled.
    """
    if len(machines) == 1:
        if machines[0].kernels == "compiled":
            _seconds(machines[0], training, model, clock, rounds=0)
        return machines[0]
    best: dict[torch.dtype, tuple[float, Machine]] = {}
    for machine in machines:
        limit = min((seconds for seconds, _ in best.values()), default=float("inf"))
        seconds = _seconds(machine, training, model, clock, limit)
        if machine.dtype not in best or seconds < best[machine.dtype][0]:
            best[machine.dtype] = seconds, machine
    exact, rounded = best.get(torch.float32), best.get(torch.bfloat16)
    if exact is None or (rounded is not None and rounded[0] * WORTHWHILE < exact[0]):
        assert rounded is not None
        return rounded[1]
    return exact[1]


def _seconds(
    machine: Machine,
    training: TrainingConfig,
    model: ModelConfig,
    clock: Callable[[], float],
    limit: float = float("inf"),
    rounds: int = ROUNDS,
) -> float:
    """The least time of several rounds; of one where that takes far longer than `limit`."""
    H, B = model.hidden_size, min(training.batch_size, 64)
    rows = CELLS[model.cell].gates * H
    T = max(2, min(LONGEST, training.window_length, round(BUDGET / (6 * B * rows * 2 * H))))
    generator = torch.Generator().manual_seed(0)
    shapes = [(B, T, H), (rows, H), (rows, H), (rows,), (rows,)]
    x, *weights = (torch.randn(shape, generator=generator).mul_(H**-0.5).requires_grad_() for shape in shapes)
    state = tuple(torch.zeros(B, H) for _ in CELLS[model.cell].state_type._fields)
    times = []
    for _ in range(1 + rounds):  # the first is for getting ready
        with machine.in_use(), machine.autocast():
            kernel = find_kernel(model.cell, weights[0])
            assert kernel is not None
            begun = clock()
            y, _ = kernel(x, state, tuple(weights))
            y.float().sum().backward()  # type: ignore[no-untyped-call]
            times.append(clock() - begun)
        if (len(times) > 1 or machine.kernels == "torch") and times[-1] > 5 * limit:
            break
    return min(times[1:] or times)
