"""What training looks at between steps: the loss on validation text, and a sample."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from charlm.config import ModelConfig, SamplingConfig
from charlm.evaluation import score_of, score_stream
from charlm.evaluation.score import Score
from charlm.generation import generate
from charlm.models import LanguageModel
from charlm.runtime import NumpyModel
from charlm.tokenizers import Tokenizer
from charlm.training.learner import Arrays
from charlm.training.machine import Machine

PASSAGES = 16

SAMPLE = SamplingConfig(length=240, temperature=0.8)

Ids = npt.NDArray[Any]


def passages(ids: Ids, most: int) -> Ids:
    """All of `ids` (N,) where that is no more than `most`, else `PASSAGES` evenly spaced stretches of it, joined."""
    if len(ids) <= most:
        return np.asarray(ids)
    length = most // PASSAGES
    starts = np.linspace(0, len(ids) - length, PASSAGES).astype(np.int64)
    return np.concatenate([ids[start : start + length] for start in starts])


def validation_scorer(ids: Ids, tokenizer: Tokenizer, machine: Machine) -> Callable[[LanguageModel, int], Score] | None:
    """Scores a model on so many of `ids`, as fast as the machine does; None where there is nothing to predict."""
    if len(ids) < 2:
        return None

    def evaluate(model: LanguageModel, most: int) -> Score:
        text = passages(ids, most)
        predictions = score_stream(model, text, device=machine.device, dtype=machine.dtype)
        return score_of(predictions, text[1:], tokenizer)

    return evaluate


def sampler(config: ModelConfig, tokenizer: Tokenizer, seed: int) -> Callable[[Arrays], str]:
    """Makes a short text of weights."""

    def sample(arrays: Arrays) -> str:
        model = NumpyModel(config, arrays, tokenizer.vocab_size)
        return "".join(piece.text for piece in generate(model, tokenizer, SAMPLE, seed))

    return sample
