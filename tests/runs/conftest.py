"""A run folder with a small vocabulary and, for each step, a content that belongs to that step alone."""

import os

import numpy as np
import pytest

from charlm.config import Config, TokenizerConfig
from charlm.runs import create_run
from charlm.tokenizers import train_tokenizer


def content_of(step):
    """What the tests save at `step`: every dtype and kind of shape that training needs."""
    draw = np.random.default_rng(step)
    return {
        "weights": {
            "embedding": draw.standard_normal((7, 5), dtype=np.float32),
            "layers.0.recurrent_weight": draw.standard_normal((12, 3), dtype=np.float32),
        },
        "training": {
            "moments": draw.standard_normal((7, 5), dtype=np.float32),
            "exact": draw.standard_normal(3),
            "count": np.array(step, dtype=np.int64),
            "generator": draw.integers(0, 256, 500, dtype=np.uint8),
            "mask": draw.integers(0, 2, (2, 3)).astype(bool),
            "empty": np.zeros((0, 4), dtype=np.float32),
        },
        "progress": {"step": step, "lanes": [step, 2 * step], "seconds": step / 7, "generator": 2**100 + step},
    }


def assert_equal(checkpoint, step):
    """Assert that `checkpoint` (with training) is, bit for bit, what was saved at `step`."""
    expected = content_of(step)
    assert checkpoint.step == step
    for part in ("weights", "training"):
        found = getattr(checkpoint, part)
        assert set(found) == set(expected[part])
        for name, array in expected[part].items():
            assert (found[name].dtype, found[name].shape) == (array.dtype, array.shape), name
            assert found[name].tobytes() == array.tobytes(), name
    assert checkpoint.progress == expected["progress"]


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch):
    """Whether the disk is asked to flush is tested in `faults`; no test need wait until it has."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


@pytest.fixture(scope="session")
def content():
    return content_of


@pytest.fixture(scope="session")
def assert_checkpoint():
    return assert_equal


@pytest.fixture(scope="session")
def tokenizer():
    return train_tokenizer(TokenizerConfig(), ["to be or not to be\n"])


class Clock:
    """A clock that goes on a minute each time it is looked at."""

    def __init__(self):
        self.now = 1_800_000_000.0

    def __call__(self):
        self.now += 60
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def new_run(tmp_path, tokenizer, clock):
    """Make a run in tmp_path / "runs" and save some steps in it; `best` is marked."""

    def make(name="poem", steps=(), best=None, keep=9, root=tmp_path / "runs", config=None):
        run = create_run(
            root / name,
            config=config or Config(),
            facts={"vocab_size": tokenizer.vocab_size},
            tokenizer=tokenizer,
            clock=clock,
        )
        for step in steps:
            run.save(
                step, **content_of(step), best=step == best, keep=keep, figures={"validation_nats": 2 - step / 1e3}
            )
        return run

    return make
