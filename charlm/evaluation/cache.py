"""A neural cache: what followed when the layers gave something similar, a short while ago.

Grave, Joulin and Usunier (2016, arXiv:1612.04426). With h_t what the layers give at t and x_(t+1) the symbol that
follows, over the last LENGTH places i before t:

    p_cache(x) is proportional to the sum over i with x_(i+1) = x of exp(theta h_t . h_i)
    p(x) = (1 - lambda) p_model(x) + lambda p_cache(x)

theta is searched relative to the mean of h . h, so that the same grid serves every cell and size.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from charlm.evaluation.additions import Addition, best_weight
from charlm.evaluation.lane_reader import LEAD
from charlm.evaluation.predictions import Ids
from charlm.evaluation.reading import Advance, Block, Floats

LENGTH = LEAD
"""Places that a cache holds."""
SHARPNESS = (8.0, 16.0, 32.0, 64.0, 128.0)
"""theta h . h, on average: the weight that a place equal to the present one gets is e to this."""
MOST_SCORES = 2**22
"""Numbers in one product of contexts with places: 16 MB."""


class Cache(Addition):
    """A cache for each lane, empty at its beginning. There the model is alone."""

    theta, weight = 0.0, 0.0

    @property
    def tuned(self) -> Mapping[str, float]:
        """`theta` and `lambda`."""
        return {"theta": self.theta, "lambda": self.weight}

    @property
    def words(self) -> str:
        """What is done, with the numbers found."""
        return f"a cache of the last {LENGTH:,} outputs, theta {self.theta:.3g}, lambda {self.weight:.3f}"

    def tune(self, advance: Advance = None) -> None:
        """Find theta in its grid, with the best lambda for each."""
        p: list[Floats] = []
        caches: list[Floats] = []
        size = 1.0
        for block, places in self._remembered(self.learning.text.ids, advance):
            if not p:
                size = max(1e-6, float(block.outputs.square().sum(-1).mean()))
            p.append(np.exp(-block.nats[block.counted]))
            found = places.probabilities([value / size for value in SHARPNESS])
            caches.append(np.where(np.isnan(found), np.exp(-block.nats), found)[:, block.counted])
        model, all_of_them = np.concatenate(p), np.concatenate(caches, axis=1)
        weights = [best_weight(model, q) for q in all_of_them]
        losses = [_loss(model, q, weight) for q, weight in zip(all_of_them, weights, strict=True)]
        best = int(np.argmin(losses))
        self.theta, self.weight = SHARPNESS[best] / size, weights[best]

    def read(self, ids: Ids, advance: Advance = None, /) -> Iterator[Block]:
        for block, places in self._remembered(ids, advance):
            p = np.exp(-block.nats)
            q = places.probabilities([self.theta])[0]
            with np.errstate(divide="ignore"):
                nats = -np.log((1 - self.weight) * p + self.weight * np.where(np.isnan(q), p, q))
            yield dataclasses.replace(block, nats=nats)

    def _remembered(self, ids: Ids, advance: Advance) -> Iterator[tuple[Block, Places]]:
        """Each block of the text, and what there is to remember at each of its places."""
        places = None
        for block in self.before.read(ids, advance):
            places = places or Places(block)
            places.add(block, ids)
            yield block, places


class Places:
    """The last LENGTH outputs of each lane and the symbols after them, with a block's own behind them."""

    def __init__(self, block: Block) -> None:
        (B, T), H = block.places.shape, block.outputs.shape[2]
        room = 2 * LENGTH + T  # so that what stays is moved once in LENGTH steps
        self._keys = block.outputs.new_zeros(B, room, H)
        self._symbols = torch.full((B, room), -1, dtype=torch.int64, device=block.outputs.device)
        self._end = self._T = 0

    def add(self, block: Block, ids: Ids) -> None:
        """The block that is to be predicted."""
        T = block.places.shape[1]
        if self._end + T > self._keys.shape[1]:
            for rows in (self._keys, self._symbols):
                rows[:, :LENGTH] = rows[:, self._end - LENGTH : self._end].clone()
            self._end = LENGTH
        new = slice(self._end, self._end + T)
        self._keys[:, new] = block.outputs
        self._symbols[:, new] = torch.from_numpy(ids[block.places].astype(np.int64)).to(self._symbols.device)
        self._end, self._T = self._end + T, T

    def probabilities(self, thetas: Sequence[float]) -> Floats:
        """Of the symbols of the block that was added: (len(thetas), B, T); nan where there is no place before."""
        B, T = len(self._keys), self._T
        found = np.empty((len(thetas), B, T))
        rows = max(1, MOST_SCORES // (T * (LENGTH + T)))
        for lane in range(0, B, rows):
            lanes = slice(lane, min(B, lane + rows))
            found[:, lanes] = self._weighed(lanes, thetas)
        return found

    @torch.no_grad()
    def _weighed(self, lanes: slice, thetas: Sequence[float]) -> Floats:
        T, begin = self._T, max(0, self._end - self._T - LENGTH)
        keys, symbols = self._keys[lanes, begin : self._end], self._symbols[lanes, begin : self._end]
        scores = keys[:, -T:] @ keys.transpose(1, 2)  # (b, T, W)
        here = keys.shape[1] - T + torch.arange(T, device=keys.device)[:, None]
        at = torch.arange(keys.shape[1], device=keys.device)
        scores.masked_fill_((at >= here) | (at < here - LENGTH), -torch.inf)
        scores -= scores.amax(-1, keepdim=True)
        right = symbols[:, None, :] == symbols[:, -T:, None]
        return np.stack([_share(scores, right, theta) for theta in thetas])


def _share(scores: Tensor, right: Tensor, theta: float) -> Floats:
    """How much of exp(theta scores), (b, T, W), stands where it is `right`: (b, T)."""
    weights = (scores * theta).exp_()
    total = weights.sum(-1)
    found: Floats = (weights.mul_(right).sum(-1) / total).cpu().double().numpy()
    return found


def _loss(p: Floats, q: Floats, weight: float) -> float:
    with np.errstate(divide="ignore"):
        return float(-np.log((1 - weight) * p + weight * q).sum())
