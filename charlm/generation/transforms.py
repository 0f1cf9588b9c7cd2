"""What changes the model's distribution before a symbol is drawn: one small class each.

A transform takes the logits (V,) of one row, float64, with -inf for symbols already ruled out, and gives
new ones. Each keeps at least one symbol of those it was given, all but `MaxCopy` the best, and breaks ties towards
the lower id. They run in the order of the table `TRANSFORMS`, whatever the order of the flags.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from itertools import islice

import numpy as np
import numpy.typing as npt

from charlm.config import SamplingConfig
from charlm.generation.max_copy import MaxCopy
from charlm.generation.transform import Learnt, Logits, Transform
from charlm.runtime.drawing import LARGEST_LOGIT, RECENT, RULES


class RepetitionPenalty(Transform):
    """Divides the positive logits of symbols in the recent text by the penalty, multiplies the negative ones
    (Keskar et al., 2019, arXiv:1909.05858, section 4.1). 1 changes nothing."""

    field = "repetition_penalty"
    neutral = 1.0
    history = RECENT

    def __call__(self, logits: Logits, recent: Collection[int]) -> Logits:
        # subtle: another transform may look further back, and this one is the same without it
        seen = np.array(sorted(set(islice(recent, max(0, len(recent) - RECENT), None))), dtype=np.intp)
        seen = seen[np.isfinite(logits[seen])]
        changed: Logits = logits.copy()
        with np.errstate(over="ignore"):
            penalised = np.where(logits[seen] > 0, logits[seen] / self.value, logits[seen] * self.value)
        # subtle: the most extreme penalties must leave no infinity for the next transform to subtract
        changed[seen] = np.clip(penalised, -LARGEST_LOGIT, LARGEST_LOGIT)
        return changed


class Temperature(Transform):
    """Divides the logits by the temperature. At 0 only the best symbol is left, the lowest id of equals."""

    field = "temperature"
    neutral = 1.0
    fits_beam = True

    def __call__(self, logits: Logits, recent: Collection[int]) -> Logits:
        if self.value == 0:
            best = np.full_like(logits, -np.inf)
            best[np.argmax(logits)] = 0.0
            return best
        # subtle: the best is at 0 before the division, so a temperature of 1e-300 overflows to -inf, never to nan
        with np.errstate(over="ignore"):
            scaled: Logits = (logits - logits.max()) / self.value
            return scaled


class TopK(Transform):
    """Keeps the k likeliest symbols (Fan et al., 2018, arXiv:1805.04833); k above V keeps all."""

    field = "top_k"

    def __call__(self, logits: Logits, recent: Collection[int]) -> Logits:
        k, V = min(self.value, len(logits)), len(logits)
        least = np.partition(logits, V - k)[V - k]
        kept = logits > least
        # as many of those equal to the k-th as still fit, lowest ids first
        kept[np.flatnonzero(logits == least)[: k - int(kept.sum())]] = True
        return np.where(kept, logits, -np.inf)


class TopP(Transform):
    """Keeps the fewest likeliest symbols that hold at least this much probability, the "nucleus"
    (Holtzman et al., 2019, arXiv:1904.09751)."""

    field = "top_p"
    neutral = 1.0

    def __call__(self, logits: Logits, recent: Collection[int]) -> Logits:
        if self.value >= 1:  # rounding in the sum must not cut the tail
            return logits
        order = np.argsort(-logits, kind="stable")
        likelihood = np.exp(logits[order] - logits[order[0]])
        cumulative = np.cumsum(likelihood)
        enough = int(np.searchsorted(cumulative, self.value * cumulative[-1], side="left"))
        kept = np.full_like(logits, -np.inf)
        kept[order[: enough + 1]] = logits[order[: enough + 1]]
        return kept


class MinP(Transform):
    """Drops symbols less likely than this share of the likeliest (Nguyen et al., 2024, arXiv:2407.01082)."""

    field = "min_p"
    neutral = 0.0

    def __call__(self, logits: Logits, recent: Collection[int]) -> Logits:
        if self.value == 0:
            return logits
        return np.where(logits >= logits.max() + math.log(self.value), logits, -np.inf)


# Copies go first: what rules symbols out by their rank is to find the best that is left.
TRANSFORMS: dict[str, type[Transform]] = {
    "max_copy": MaxCopy,
    "repetition_penalty": RepetitionPenalty,
    "temperature": Temperature,
    "top_k": TopK,
    "top_p": TopP,
    "min_p": MinP,
}


def transforms_of(sampling: SamplingConfig, learnt: Learnt | None = None) -> list[Transform]:
    """The transforms that `sampling` asks for, in the order of the table; those that change nothing are left out.

    Raises:
        ConfigError: a number that a transform does not take; one that needs more than `learnt` holds.
    """
    chosen = []
    for name, transform in TRANSFORMS.items():
        value = 0.0 if name == "temperature" and sampling.greedy else getattr(sampling, name)
        if value is not None and value != transform.neutral:
            chosen.append(transform(value, learnt))
    return chosen


def looked_back(transforms: Sequence[Transform]) -> int:
    """How many of the last ids these transforms look at."""
    return max((transform.history for transform in transforms), default=0)


def rules_of(transforms: Sequence[Transform]) -> npt.NDArray[np.float64] | None:
    """The same as numbers, for an engine that draws for itself: see `charlm.runtime.Drawing`.

    None where one of them is not among the rules that such an engine knows.
    """
    values = {transform.field: float(transform.value) for transform in transforms}
    if not values.keys() <= set(RULES):
        return None
    return np.array([values.get(name, TRANSFORMS[name].neutral or 0.0) for name in RULES])
