"""Trainings killed with kill -9 at random moments, up to four times each, and resumed: what they end with is what the
same training ends with that nobody killed, bit for bit.

Compared are the SHA-256 of weights, moments, averages and carried state of every checkpoint that is left, which one is
the best, every counter and position, and every evaluation in metrics.jsonl. After each kill, and before anything is
cleared up, the run must open at a sound checkpoint no older than the last one announced.

    everything  all at once: every kind of dropout, jittered windows, averaged weights, plateau, best so far,
                accumulated gradients, patience; on compiled kernels and torch's, one thread and two
    mixtures    cells, optimisers, tokenizers and all else drawn at random
    divergence  a rate so high that the training leaves the rails, goes back, and may be given up in the end
"""

from __future__ import annotations

import random
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from counting import Asked, Count, Part, main
from sittings import TOO_LONG, TRAINING, Place, Sitting, announced, outcome, preload

from charlm.runs import open_run

PROMISE = "the weights' SHA-256 and all else that is saved are those of the training that nobody killed"
WORDS = ["the", "cat", "sat", "on", "a", "mat", "and", "saw", "that", "rat", "eat", "ham", "at", "dawn"]
TEXT = " ".join(random.Random(0).choices(WORDS, k=1500))
SIZE = ["--hidden-size", "8", "--layers", "2", "--batch-size", "4", "--window-length", "12", "--learning-rate", "0.02"]
PLAIN = ["--kernels", "compiled", "--dtype", "float32", "--threads", "1"]
# The share of sittings in a new interpreter: addresses there are others than in a fork.
FRESH = 0.1
MOST_KILLS = 4


def everything(draw: random.Random, number: int) -> list[str]:
    """Settings with all at once; the four kinds of machine take turns."""
    kernels, threads = ("compiled", "torch")[number % 2], 1 + number // 2 % 2
    rates = [f"--dropout{kind}={draw.choice((0.1, 0.3))}" for kind in _DROPOUTS]
    return [
        *SIZE, *rates, *machine(draw, kernels), "--threads", str(threads), "--window-jitter", "0.3", "--ema", "0.9",
        "--schedule", "plateau", "--accumulate", "2", "--patience", "4", "--steps", "24", "--evaluate-every", "3",
        "--checkpoint-every", "2", "--keep", "1", "--seed", str(number),
    ]  # fmt: skip


_DROPOUTS = ("", "-input", "-between", "-output", "-recurrent", "-embedding")


def machine(draw: random.Random, kernels: str) -> list[str]:
    """Kernels, and a number format that they have here."""
    from charlm.simd import HAS_BFLOAT16

    formats = ["float32", "bfloat16"] if HAS_BFLOAT16 or kernels == "torch" else ["float32"]
    return ["--kernels", kernels, "--dtype", draw.choice(formats)]


def mixture(draw: random.Random, number: int) -> list[str]:
    """Settings drawn at random."""
    from charlm.config.sections import TrainingConfig
    from charlm.config.settings import settings_of
    from charlm.kernels import KERNELS
    from charlm.models.cells import CELLS

    known = settings_of(TrainingConfig)
    cell = draw.choice(sorted(CELLS))
    kernels = draw.choice([family for family in ("compiled", "torch") if cell in KERNELS[family]] or ["auto"])
    given: dict[str, Any] = {
        "cell": cell,
        "optimizer": draw.choice(known["optimizer"].names),
        "schedule": draw.choice(known["schedule"].names),
        "tokenizer": draw.choice(["char", "char", "byte", "bpe:290", "unigram:270"]),
        "threads": draw.choice([1, 2]),
        "window-jitter": draw.choice([0, 0.4]),
        "ema": draw.choice([0, 0.8]),
        "accumulate": draw.choice([1, 2]),
        "weight-decay": draw.choice([0, 0.01]),
        "clip-value": draw.choice([0, 0.05]),
        "activation-penalty": draw.choice([0, 2]),
        "change-penalty": draw.choice([0, 1]),
        "attention-window": draw.choice([0, 0, 5]),
        "ngram-embedding-size": draw.choice([0, 0, 4]),
        "steps": draw.randint(10, 30),
        "evaluate-every": draw.randint(2, 8),
        "checkpoint-every": draw.randint(1, 6),
        "keep": draw.randint(1, 3),
        "seed": number,
        **{f"dropout{kind}": draw.choice([0, 0.2]) for kind in _DROPOUTS},
    }
    switches = [flag for flag in ("layer-norm", "residual", "locked-dropout", "tie-weights") if draw.random() < 0.3]
    patience = ["--patience", "2"] if draw.random() < 0.3 else []
    flags = [word for name, value in given.items() for word in (f"--{name}", str(value))]
    formats = machine(draw, kernels) if kernels != "auto" else ["--dtype", "float32"]
    return [*SIZE, *flags, *formats, *patience, *(f"--{flag}" for flag in switches)]


def divergence(draw: random.Random, number: int) -> list[str]:
    """Plain descent, unclipped, at a rate that no model of this size takes."""
    rate = f"{10 ** draw.uniform(1.3, 3):.3g}"
    return [
        *SIZE, "--optimizer", "sgd", "--learning-rate", rate, "--clip-norm", "0", "--schedule", "constant",
        "--warmup", "0", *PLAIN, "--steps", "30", "--evaluate-every", "5",
        "--checkpoint-every", draw.choice(["1", "3", "5"]), "--cell", "elman-relu", "--seed", str(number),
    ]  # fmt: skip


def trained(place: Place, run: str, settings: list[str], *, fresh: bool = False) -> Sitting:
    """A training under way: a new one, or where its folder is there already, the same one resumed."""
    if (place.runs / run).exists():
        return Sitting(place, ["train", "--resume", "--run", run, "--json"], fresh=fresh)
    return Sitting(
        place, ["train", "cats.txt", "--run", run, "--json", "--sample-every", "1000", *settings], fresh=fresh
    )


def check_killed(run: Path, said: int | None) -> None:
    """A run that somebody killed, as the next reader finds it: sound, and no older than what was announced."""
    if not run.exists() or not open_run(run).was_saved():
        assert said is None, f"step {said} was announced, nothing is there"
        return
    loaded = open_run(run).load_training()
    assert said is None or loaded.step >= said, f"step {said} was announced, {loaded.step} is there"
    for name, array in {**loaded.weights, **loaded.training}.items():
        assert array.dtype.kind != "f" or np.isfinite(array).all(), f"{name} of step {loaded.step} is not finite"


def killed_and_resumed(place: Place, settings: list[str], draw: random.Random, count: Count, most: int) -> None:
    """One training that is let go on, and the same one killed and resumed until it ends."""
    whole = trained(place, "whole", settings)
    ended = whole.wait(TOO_LONG)
    assert ended in (0, 6), f"{' '.join(settings)}: exit {ended}: {whole.errors}"
    said, left, run = None, draw.randint(1, most), place.runs / "killed"
    while True:
        fresh, resumed = most > 1 and draw.random() < FRESH, run.exists()
        sitting = trained(place, "killed", settings, fresh=fresh)
        if left and sitting.wait(draw.uniform(0, whole.seconds)) is None:
            sitting.kill()
            left -= 1
            said = announced(sitting) or said
            note(count, run)
            check_killed(run, said)
            continue
        code = sitting.wait(TOO_LONG)
        assert code == ended or (resumed and code == 2 and "is complete" in sitting.errors), f"{code}: {sitting.errors}"
        break
    assert {path.name for path in place.runs.iterdir()} <= {"killed", "whole"}
    left_over = [path.name for path in run.rglob("*") if ".tmp" in path.name or ".old" in path.name]
    assert not left_over, left_over
    mine, its = outcome(run), outcome(place.runs / "whole")
    assert mine == its, f"{' '.join(settings)}: {differences(mine, its)}"


def note(count: Count, run: Path) -> None:
    """Count where a kill struck."""
    steps = run / "steps"
    names = [path.name for path in steps.iterdir()] if steps.exists() else []
    where = "kills"
    if any(".tmp" in name or ".old" in name for name in names):
        where = "in a save"
    elif not names:
        where = "before the first checkpoint"
    for name in {"kills", where}:
        count.notes[name] = int(count.notes.get(name, 0)) + 1


def differences(mine: dict[str, Any], its: dict[str, Any]) -> str:
    """What is not equal, by name."""
    return ", ".join(sorted(name for name in mine.keys() | its.keys() if mine.get(name) != its.get(name)))


def part(what: str, settings: Callable[[random.Random, int], list[str]], many: int, few: int) -> Part:
    """The part of `many` trainings with such settings, or of `few`."""

    def run(asked: Asked) -> Count:
        preload(TRAINING)
        count = Count(what=what, promise=PROMISE)
        for number in range(1, 1 + asked.of(many, few)):
            draw, folder = random.Random(f"{asked.seed} {what} {number}"), asked.folder / str(number)
            with count.attempt(f"--seed {asked.seed}, training {number}"):
                killed_and_resumed(Place(folder, TEXT), settings(draw, number), draw, count, asked.of(MOST_KILLS, 1))
            shutil.rmtree(folder)
        return count

    return run


PARTS: dict[str, Part] = {
    "everything": part("trainings with all settings on, killed at random and resumed", everything, 100, 1),
    "mixtures": part("trainings of random settings, killed at random and resumed", mixture, 80, 1),
    "divergence": part("trainings that leave the rails, killed at random and resumed", divergence, 20, 0),
}

if __name__ == "__main__":
    sys.exit(main("kill_and_resume", PARTS, __doc__))
