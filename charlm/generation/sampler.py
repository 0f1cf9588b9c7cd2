"""One draw from the model's distribution after the transforms, the same on every machine that rounds alike."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from charlm.config import SamplingConfig
from charlm.errors import ConfigError, RunError
from charlm.generation.transform import Logits, Transform
from charlm.generation.transforms import looked_back

EXPLODED = "the model's state has exploded: its output is not finite; train with a lower learning_rate"


class Sampler:
    """Draws ids for one sample: its own random numbers, its own recent ids.

    Each draw takes exactly one uniform number, greedy or not, and inverts the cumulative distribution in
    float64, ids in ascending order.
    """

    def __init__(self, transforms: Sequence[Transform], seed: int, sample: int, prompt: Iterable[int]) -> None:
        """Raises `ConfigError` for a negative seed."""
        if seed < 0:
            raise ConfigError(f"seed must be a whole number >= 0, was {seed}")
        self._random = np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed, spawn_key=(sample,))))
        self._transforms = transforms
        self._recent = deque(prompt, maxlen=looked_back(transforms))

    def uniforms(self, count: int) -> npt.NDArray[np.float64]:
        """The next `count` uniform numbers, for an engine that draws for itself."""
        return self._random.random(count)

    def draw(self, logits: npt.NDArray[np.float32]) -> tuple[int, float]:
        """logits: (V,) of the model -> the id drawn, and its nats under the model itself.

        Raises:
            RunError: logits that are not finite.
        """
        own, best = widened(logits)
        changed = own
        for transform in self._transforms:
            changed = transform(changed, self._recent)
        chosen = invert(changed, self._random.random())
        self._recent.append(chosen)
        return chosen, math.log(np.exp(own - best).sum()) + float(best[0] - own[chosen])


def widened(logits: npt.NDArray[np.float32]) -> tuple[Logits, Logits]:
    """logits: (..., V) -> the same in float64, and the best of each row (..., 1).

    Raises:
        RunError: one of them is nan, or the best is infinite.
    """
    wide: Logits = logits.astype(np.float64)
    best: Logits = wide.max(axis=-1, keepdims=True)
    if not np.isfinite(best).all():  # max passes a nan on
        raise RunError(EXPLODED)
    return wide, best


def invert(logits: Logits, uniform: float) -> int:
    """The first id at which the cumulative distribution exceeds `uniform`, in [0, 1). logits: (V,), not all -inf."""
    cumulative = np.exp(logits - logits.max()).cumsum()
    total = cumulative[-1]
    at = int(cumulative.searchsorted(uniform * total, side="right"))
    # subtle: the product may round up to the total; then it is the last id that has any probability
    return at if at < len(cumulative) else int(cumulative.searchsorted(total, side="left"))


def notices(sampling: SamplingConfig, vocab_size: int) -> list[str]:
    """What a user should know about settings that are taken otherwise than written; one line each."""
    found, usual = [], SamplingConfig()
    if sampling.top_k is not None and sampling.top_k > vocab_size:
        found.append(f"top_k {sampling.top_k} is above the vocabulary of {vocab_size}: all symbols are kept")
    if sampling.greedy or sampling.beam is not None:
        idle = [name for name in ("temperature", "seed") if getattr(sampling, name) != getattr(usual, name)]
        found += [f"{name} plays no part where the likeliest text is looked for" for name in idle]
    return found
