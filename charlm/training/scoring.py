"""What training looks at between steps: the loss on validation text, and a sample."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from charlm.config import ModelConfig, SamplingConfig
from charlm.evaluation import score_of, score_stream
from charlm.evaluation.agreement import BLOCK_LENGTH
from charlm.evaluation.passages import passages
from charlm.evaluation.predictions import Ids
from charlm.evaluation.score import Score
from charlm.evaluation.scoring_engine import lanes_for
from charlm.evaluation.torch_scoring import TorchScorer, most_rows
from charlm.generation import generate
from charlm.models import LanguageModel
from charlm.runtime import NumpyModel
from charlm.tokenizers import Tokenizer
from charlm.training.learner import Arrays
from charlm.training.machine import Machine

SAMPLE = SamplingConfig(length=240, temperature=0.8)
# Blocks that lanes usually run on before they agree.
RUN_ON = 4


def validation_scorer(ids: Ids, tokenizer: Tokenizer, machine: Machine) -> Callable[[LanguageModel, int], Score] | None:
    """Scores a model on so many of `ids`, as fast as the machine does; None where there is nothing to predict."""
    if len(ids) < 2:
        return None

    def evaluate(model: LanguageModel, most: int) -> Score:
        text = passages(ids, most)
        predictions = score_stream(model, text, device=machine.device, rough=machine.dtype == torch.bfloat16)
        return score_of(predictions, text[1:], tokenizer)

    return evaluate


def scoring_timer(
    ids: Ids, symbols: int, machine: Machine, clock: Callable[[], float]
) -> Callable[[LanguageModel], float]:
    """Tells how many seconds it takes to score so many symbols of a text with a model, in float32: by one block of
    `ids`, in as many lanes. An evaluation has fewer lanes, and often another number format."""
    lanes = lanes_for(symbols, most_rows(machine.device))
    text = np.resize(np.asarray(ids[: lanes * (BLOCK_LENGTH + 1)]), (lanes, BLOCK_LENGTH + 1)).astype(np.int64)

    def seconds(model: LanguageModel) -> float:
        scorer, ends = TorchScorer(model, machine.device), []
        state = scorer.initial_state(lanes)
        for _ in range(2):
            _, state = scorer.score(text, state)
            ends.append(clock())
        # the first one is slow
        return (ends[1] - ends[0]) * (symbols / (lanes * BLOCK_LENGTH) + RUN_ON)

    return seconds


def sampler(config: ModelConfig, tokenizer: Tokenizer, seed: int) -> Callable[[Arrays], str]:
    """Makes a short text of weights."""

    def sample(arrays: Arrays) -> str:
        model = NumpyModel(config, arrays, tokenizer.vocab_size)
        return "".join(piece.text for piece in generate(model, tokenizer, SAMPLE, seed))

    return sample
