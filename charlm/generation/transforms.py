"""What changes the model's distribution before a symbol is drawn: one small class each.

A transform takes the logits (V,) of one row, float64, with -inf for symbols already ruled out, and gives
new ones. Each keeps at least the best symbol that it was given, and breaks ties towards the lower id.
They run in the order of the table `TRANSFORMS`, whatever the order of the flags.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Collection
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from charlm.config import SamplingConfig, settings_of

Logits = npt.NDArray[np.float64]

LARGEST = float(np.finfo(np.float64).max) / 4


class Transform(ABC):
    """One change of the distribution. `field` is the setting of `SamplingConfig` that gives its number."""

    field: ClassVar[str]

    def __init__(self, value: Any) -> None:
        """Raises `ConfigError` for a number that the setting does not take (nan, infinite, out of range)."""
        self.value = settings_of(SamplingConfig)[self.field].check(value)

    @abstractmethod
    def __call__(self, logits: Logits, recent: Collection[int]) -> Logits:
        """logits: (V,), recent: the last ids of the text so far, prompt included -> (V,)"""


class RepetitionPenalty(Transform):
    """Divides the positive logits of symbols in the recent text by the penalty, multiplies the negative ones
    (Keskar et al., 2019, arXiv:1909.05858, section 4.1). 1 changes nothing."""

    field = "repetition_penalty"

    def __call__(self, logits: Logits, recent: Collection[int]) -> Logits:
        seen = np.array(sorted(set(recent)), dtype=np.intp)
        seen = seen[np.isfinite(logits[seen])]
        changed: Logits = logits.copy()
        with np.errstate(over="ignore"):
            penalised = np.where(logits[seen] > 0, logits[seen] / self.value, logits[seen] * self.value)
        # subtle: the most extreme penalties must leave no infinity for the next transform to subtract
        changed[seen] = np.clip(penalised, -LARGEST, LARGEST)
        return changed


class Temperature(Transform):
    """Divides the logits by the temperature. At 0 only the best symbol is left, the lowest id of equals."""

    field = "temperature"

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

    def __call__(self, logits: Logits, recent: Collection[int]) -> Logits:
        if self.value == 0:
            return logits
        return np.where(logits >= logits.max() + math.log(self.value), logits, -np.inf)


TRANSFORMS: dict[str, type[Transform]] = {
    "repetition_penalty": RepetitionPenalty,
    "temperature": Temperature,
    "top_k": TopK,
    "top_p": TopP,
    "min_p": MinP,
}


def transforms_of(sampling: SamplingConfig) -> list[Transform]:
    """The transforms that `sampling` asks for, in the order of the table; those that change nothing are left out."""
    neutral = {"repetition_penalty": 1.0, "temperature": 1.0, "top_p": 1.0, "min_p": 0.0}
    chosen = []
    for name, transform in TRANSFORMS.items():
        value = 0.0 if name == "temperature" and sampling.greedy else getattr(sampling, name)
        if value is not None and value != neutral.get(name):
            chosen.append(transform(value))
    return chosen


def rules_of(sampling: SamplingConfig) -> npt.NDArray[np.float64]:
    """The same as numbers in the order of the table, for an engine that draws for itself: see `charlm.runtime.Drawing`.

    Raises:
        ConfigError: a number that a transform does not take.
    """
    rules = {"repetition_penalty": 1.0, "temperature": 1.0, "top_k": 0.0, "top_p": 1.0, "min_p": 0.0}
    rules |= {transform.field: float(transform.value) for transform in transforms_of(sampling)}
    return np.array([rules[name] for name in TRANSFORMS])
