"""A training as `charlm train` runs it, with a watch on where its time goes. Run by `commands.py` on a terminal.

    watched_training.py TEXT FOLDER SECONDS HIDDEN_SIZE

Settings are the defaults (three minutes, so that evaluations and checkpoints come as often as they do there); after
SECONDS it is asked to stop. Prints nothing of its own; FOLDER/spent.json has the seconds.
"""

from __future__ import annotations

import json
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

from charlm.cli.view import choose_view
from charlm.config import Config, CorpusConfig, ModelConfig, TrainingConfig
from charlm.training import Training, start_training


class Watch:
    """Adds up the seconds spent in functions, by name."""

    def __init__(self) -> None:
        self.spent: dict[str, float] = defaultdict(float)

    def on(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, watched."""

        def watched(*arguments: Any, **named: Any) -> Any:
            started = time.perf_counter()
            try:
                return function(*arguments, **named)
            finally:
                self.spent[name] += time.perf_counter() - started

        return watched


def put_watch(training: Training) -> Watch:
    """Watch what a trainer calls: the step, reading windows within it, evaluating, sampling."""
    watch, trainer = Watch(), training.trainer
    learner: Any = trainer.learner
    learner.step = watch.on("step", learner.step)
    learner.lanes.next = watch.on("data", learner.lanes.next)
    trainer.evaluate = watch.on("evaluating", trainer.evaluate) if trainer.evaluate else None
    trainer.sample = watch.on("sampling", trainer.sample) if trainer.sample else None
    trainer.capture = watch.on("checkpoints", trainer.capture)
    trainer.keeper.save_capture = watch.on("checkpoints", trainer.keeper.save_capture)
    return watch


def main(text: str, folder: str, seconds: float, hidden_size: int) -> None:
    """Train, and write what was found."""
    config = Config(
        corpus=CorpusConfig(corpus=(text,)),
        model=ModelConfig(hidden_size=hidden_size),
        training=TrainingConfig(minutes=3.0, device="cpu"),
    )
    training = start_training(config, run="watched", root=Path(folder), now=datetime(2000, 1, 1))
    watch, view = put_watch(training), choose_view(json=False, quiet=False)
    view.open(["watched"])
    started = time.perf_counter()
    for event in training.events():
        view.show(event)
        if time.perf_counter() - started > seconds:
            training.request_stop()
    watch.spent["all"] = time.perf_counter() - started
    view.close()
    Path(folder, "spent.json").write_text(json.dumps(watch.spent))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], float(sys.argv[3]), int(sys.argv[4]))
