"""What is damaged: a run folder as trainings leave them, with all that lies beside it; made in a second, without one.

Its weights are drawn at random, so that any change of them would show, and no two checkpoints have one the same.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from charlm.coding import Coder
from charlm.config import Config, CorpusConfig, ModelConfig, TokenizerConfig
from charlm.config.shapes import parameter_shapes
from charlm.runs import Run, create_run, open_run, prepare

Arrays = dict[str, npt.NDArray[Any]]

STEPS = (100, 200, 300)
BEST = 200
MODEL = ModelConfig(hidden_size=24, layers=2)
WORDS = ("the", "cat", "sat", "on", "a", "mat", "and", "saw", "that", "rat", "naïve", "☃")


def text(characters: int, seed: int = 0) -> str:
    """Lines of a few words."""
    draws = random.Random(seed)
    lines: list[str] = []
    while sum(map(len, lines)) < characters:
        lines.append(" ".join(draws.choices(WORDS, k=draws.randint(3, 9))) + ".\n")
    return "".join(lines)


def weights_of(step: int, vocab_size: int, model: ModelConfig = MODEL) -> Arrays:
    """The weights saved at `step`."""
    draw = np.random.default_rng(step)
    shapes = parameter_shapes(model, vocab_size)
    return {name: (draw.standard_normal(shape) / 6).astype(np.float32) for name, shape in shapes.items()}


def training_of(step: int, vocab_size: int) -> Arrays:
    """The arrays for training alone saved at `step`."""
    draw = np.random.default_rng([step, 1])
    moments = {f"optimizer.{name}": array**2 for name, array in weights_of(step, vocab_size).items()}
    return moments | {"generator": draw.integers(0, 256, 500, dtype=np.uint8), "count": np.array(step)}


def progress_of(step: int) -> dict[str, Any]:
    """What else was saved at `step`."""
    return {"steps": step, "lanes": {"position": 7 * step}, "seconds": step / 7, "generator": 2**100 + step}


def sha256(content: bytes) -> str:
    """In hexadecimal."""
    return hashlib.sha256(content).hexdigest()


@dataclass(frozen=True, kw_only=True)
class Specimen:
    """A run folder and what lies beside it, in a folder of its own."""

    folder: Path
    spec: str

    @property
    def text(self) -> Path:
        """The file that it was trained on."""
        return self.folder / "poem.txt"

    @property
    def runs(self) -> Path:
        """The folder of runs."""
        return self.folder / "runs"

    @property
    def cache(self) -> Path:
        """Holds the token store."""
        return self.folder / "cache"

    @property
    def run(self) -> Path:
        """The run folder."""
        return self.runs / "poem"

    def opened(self) -> Run:
        """The run, opened."""
        return open_run(self.run, clock=lambda: 1_800_000_000.0)

    def weights(self, step: int) -> Path:
        """The weights file of a checkpoint."""
        return self.run / "steps" / f"step-{step:08d}" / "weights.safetensors"

    def files(self) -> list[Path]:
        """All files of the run, in name order."""
        return sorted(path for path in self.run.rglob("*") if path.is_file())

    def coder(self) -> Coder:
        """Compresses with its latest checkpoint; needs no compiler."""
        run = self.opened()
        return Coder(run.config.model, run.load("latest").weights, run.tokenizer, engine="numpy", threads=1)

    @contextlib.contextmanager
    def settings(self) -> Iterator[None]:
        """Inside, its cache is the cache, and its runs the runs."""
        named = {"CHARLM_CACHE": str(self.cache), "CHARLM_CHECKPOINTS": str(self.runs)}
        with environment(named):
            yield


@contextlib.contextmanager
def environment(values: Mapping[str, str]) -> Iterator[None]:
    """Inside, these variables have these values."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


def make(folder: Path, spec: str = "char", steps: tuple[int, ...] = STEPS, characters: int = 20_000) -> Specimen:
    """A specimen in `folder`, with the tokenizer `spec` and a checkpoint at each of `steps`."""
    made = Specimen(folder=folder, spec=spec)
    folder.mkdir(parents=True, exist_ok=True)
    made.text.write_text(text(characters), encoding="utf-8")
    config = Config(
        corpus=CorpusConfig(corpus=(str(made.text),)), tokenizer=TokenizerConfig(tokenizer=spec), model=MODEL
    )
    with made.settings():
        data = prepare(config.corpus, config.tokenizer)
    size = data.tokenizer.vocab_size
    facts = {"corpus": data.facts, "corpus_name": data.corpus_name, "vocab_size": size}
    run = create_run(
        made.run, config=config, facts=facts, tokenizer=data.tokenizer, clock=iter(range(10**9, 10**9 + 999)).__next__
    )
    for step in steps:
        figures = {"characters": step * 512, "validation_nats": 2 - step / 1e3}
        run.append_metrics({"kind": "evaluate", "step": step, **figures})
        run.save(
            step,
            weights=weights_of(step, size),
            training=training_of(step, size),
            progress=progress_of(step),
            best=step == BEST,
            keep=len(steps),
            figures=figures,
        )
        run.append_metrics({"kind": "save", "step": step, "best": step == BEST})
    return made


@contextlib.contextmanager
def holding(path: Path, content: bytes) -> Iterator[None]:
    """Inside, the file has this content."""
    before = path.read_bytes()
    path.write_bytes(content)
    try:
        yield
    finally:
        path.write_bytes(before)
