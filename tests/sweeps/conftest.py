"""A sweep small enough for a test."""

import random
from datetime import datetime

import pytest

from charlm.config import Layer, resolve
from charlm.config.ranges import SweepConfig
from charlm.sweeps import resume_sweep, start_sweep

NOW = datetime(2026, 11, 21, 14, 32)
SMALL = {"hidden_size": 8, "layers": 1, "batch_size": 4, "window_length": 8, "threads": 1, "steps": 18}
# one way to compute, so that numbers can be compared
EXACT = {"kernels": "torch", "dtype": "float32"}
RANGES = ["learning_rate=1e-3..3e-1", "dropout=0..0.5"]


class Place:
    """A folder with a text, to search in."""

    def __init__(self, folder):
        self.folder, self.root = folder, folder / "runs"
        draws = random.Random(3)
        self.text = folder / "tale.txt"
        self.text.write_text("".join(draws.choice(["a cat sat. ", "it was dawn.\n"]) for _ in range(300)))

    def config(self, **settings):
        values = {"corpus": (str(self.text),), **SMALL, **EXACT, **settings}
        return resolve([Layer(origin="flag", values=values)]).config

    def start(self, ranges=RANGES, trials=4, folder="found", clock=None, **settings):
        more = {} if clock is None else {"clock": clock}
        sweep = SweepConfig(trials=trials)
        return start_sweep(self.config(**settings), ranges, sweep, folder=folder, root=self.root, now=NOW, **more)

    def resume(self, name="found"):
        return resume_sweep(name, root=self.root)


@pytest.fixture(scope="session")
def make_place():
    return Place


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.setenv("CHARLM_CACHE", str(tmp_path / "cache"))
    return Place(tmp_path)
