import inspect
import textwrap

import numpy as np
import pytest
import torch

from charlm.config import ModelConfig, TokenizerConfig
from charlm.models import LanguageModel
from charlm.tokenizers import train_tokenizer

# Real prose and code that every machine has, some 30,000 characters.
TEXT = inspect.getsource(textwrap) + inspect.getsource(inspect.Signature) + (inspect.__doc__ or "")


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def text() -> str:
    return TEXT


@pytest.fixture(scope="session")
def tokenizer():
    return train_tokenizer(TokenizerConfig(), [TEXT])


@pytest.fixture(scope="session")
def ids(tokenizer) -> np.ndarray:
    return tokenizer.encode(TEXT)


@pytest.fixture
def make_model(tokenizer):
    """A small model with random weights, large enough for its predictions to differ."""

    def make(seed: int = 0, **settings) -> LanguageModel:
        config = ModelConfig(**{"hidden_size": 16, "layers": 2, "dropout": 0.0, **settings})
        model = LanguageModel(config, tokenizer.vocab_size, torch.Generator().manual_seed(seed))
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if name in ("output_weight", "embedding"):
                    parameter.mul_(3)
                if name.endswith("recurrent_weight"):  # or rectified units grow without end
                    parameter.mul_(0.7)
        return model

    return make
