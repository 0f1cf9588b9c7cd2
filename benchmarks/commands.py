"""Whole commands, from start to end: how long a user waits, how much memory it takes.

    python benchmarks/commands.py            about 4 minutes
    python benchmarks/commands.py --quick    under a minute
    python benchmarks/commands.py --cases generate,score

generate    `charlm generate` of a 2 x 512 run: to the first character on a terminal, peak memory. It was started
            once before, so what is compiled on first use is compiled.
score       `charlm eval` of a text of 1.1 MB with a 2 x 256 run.
train       `charlm train` of 2 x 512 on a text of 5 MB: peak memory, 20 steps and the scoring at the end.
overhead    what `charlm train` spends beside training steps: progress on a terminal, metrics, checkpoints,
            reading windows. Evaluations and samples are work that was asked for, and listed apart.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path

from harness.command import Cost, charlm, cost_of, users_environment
from harness.program import finish, options, show
from harness.record import Case
from harness.saved_runs import save_run
from harness.texts import write_text

from charlm.config import ModelConfig

WATCHED = Path(__file__).parent / "harness" / "watched_training.py"
MB = 1e6


def repeated(command: list[str], folder: Path, repeats: int) -> list[Cost]:
    """The same command several times, after once that is not counted."""
    return [cost_of(command, folder) for _ in range(repeats + 1)][1:]


def add_waits(case: Case, what: str, seconds: list[float | None]) -> None:
    """Median and range of some waits."""
    known = [value for value in seconds if value is not None]
    case.figures[f"{what}, s"] = f"{statistics.median(known):.2f}"
    case.figures[f"{what}, lowest to highest, s"] = f"{min(known):.2f} to {max(known):.2f}"


def add_memory(case: Case, costs: list[Cost]) -> None:
    """The most memory of the costliest time."""
    case.figures["peak memory, MB"] = f"{max(cost.peak_bytes for cost in costs) / MB:,.0f}"


def generate(folder: Path, asked: argparse.Namespace) -> Case:
    """`charlm generate` to its first character."""
    size = 64 if asked.quick else 512
    run = save_run(folder, write_text(folder, 50_000), "writer", ModelConfig(hidden_size=size))
    command = charlm("generate", "--run", str(run.folder), "--length", "1000", "--seed", "1")
    costs = repeated(command, folder, asked.repeats)
    case = Case(title=f"charlm generate, lstm 2 x {size}, 1,000 characters, warm cache")
    add_waits(case, "start to first character", [cost.first_seconds for cost in costs])
    add_waits(case, "whole command", [cost.seconds for cost in costs])
    add_memory(case, costs)
    return case


def score(folder: Path, asked: argparse.Namespace) -> Case:
    """`charlm eval` of another text than the run's own."""
    size, characters = (64, 60_000) if asked.quick else (256, 1_100_000)
    run = save_run(folder, write_text(folder, 50_001), "scorer", ModelConfig(hidden_size=size))
    text = write_text(folder, characters)
    costs = repeated(charlm("eval", str(text), "--run", str(run.folder), "--json"), folder, min(asked.repeats, 3))
    case = Case(title=f"charlm eval, lstm 2 x {size}, a text of {characters / MB:g} MB")
    add_waits(case, "whole command", [cost.seconds for cost in costs])
    add_memory(case, costs)
    return case


def train(folder: Path, asked: argparse.Namespace) -> Case:
    """`charlm train` with a larger model on a larger text."""
    size, characters = (64, 60_000) if asked.quick else (512, 5_000_000)
    text = write_text(folder, characters)
    command = charlm("train", str(text), "--run", str(folder / "large"), "--hidden-size", str(size), "--steps", "20")
    cost = cost_of([*command, "--quiet"], folder)
    case = Case(title=f"charlm train, lstm 2 x {size}, a text of {characters / MB:g} MB, 20 steps")
    add_memory(case, [cost])
    case.figures["whole command, s"] = f"{cost.seconds:.1f}"
    return case


def overhead(folder: Path, asked: argparse.Namespace) -> Case:
    """Where the time of `charlm train` goes, as it runs on a terminal."""
    size, seconds = (32, 5.0) if asked.quick else (256, 40.0)
    text = write_text(folder, 100_000 if asked.quick else 1_100_000)
    on_terminal([sys.executable, str(WATCHED), str(text), str(folder), str(seconds), str(size)])
    spent = json.loads((folder / "spent.json").read_text())
    steps = spent["step"] - spent["data"]
    asked_for = spent.get("evaluating", 0.0) + spent.get("sampling", 0.0)
    rest = spent["all"] - steps - asked_for
    case = Case(title=f"charlm train, lstm 2 x {size}, {spent['all']:.0f} s of it")
    case.figures["overhead, per cent of the steps"] = 100 * rest / steps
    case.figures["of which reading windows, per cent"] = 100 * spent["data"] / steps
    case.figures["of which checkpoints, per cent"] = 100 * spent["checkpoints"] / steps
    case.figures["evaluations and samples, per cent of all"] = 100 * asked_for / spent["all"]
    return case


def on_terminal(command: list[str]) -> None:
    """Run a command whose standard error is a terminal that somebody reads."""
    mine, its = os.openpty()
    environment = users_environment(TERM="xterm-256color")
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=its, env=environment) as process:
        os.close(its)
        said = bytearray()
        reader = threading.Thread(target=_drain, args=(mine, said))
        reader.start()
        code = process.wait()
        reader.join()
    os.close(mine)
    if code != 0:
        raise RuntimeError(f"{' '.join(command)} ended with {code}: {said[-500:].decode(errors='replace')}")


def _drain(terminal: int, said: bytearray) -> None:
    """Keep the end of what is written to a terminal."""
    while True:
        try:
            data = os.read(terminal, 65536)
        except OSError:  # nobody holds the other end any more
            return
        if not data:
            return
        said[:] = (said + data)[-4096:]


CASES: dict[str, Callable[[Path, argparse.Namespace], Case]] = {
    "generate": generate,
    "score": score,
    "train": train,
    "overhead": overhead,
}


def main(arguments: list[str] | None = None) -> int:
    """Measure the cases asked for; returns the exit code."""
    asked = options(__doc__, CASES).parse_args(arguments)
    asked.repeats = asked.repeats or (1 if asked.quick else 5)
    cases = {}
    for name in asked.cases:
        with tempfile.TemporaryDirectory() as folder:
            cases[name] = CASES[name](Path(folder), asked)
        show(cases[name])
    return finish("commands", cases, asked, {})


if __name__ == "__main__":
    sys.exit(main())
