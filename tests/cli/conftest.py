"""A run made by hand, with a vocabulary of everything that should not reach a terminal."""

import os
import random
from pathlib import Path

import numpy as np
import pytest

from charlm.config import Config, ModelConfig, TokenizerConfig
from charlm.config.shapes import parameter_shapes
from charlm.runs import create_run
from charlm.tokenizers import train_tokenizer

# escape sequences (CSI, OSC 8, OSC 52), C0, C1, marks of direction, markup of rich, tabs, several scripts
HOSTILE = "\x1b[2J\x1b]52;c;aGVsbG8=\x07\x1b]8;;http://x\x1b\\\x9b31m\x9d\r\b\0\x7f\u202e\u2066\u2028\ufeff[/x][bold]:smile:\té☃😀\n"


@pytest.fixture(scope="session")
def hostile_run(tmp_path_factory):
    """The folder of a run whose model knows nothing: every character of `HOSTILE` is as likely as any other."""
    model = ModelConfig(hidden_size=4, layers=1)
    tokenizer = train_tokenizer(TokenizerConfig(unknown="error"), [HOSTILE])
    shapes = parameter_shapes(model, tokenizer.vocab_size)
    weights = {name: np.zeros(shape, dtype=np.float32) for name, shape in shapes.items()}
    folder = tmp_path_factory.mktemp("runs") / "hostile[x]"
    facts = {"corpus": {}, "vocab_size": tokenizer.vocab_size}
    run = create_run(folder, config=Config(model=model), facts=facts, tokenizer=tokenizer)
    run.save(1, weights=weights, training={}, progress={}, best=True, keep=1)
    return folder


@pytest.fixture
def hostile_text(tmp_path):
    """A file of the characters of `HOSTILE`, under a name that markup would eat."""
    path = tmp_path / "a[bold] b.txt"
    path.write_text("".join(random.Random(0).choices(HOSTILE, k=2000)), encoding="utf-8", newline="")
    return path


@pytest.fixture
def environment():
    """The environment of a command that is run as a user runs it, without settings of whoever runs the tests."""
    ours = ("CHARLM_", "NO_COLOR", "LC_", "LANG", "PYTHONUTF8", "PYTHONIOENCODING")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    return kept | {"TERM": "xterm-256color", "PYTHONPATH": str(Path(__file__).parents[2])}
