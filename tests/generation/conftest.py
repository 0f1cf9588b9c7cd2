"""Small models whose distributions are known, behind the interface of a real engine."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest

from charlm.config import ModelConfig, SamplingConfig
from charlm.config.shapes import parameter_shapes
from charlm.generation import Piece, generate
from charlm.runtime import NumpyModel
from charlm.tokenizers import CharTokenizer


class Chain:
    """A Markov chain: the logits depend on the last id alone. table: (V, V). Counts the rows it steps."""

    def __init__(self, table: np.ndarray) -> None:
        self.table = np.asarray(table, dtype=np.float32)
        self.vocab_size = len(self.table)
        self.rows = 0
        self.primed: list[int] = []

    def step(self, ids, state):
        self.rows += len(ids)
        return self.table[ids], state

    def prime(self, ids, n=1):
        self.primed = list(map(int, ids))
        return np.repeat(self.table[ids[-1:]], n, axis=0), ()


class Script:
    """Writes the given ids, one after the other, whatever the draws are, then the last one for ever."""

    def __init__(self, ids, vocab_size: int) -> None:
        self.ids = list(ids)
        self.vocab_size = vocab_size

    def _logits(self, position: np.ndarray) -> np.ndarray:
        logits = np.zeros((len(position), self.vocab_size), dtype=np.float32)
        for row, at in enumerate(position[:, 0].astype(int)):
            logits[row, self.ids[min(at, len(self.ids) - 1)]] = 1000
        return logits

    def step(self, ids, state):
        position = state[0][0] + 1
        return self._logits(position), ((position,),)

    def prime(self, ids, n=1):
        position = np.zeros((n, 1), dtype=np.float32)
        return self._logits(position), ((position,),)


@pytest.fixture
def chain() -> type[Chain]:
    return Chain


@pytest.fixture
def script() -> type[Script]:
    return Script


@pytest.fixture
def letters() -> Callable[[int], CharTokenizer]:
    """The tokenizer of the first V letters, no bytes."""
    return lambda V: CharTokenizer("abcdefghijklmnopqrstuvwxyz"[:V], "drop")


@pytest.fixture
def write() -> Callable[..., list[Piece]]:
    """All pieces of a generation; settings by name, `seed` and `batch_size` too."""

    def run(model, tokenizer, seed: int = 1, batch_size: int = 64, **settings) -> list[Piece]:
        sampling = SamplingConfig(**settings)
        return list(generate(model, tokenizer, sampling, seed, batch_size, training_text="abba cab\nface"))

    return run


@pytest.fixture
def texts() -> Callable[[Iterator[Piece]], list[str]]:
    """The text of each sample, without its prompt."""

    def join(pieces) -> list[str]:
        found: dict[int, str] = {}
        for piece in pieces:
            found[piece.sample] = found.get(piece.sample, "") + ("" if piece.is_prompt else piece.text)
        assert list(found) == list(range(len(found))), "samples come in order"
        return list(found.values())

    return join


@pytest.fixture(scope="session")
def lstm() -> tuple[NumpyModel, CharTokenizer]:
    """A real model of random weights, lively enough not to repeat itself, with byte ids."""
    tokenizer = CharTokenizer("\n abcdefgh")
    config = ModelConfig(hidden_size=24, layers=2)
    random = np.random.default_rng(5)
    shapes = parameter_shapes(config, tokenizer.vocab_size)
    arrays = {name: 0.5 * random.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}
    arrays["output_bias"][: len(tokenizer.characters)] += 4
    return NumpyModel(config, arrays, tokenizer.vocab_size), tokenizer
