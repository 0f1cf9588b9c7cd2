"""Dynamic evaluation: the model goes on learning, with a gradient step on each stretch of text that it was scored on.

Krause, Kahembwe, Murray and Renals (2017, arXiv:1709.07432; 2019, arXiv:1904.08378). With g the gradient of the mean
loss of the stretch just scored, G the root of the mean squared gradient over training text, theta_0 the trained
weights, all of them weight by weight, and mean(G) over all weights but those of n-grams:

    theta <- theta - rate g / (G + floor mean(G)) + min(1, decay G / mean(G)) (theta_0 - theta)

Each stretch is scored before its step. The gradient is cut to four times its usual length, and g / (G + ...) to 16 for
each weight by itself, so that odd text cannot throw the weights away: those of a symbol that training never saw have a
G of nearly nothing.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from charlm.config.shapes import NGRAM_TABLE
from charlm.errors import CorpusError
from charlm.evaluation.additions import Addition, mean_nats
from charlm.evaluation.lane_reader import LaneReader, block_of, listening, losses
from charlm.evaluation.predictions import Ids
from charlm.evaluation.reading import Advance, Block, Integers, lane_blocks

if TYPE_CHECKING:
    from charlm.evaluation.additions import Learning

STEPS = 32
"""Symbols of each lane between two steps."""
RATES = (1e-4, 2e-4, 4e-4, 8e-4, 1.6e-3)
DECAYS = (0.0, 1e-3, 4e-3)
FIRST_RATE, FIRST_DECAY = 4e-4, 1e-3
FLOOR = 1e-3
LONGEST_GRADIENT = 4.0
"""In lengths that are usual in training."""
FARTHEST_STEP = 16.0
"""Of one weight, in rates: what is usual makes 1, and a weight that moved once in `GATHERED` stretches makes 12."""
GATHERED, WARMING = 150, 4
"""Stretches of training text whose gradients are squared, and those before them, in which lanes get a memory."""


class Dynamic(Addition):
    """Adapts a copy: the model itself stays, bit for bit, as it was, whatever happens here.

    Args:
        before: the reader of the model.
    """

    before: LaneReader
    rate, decay = FIRST_RATE, FIRST_DECAY

    def __init__(self, before: LaneReader, learning: Learning) -> None:
        super().__init__(before, learning)
        self._model = copy.deepcopy(before.model)
        # a stretch has few rows of the table of n-grams, which is most of a small model
        self._model.sparse_rows = next(before.model.parameters()).device.type == "cpu"
        self._trained = [weight.detach() for weight in before.model.parameters()]
        self._weights: list[Tensor] = list(self._model.parameters())

    @property
    def tuned(self) -> Mapping[str, float]:
        """`rate` and `decay`."""
        return {"rate": self.rate, "decay": self.decay}

    @property
    def words(self) -> str:
        """What is done, with the numbers found, out of which."""
        lanes = self.learning.lanes
        side_by_side = f", in {lanes} lanes that take turns, each begun without memory" if lanes > 1 else ""
        return (
            f"a gradient step after every {STEPS} symbols, once they are scored{side_by_side}; rate {self.rate:g} of "
            f"{_listed(RATES)}, decay to the trained weights {self.decay:g} of {_listed(DECAYS)}"
        )

    def tune(self, advance: Advance = None) -> None:
        """Find the rate, going where the loss falls from FIRST_RATE, then the decay."""
        self._gather()
        known: dict[tuple[float, float], float] = {}

        def loss(rate: float, decay: float) -> float:
            if (rate, decay) not in known:
                self.rate, self.decay = rate, decay
                known[rate, decay] = mean_nats(self.read(self.learning.text.ids, advance))
            return known[rate, decay]

        rate = downhill(RATES, FIRST_RATE, lambda value: loss(value, FIRST_DECAY))
        decay = downhill(DECAYS, FIRST_DECAY, lambda value: loss(rate, value))
        self.rate, self.decay = rate, decay

    def read(self, ids: Ids, advance: Advance = None, /) -> Iterator[Block]:
        self._begin()
        moves, predictions, state = self._moves(), len(ids) - 1, None
        with listening(self._model) as heard:
            for places, counted in lane_blocks(predictions, self.learning.lanes, STEPS):
                nats, state = self._losses(ids, places, state)
                yield block_of(places, counted, nats, heard.pop(), advance)
                if self.rate > 0:
                    self._step(self._gradients(nats, counted), moves)

    def _moves(self) -> list[_Move]:
        """Of each weight, from where it was trained."""
        return [
            _Move(weight, trained, usual, self._mean, self.decay)
            for weight, trained, usual in zip(self._weights, self._trained, self._usual, strict=True)
        ]

    def _begin(self) -> None:
        """The copy as the model was trained."""
        with torch.no_grad():
            torch._foreach_copy_(self._weights, self._trained)

    def _losses(self, ids: Ids, places: Integers, state: object) -> tuple[Tensor, object]:
        from charlm.models import detach

        with torch.enable_grad():
            nats, after = losses(self._model, ids, places, state)
        return nats, detach(after)

    @torch.enable_grad()
    def _gradients(self, nats: Tensor, counted: npt.NDArray[np.bool_]) -> list[Tensor]:
        inside = torch.from_numpy(counted).to(nats.device)
        loss = torch.where(inside, nats, 0.0).sum() / max(1, int(counted.sum()))
        gradients = torch.autograd.grad(loss, self._weights)
        return [gradient.coalesce() if gradient.is_sparse else gradient for gradient in gradients]

    @torch.no_grad()
    def _step(self, gradients: list[Tensor], moves: list[_Move]) -> None:
        length = _length([_values(gradient) for gradient in gradients])
        if not math.isfinite(length):
            return
        cut = min(1.0, LONGEST_GRADIENT * self._length / length) if length else 1.0
        for move, gradient in zip(moves, gradients, strict=True):
            move.step(gradient, cut, self.rate)

    def _gather(self) -> None:
        """How long gradients usually are, weight by weight: from training text, in as many lanes."""
        ids = self.learning.text.train_ids
        if len(ids) < 2:
            raise CorpusError("dynamic evaluation measures gradients on the run's training text, and there is none")
        lanes = max(1, min(self.learning.lanes, (len(ids) - 1) // STEPS))
        blocks = list(islice(lane_blocks(len(ids) - 1, lanes, STEPS), WARMING + GATHERED))
        warming = min(WARMING, len(blocks) - 1)
        squares, state = [torch.zeros_like(weight) for weight in self._trained], None
        self._begin()
        for index, (places, counted) in enumerate(blocks):
            nats, state = self._losses(ids, places, state)
            if index >= warming:
                gradients = self._gradients(nats, counted)
                for square, gradient in zip(squares, gradients, strict=True):
                    _add(square, gradient, _values(gradient).square())
        self._usual = [(square / (len(blocks) - warming)).sqrt() for square in squares]
        self._length = _length(self._usual)
        # most rows of n-grams have no gradients, and there are more of these than of all other weights
        names = (name for name, _ in self._model.named_parameters())
        ordinary = [usual for name, usual in zip(names, self._usual, strict=True) if name != NGRAM_TABLE]
        # a model that is sure of all its text has no gradients at all
        self._mean = max(1e-30, float(torch.cat([usual.flatten() for usual in ordinary]).mean()))


class _Move:
    """How one weight moves: by steps of its gradient, and back to where it was trained.

    Args:
        usual, mean, decay: G, mean(G) and decay of the module.
    """

    def __init__(self, weight: Tensor, trained: Tensor, usual: Tensor, mean: float, decay: float) -> None:
        self._weight, self._divisor = weight, usual + FLOOR * mean
        # rows that training moved in no stretch are not pulled: of a table of n-grams nearly all
        self._rows = usual.flatten(1).any(1).nonzero().flatten() if usual.dim() > 1 else None
        if self._rows is not None and 2 * len(self._rows) > len(usual):
            self._rows = None
        pull = (decay * self._own(usual) / mean).clamp(max=1.0)
        self._trained, self._pull = self._own(trained), pull if decay > 0 else None

    def _own(self, values: Tensor) -> Tensor:
        return values if self._rows is None else values[self._rows]

    def step(self, gradient: Tensor, cut: float, rate: float) -> None:
        """One step; of a sparse gradient, which is coalesced, the rows that it has."""
        divisor = self._divisor[gradient.indices()[0]] if gradient.is_sparse else self._divisor
        steps = (_values(gradient) / divisor).mul_(cut).clamp_(-FARTHEST_STEP, FARTHEST_STEP)
        _add(self._weight, gradient, steps.mul_(-rate))
        if self._pull is None:
            return
        if self._rows is None:
            self._weight.lerp_(self._trained, self._pull)
        else:
            self._weight[self._rows] = self._weight[self._rows].lerp_(self._trained, self._pull)


def _values(gradient: Tensor) -> Tensor:
    """The numbers of a gradient that need not be 0."""
    return gradient.values() if gradient.is_sparse else gradient


def _add(to: Tensor, gradient: Tensor, values: Tensor) -> None:
    """Add `values`, which are of the places that `gradient` has."""
    if gradient.is_sparse:
        to.index_add_(0, gradient.indices()[0], values)
    else:
        to.add_(values)


def downhill(grid: Sequence[float], first: float, loss: Callable[[float], float]) -> float:
    """The value of an ascending grid from which the loss, which is asked from `first` on, rises to both sides."""
    at = grid.index(first)
    for step in (-1, 1):
        while 0 <= at + step < len(grid) and loss(grid[at + step]) < loss(grid[at]):
            at += step
    return grid[at]


def _length(tensors: list[Tensor]) -> float:
    """The norm of them all together."""
    return float(torch.stack(torch._foreach_norm(tensors)).norm())


def _listed(values: Sequence[float]) -> str:
    return ", ".join(f"{value:g}" for value in values)
