"""What a transform is: one change of the distribution before a symbol is drawn."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection
from typing import Any, ClassVar, NamedTuple

import numpy as np
import numpy.typing as npt

from charlm.config import SamplingConfig, settings_of
from charlm.tokenizers import Tokenizer

Logits = npt.NDArray[np.float64]


class Learnt(NamedTuple):
    """What the model was made of, for transforms that look at more than its logits.

    Attributes:
        tokenizer: the run's own.
        text: the training split, as the tokenizer decodes it; None where nobody asked for it.
    """

    tokenizer: Tokenizer
    text: str | None = None


class Transform(ABC):
    """One change of the distribution.

    Attributes:
        field: the setting of `SamplingConfig` that gives its number.
        neutral: the number that changes nothing, beside none at all.
        fits_beam: whether it may be set beside ``beam``, which follows the model's own probabilities.
        history: how many of the last ids it looks at.
    """

    field: ClassVar[str]
    neutral: ClassVar[float | None] = None
    fits_beam: ClassVar[bool] = False
    history: int = 0

    def __init__(self, value: Any, learnt: Learnt | None = None) -> None:
        """Raises `ConfigError` for a number that the setting does not take (nan, infinite, out of range)."""
        self.value = settings_of(SamplingConfig)[self.field].check(value)

    @abstractmethod
    def __call__(self, logits: Logits, recent: Collection[int]) -> Logits:
        """logits: (V,), recent: the last ids of the text so far, prompt included -> (V,)"""
