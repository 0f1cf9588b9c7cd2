"""Runs to sample and score: a single step of `charlm train`, saved by its own hands."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from charlm.config import Config, CorpusConfig, ModelConfig, TokenizerConfig, TrainingConfig
from charlm.runs import Run
from charlm.training import start_training

# The run's folder is named by hand; the time is asked for only where a name is made.
NEVER = datetime(2000, 1, 1)


def save_run(root: Path, text: Path, name: str, model: ModelConfig) -> Run:
    """The run `name` in the folder `root`, trained on `text` for one step: its weights are all but random."""
    config = Config(
        corpus=CorpusConfig(corpus=(str(text),)),
        tokenizer=TokenizerConfig(unknown="error"),
        model=model,
        training=TrainingConfig(steps=1, batch_size=8, window_length=32, device="cpu"),
    )
    training = start_training(config, run=name, root=root, now=NEVER, samples=False)
    for _ in training.events():
        pass
    return training.run
