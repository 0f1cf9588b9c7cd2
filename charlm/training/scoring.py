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
from charlm.evaluation.scorer import block_length, most_lanes, scoring, weigh
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


def scoring_timer(
    ids: Ids, symbols: int, machine: Machine, clock: Callable[[], float]
) -> Callable[[LanguageModel], float]:
    """Tells how many seconds so many symbols take of a model, in float32 and as many lanes as a long text has: by a
    block of `ids`. An evaluation has few of both, and says little of it."""
    lanes = min(most_lanes(machine.device), len(ids) // (BLOCK_LENGTH + 1))
    rows = torch.from_numpy(np.array(ids[: lanes * (BLOCK_LENGTH + 1)], dtype=np.int64)).view(lanes, BLOCK_LENGTH + 1)

    def seconds(model: LanguageModel) -> float:
        if not lanes:
            return 0.0
        steps = block_length(model, lanes)
        text = rows[:, : steps + 1].to(machine.device)
        state, begun = None, clock()
        with scoring(machine.device, None):
            for _ in range(2):  # the first one is slow
                begun = clock()
                logits, state = model(text[:, :-1], state)
                weigh(logits, text[:, 1:])[0].sum().item()
        return (clock() - begun) / (lanes * steps) * symbols

    return seconds


def sampler(config: ModelConfig, tokenizer: Tokenizer, seed: int) -> Callable[[Arrays], str]:
    """Makes a short text of weights."""

    def sample(arrays: Arrays) -> str:
        model = NumpyModel(config, arrays, tokenizer.vocab_size)
        return "".join(piece.text for piece in generate(model, tokenizer, SAMPLE, seed))

    return sample
