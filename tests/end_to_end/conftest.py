"""The installed command, run as a user runs it: another process, an own working folder, a text of the test's."""

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

WORDS = ["the", "cat", "sat", "on", "a", "mat", "and", "saw", "that", "rat", "eat", "ham", "at", "dawn"]


def make_text(characters=60_000, seed=0):
    """Sentences of a few words: easy to learn, impossible to know by heart."""
    draws = random.Random(seed)
    sentences = []
    while sum(map(len, sentences)) < characters:
        words = draws.choices(WORDS, k=draws.randint(3, 9))
        sentences.append(" ".join(words).capitalize() + ".\n")
    return "".join(sentences)


# with kernels given, no trial of a second or so tells which are faster
SMALL = ["--hidden-size", "32", "--layers", "2", "--batch-size", "8", "--window-length", "32", "--threads", "1"]
SMALL += ["--kernels", "compiled"]


class Workplace:
    """A folder to work in, with the command at hand."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.text = folder / "cats.txt"
        self.text.write_text(make_text(), encoding="utf-8")
        kept = {name: value for name, value in os.environ.items() if not name.startswith("CHARLM_")}
        self.environment = kept | {"CHARLM_CACHE": str(folder / "cache"), "PYTHONUNBUFFERED": "1"}

    def start(self, *arguments, **options):
        """The command, started and left running."""
        command = [sys.executable, "-m", "charlm", *map(str, arguments)]
        options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
        return subprocess.Popen(command, cwd=self.folder, env=self.environment, **options)

    def run(self, *arguments, stdin=b"", code=0):
        """The command, run to its end; returns its output and fails on another exit code."""
        process = self.start(*arguments, stdin=subprocess.PIPE)
        out, err = process.communicate(stdin, timeout=240)
        assert process.returncode == code, f"exit {process.returncode}\n{out.decode()}\n{err.decode()}"
        self.errors = err.decode()
        return out

    def json(self, *arguments):
        """What the command prints with --json."""
        return json.loads(self.run(*arguments, "--json"))

    def training(self, *arguments):
        """The words of `charlm train` on the text, small and single-threaded."""
        return ("train", self.text, *SMALL, *arguments)

    def train(self, *arguments, code=0):
        """A training, run to its end."""
        return self.run(*self.training(*arguments), code=code)


@pytest.fixture
def workplace(tmp_path):
    return Workplace(tmp_path)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A workplace with one finished training, named cats, for tests that only read it."""
    place = Workplace(tmp_path_factory.mktemp("trained"))
    place.train("--run", "cats", "--steps", 300, "--learning-rate", 0.01)
    return place
