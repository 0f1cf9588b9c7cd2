"""``charlm train``, whole, the subject of a trial."""

from __future__ import annotations

import json
import os
import random
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

# what a training imports only when it begins is imported here, once, for all processes that are forked from this one
import numpy.random  # noqa: F401
import torch
from traced import Ended, Say, run
from trial import Trial, anew, digest, leftovers

import charlm.cli.live_view
import charlm.cli.train
import charlm.cli.training_run
import charlm.runs.arrays  # noqa: F401
from charlm.cli import entry
from charlm.errors import RunError
from charlm.runs import open_run, remove_run

# and looks at the processor, which torch does once
torch.backends.cpu.get_cpu_capability()

WORDS = ("the", "cat", "sat", "on", "a", "mat", "and", "saw", "that", "rat")
SMALL = (
    "--hidden-size", "8", "--layers", "1", "--batch-size", "2", "--window-length", "8", "--learning-rate", "0.01",
    "--threads", "1", "--device", "cpu", "--dtype", "float32", "--kernels", "torch",
)  # fmt: skip


class Place:
    """A working folder with a text, and runs and caches of its own."""

    def __init__(self, folder: Path, runs: Path | None = None) -> None:
        self.folder, self.runs = folder, runs or folder / "checkpoints"
        self.run = self.runs / "r"
        anew(folder)
        draws = random.Random(0)
        (folder / "text.txt").write_text("".join(f"{' '.join(draws.choices(WORDS, k=6))}.\n" for _ in range(80)))

    def charlm(self, *arguments: str) -> None:
        """Run the command here; ends the process."""
        os.chdir(self.folder)
        os.environ.update(CHARLM_CACHE=str(self.folder / "cache"), CHARLM_CHECKPOINTS=str(self.runs))
        sys.exit(entry.run(arguments))

    def train(self, *arguments: str) -> None:
        """``charlm train`` of a new run."""
        self.charlm("train", "text.txt", "--run", "r", "--json", *SMALL, *arguments)

    def latest(self) -> int | None:
        """The step of the newest checkpoint, which is whole; None where there is none."""
        if not self.run.exists():
            return None
        try:
            return open_run(self.run).load_training().step
        except RunError as error:
            if "no checkpoint yet" in str(error):
                return None
            raise

    def weights(self) -> str | None:
        """SHA-256 of the newest checkpoint's weights."""
        return digest(open_run(self.run).load("latest").folder / "weights.safetensors")


def records(printed: str, kind: str) -> list[dict[str, Any]]:
    """What ``--json`` wrote of this kind; a last line that was cut short does not count."""
    found = []
    for line in printed.splitlines():
        try:
            record = json.loads(line)
        except ValueError:
            continue
        if isinstance(record, dict) and record.get("kind") == kind:
            found.append(record)
    return found


def saved_steps(printed: str) -> list[int]:
    """The steps that were announced as saved."""
    return [record["step"] for record in records(printed, "save") if "checkpoint" in record]


def train(folder: Path) -> Iterator[Trial]:
    """A training of six steps with a checkpoint at every second; another start goes on with what it left."""
    place = Place(folder / "place")
    ends = ("--steps", "6", "--checkpoint-every", "2")

    def start(say: Say) -> None:
        place.train(*ends)

    def finish(say: Say) -> None:
        place.charlm("train", "--resume", "--run", "r", "--json")

    def prepared() -> None:
        anew(place.runs)

    def done(act: Any, name: str, codes: Sequence[int] = (0,)) -> Ended:
        ended = run(act, folder / name)
        assert ended.code in codes, ended.printed
        return ended

    def check(ended: Ended) -> None:
        latest, announced = place.latest(), saved_steps(ended.printed)
        assert not announced or (latest or 0) >= max(announced), f"step {announced} was said, step {latest} is there"
        assert ended.code != 0 or (latest == 6 and place.weights() == expected)
        if latest is None:
            if place.run.exists():  # killed before its first checkpoint
                remove_run(place.run)
            done(start, "again.log")
        elif latest < 6:
            done(finish, "again.log")
        with open_run(place.run).lock():  # what any next start does first
            pass
        assert place.latest() == 6
        assert place.weights() == expected, "the training resumed to other weights"
        assert leftovers(place.runs) == []

    prepared()
    done(start, "first.log")
    expected = place.weights()
    yield Trial(prepare=prepared, act=start, check=check, codes=(0, 3, 4, 5))
