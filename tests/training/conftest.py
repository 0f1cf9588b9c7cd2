"""A learner small enough to train in a test, on text with something to learn."""

import numpy as np
import pytest
import torch

from charlm.config import ModelConfig, TrainingConfig
from charlm.models import LanguageModel
from charlm.streams import Lanes
from charlm.training.learner import Learner
from charlm.training.machine import Machine

V = 6
CPU = Machine(device=torch.device("cpu"), dtype=torch.float32, threads=1)


def cycle(length=400, seed=0):
    """Ids that mostly count up, so that a model beats chance within a few steps."""
    draws = np.random.default_rng(seed)
    return ((np.arange(length) + (draws.random(length) < 0.1)) % V).astype(np.uint8)


@pytest.fixture
def make_learner():
    def make(model=None, queued=None, machine=CPU, occurring=None, **training):
        config = TrainingConfig(**{"batch_size": 4, "window_length": 8, "steps": 20, "warmup": 0, **training})
        settings = {"hidden_size": 12, "layers": 2, "dropout": 0.2, **(model or {})}
        network = LanguageModel(ModelConfig(**settings), V, torch.Generator().manual_seed(config.seed))
        lanes = Lanes(cycle(), config.batch_size)
        characters = np.ones(V, dtype=np.int32)
        return Learner(network, lanes, config, machine, characters, occurring=occurring, queued=queued)

    return make
