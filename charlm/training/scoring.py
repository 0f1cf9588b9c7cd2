"""What training looks at between steps: the loss on validation text, and a sample."""

from __future__ import annotations

from collections.abc import Callable

from charlm.config import ModelConfig, SamplingConfig
from charlm.evaluation import score_of, score_stream
from charlm.evaluation.passages import passages
from charlm.evaluation.predictions import Ids
from charlm.evaluation.score import Score
from charlm.generation import generate
from charlm.models import LanguageModel
from charlm.runtime import NumpyModel
from charlm.tokenizers import Tokenizer
from charlm.training.learner import Arrays
from charlm.training.machine import Machine

SAMPLE = SamplingConfig(length=240, temperature=0.8)


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
