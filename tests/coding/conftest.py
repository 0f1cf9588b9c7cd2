import textwrap
from pathlib import Path

import numpy as np
import pytest

from charlm.coding.whole import make_whole
from charlm.config import ModelConfig, TokenizerConfig
from charlm.config.shapes import parameter_shapes
from charlm.tokenizers import train_tokenizer

# real prose and code that every machine has
TEXT = Path(textwrap.__file__).read_text()[:12_000]


def arrays_of(config, vocab_size, seed=3):
    """Weights of a usual size: none is zero or one, and no recurrence grows without bound."""
    random = np.random.default_rng(seed)
    shapes = parameter_shapes(config, vocab_size)
    return {
        name: (random.standard_normal(shape) / np.sqrt(2 * shape[-1])).astype(np.float32)
        for name, shape in shapes.items()
    }


@pytest.fixture(scope="session")
def make_arrays():
    return arrays_of


@pytest.fixture(scope="session")
def make_model():
    """A whole-number model of 23 symbols with random weights."""

    def make(**settings):
        config = ModelConfig(**{"hidden_size": 12, **settings})
        return make_whole(config, arrays_of(config, 23), 23)

    return make


@pytest.fixture(scope="session")
def text():
    return TEXT


@pytest.fixture(scope="session")
def tokenizer():
    return train_tokenizer(TokenizerConfig(), [TEXT])
