"""Training on a CPU: charlm's step against the loops that people write with torch's layers.

    python benchmarks/training.py                                  about 7 minutes
    python benchmarks/training.py --quick                          half a minute
    python benchmarks/training.py --cases lstm-2x512 --threads 1
    python benchmarks/training.py --equal-steps 1000 --seeds 3     long: see docs/benchmarks.md

charlm is put together as `charlm train` puts it together, and its own choice of number format is taken. Each side
is a process of its own, and they take turns. All begin with the same weights, read the same windows and use Adam and
clipping with the same numbers; their first losses are compared before anything is timed.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from harness.limits import product_peaks
from harness.operations import per_character
from harness.program import finish, options, show
from harness.record import Case
from harness.texts import open_data, write_text
from harness.timing import Side, measure
from harness.turns import Apart
from opponents.nn_model import CellLoop, CharRNN, TrainingLoop, lane_rows

from charlm.config import Config, CorpusConfig, ModelConfig, TrainingConfig
from charlm.runs import Data
from charlm.training.assembly import make_learner
from charlm.training.device import choose_machine
from charlm.training.learner import Learner
from charlm.training.trial import is_emulated

RATE, CLIP = 2e-3, 1.0
# The first loss, from the same weights on the same window, may differ by rounding alone. So may the next ones, but
# Adam's first updates have one size for every weight, however small its gradient: they make rounding larger.
FIRST_STEPS = 3
ALLOWED = {"float32": 1e-4, "bfloat16": 5e-3}
ALLOWED_NEXT = {"float32": 1e-3, "bfloat16": 5e-2}
# After many steps rounding has taken the sides apart; what they have learnt must be the same.
ALLOWED_AFTER = 0.01
SMOOTHED = 100
KEPT_WINDOWS = 64
# nn loops that are timed: name, model, bfloat16
LOOPS: dict[str, tuple[type[CharRNN] | type[CellLoop], bool]] = {
    "nn fp32": (CharRNN, False),
    "nn bf16 autocast": (CharRNN, True),
    "cells, one by one": (CellLoop, False),
}


@dataclass(frozen=True)
class Shape:
    """One case: a cell, its size, and the windows it is trained on."""

    cell: str
    hidden_size: int
    batch_size: int
    window_length: int
    layers: int = 2

    @property
    def title(self) -> str:
        """In words."""
        size = f"{self.cell} {self.layers} x {self.hidden_size}"
        return f"{size}, batch {self.batch_size}, window {self.window_length}"


CASES = {
    "lstm-2x512": Shape("lstm", 512, 64, 64),
    "lstm-2x128": Shape("lstm", 128, 50, 50),
    "gru-2x512": Shape("gru", 512, 64, 64),
    "gru-2x128": Shape("gru", 128, 50, 50),
    "elman-2x512": Shape("elman", 512, 64, 64),
    "elman-2x128": Shape("elman", 128, 50, 50),
}


def charlm_learner(shape: Shape, data: Data, asked: argparse.Namespace, dtype: str, seed: int = 1) -> Learner:
    """charlm's side, by the functions that `charlm train` calls."""
    config = Config(
        corpus=CorpusConfig(),
        model=ModelConfig(cell=shape.cell, layers=shape.layers, hidden_size=shape.hidden_size, dropout=0.0),
        training=TrainingConfig(
            batch_size=shape.batch_size,
            window_length=shape.window_length,
            optimizer="adam",
            learning_rate=RATE,
            clip_norm=CLIP,
            seed=seed,
            device="cpu",
            dtype=dtype,
            threads=asked.threads,
        ),
    )
    return make_learner(config, data, choose_machine(config.training, config.model, data.tokenizer.vocab_size))


def nn_loop(name: str, shape: Shape, data: Data, learner: Learner, steps: int) -> TrainingLoop:
    """An opponent with the learner's weights, on the same windows."""
    model, autocast = LOOPS[name]
    rows = lane_rows(data.store.part("train"), shape.batch_size, steps * shape.window_length + 1)
    arrays = learner.model.to_arrays()
    return TrainingLoop(model(shape.cell, arrays), rows, shape.window_length, rate=RATE, clip=CLIP, autocast=autocast)


def stepper(learner: Learner) -> Callable[[], float]:
    """One step of charlm's on its machine."""

    def step() -> float:
        with learner.machine.in_use():
            return learner.step(RATE).loss

    return step


class OneSide:
    """What a side does in a process of its own."""

    def __init__(self, name: str, shape: Shape, text: Path, asked: argparse.Namespace) -> None:
        data = open_data(str(text))
        dtype = asked.dtype if name == "charlm" else "float32"
        self.learner = charlm_learner(shape, data, asked, dtype)
        self.step = stepper(self.learner)
        if name in LOOPS:
            torch.set_num_threads(self.learner.machine.threads)
            # more windows than are ever timed without beginning again would only cost memory
            self.step = nn_loop(name, shape, data, self.learner, KEPT_WINDOWS).step

    def machine(self) -> dict[str, str | int]:
        """charlm's choice."""
        return self.learner.machine.to_json()

    def run(self, count: int) -> list[float]:
        """The losses of so many steps."""
        return [self.step() for _ in range(count)]


def compare(shape: Shape, text: Path, asked: argparse.Namespace, peaks: dict[str, float]) -> Case:
    """Hold the sides to equal losses, then let them take turns; `peaks` learns of faster products."""
    with ExitStack() as held:

        def begin(name: str) -> Apart:
            return held.enter_context(Apart(OneSide, name, shape, text, asked))

        # a step of what the processor emulates would take minutes
        possible = [name for name, (_, rough) in LOOPS.items() if not (rough and is_emulated(torch.bfloat16))]
        sides = {name: begin(name) for name in (*possible, "charlm")}
        machine = sides["charlm"].ask("machine")
        if machine["dtype"] != "float32" and asked.dtype == "auto":
            sides["charlm fp32"] = begin("charlm fp32")
        case = Case(title=f"{shape.title}, {machine['threads']} threads", reference="nn fp32")
        check_first_losses(case, {name: side.ask("run", FIRST_STEPS) for name, side in sides.items()}, machine["dtype"])
        size = shape.batch_size * shape.window_length
        turns = {name: Side(partial(side.ask, "run"), size) for name, side in sides.items()}
        case.sides = measure(turns, repeats=asked.repeats, seconds=asked.seconds)
    if len(possible) < len(LOOPS):
        case.figures["left out"] = ", ".join(LOOPS.keys() - set(possible)) + ": the processor emulates bfloat16"
    case.figures["charlm computes in"] = machine["dtype"]
    case.figures["charlm computes with kernels"] = machine["kernels"]
    # a neighbour may have come by at any one time: the highest seen in this run
    for name, peak in product_peaks(machine["threads"], quick=asked.quick, repeats=1).items():
        peaks[name] = max(peak, peaks.get(name, 0.0))
    return case


def check_first_losses(case: Case, losses: dict[str, list[float]], chosen: str) -> None:
    """From the same weights, the same windows must give the same losses, `FIRST_STEPS` of each side."""
    for name, found in losses.items():
        if name != case.reference:
            rough = "bf16" in name or (name == "charlm" and chosen == "bfloat16")
            form = "bfloat16" if rough else "float32"
            gaps = [abs(own - its) for own, its in zip(found, losses[case.reference], strict=True)]
            case.checks[f"first loss, {name} against {case.reference}, nats"] = (gaps[0], ALLOWED[form])
            next_ones = f"losses of steps 2 to {FIRST_STEPS}, {name} against {case.reference}, nats"
            case.checks[next_ones] = (max(gaps[1:]), ALLOWED_NEXT[form])


def add_share(case: Case, shape: Shape, V: int, peaks: dict[str, float]) -> None:
    """What the rate is of the fastest product that this machine was seen to do."""
    model = ModelConfig(cell=shape.cell, layers=shape.layers, hidden_size=shape.hidden_size)
    needed = per_character(model, V, shape.batch_size * shape.window_length)
    for name, peak in peaks.items():
        case.figures[f"product peak {name}, GF/s"] = peak / 1e9
    case.figures["operations a character, MF"] = needed / 1e6
    computed = "bf16" if case.figures["charlm computes in"] == "bfloat16" else "fp32"
    if computed in peaks:  # else the processor emulates it
        share = needed * case.sides["charlm"].median / peaks[computed]
        case.figures["charlm, per cent of the product peak"] = 100 * share


def equal_steps(shape: Shape, data: Data, asked: argparse.Namespace) -> Case:
    """Train charlm and the fp32 nn loop for as many steps from the same weights; compare what they have learnt."""
    case = Case(title=f"{shape.title}: loss after {asked.equal_steps:,} steps")
    gaps = []
    for seed in range(1, asked.seeds + 1):
        learner = charlm_learner(shape, data, asked, asked.dtype, seed)
        torch.set_num_threads(learner.machine.threads)
        loop = nn_loop("nn fp32", shape, data, learner, asked.equal_steps)
        final = {}
        for name, step in (("charlm", stepper(learner)), ("nn fp32", loop.step)):
            final[name] = statistics.fmean([step() for _ in range(asked.equal_steps)][-SMOOTHED:])
            case.figures[f"seed {seed}: {name}, nats"] = f"{final[name]:.4f}"
        gaps.append(final["charlm"] - final["nn fp32"])
        print(f"{shape.title}, seed {seed}: {final['charlm']:.4f} and {final['nn fp32']:.4f} nats", flush=True)
    case.figures["mean difference, nats"] = f"{statistics.fmean(gaps):+.4f}"
    case.checks[f"mean difference after {asked.equal_steps:,} steps, nats"] = (
        abs(statistics.fmean(gaps)),
        ALLOWED_AFTER,
    )
    return case


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """The command line, with what it leaves out filled in."""
    parser = options(__doc__, CASES)
    parser.add_argument("--dtype", default="auto", choices=("auto", "float32", "bfloat16"), help="charlm's format")
    parser.add_argument("--threads", type=int, help="threads of all sides [all cores]")
    parser.add_argument("--batch-size", type=int, help="another number of lanes, for all cases")
    parser.add_argument("--equal-steps", type=int, help="time nothing: train so many steps and compare the losses")
    parser.add_argument("--seeds", type=int, default=3, help="how often --equal-steps is done")
    asked = parser.parse_args(arguments)
    asked.repeats = asked.repeats or (3 if asked.quick else 7)
    asked.seconds = asked.seconds or (0.2 if asked.quick else 1.5)
    return asked


def main(arguments: list[str] | None = None) -> int:
    """Measure the cases asked for; returns the exit code."""
    asked = parse(arguments)
    shapes = {name: CASES[name] for name in asked.cases}
    if asked.quick:
        shapes = {name: Shape(s.cell, s.hidden_size // 4, 16, 16) for name, s in shapes.items()}
    if asked.batch_size:
        shapes = {n: Shape(s.cell, s.hidden_size, asked.batch_size, s.window_length) for n, s in shapes.items()}
    needed = max(s.batch_size * s.window_length for s in shapes.values()) * (asked.equal_steps or KEPT_WINDOWS)
    peaks: dict[str, float] = {}
    cases = {}
    with tempfile.TemporaryDirectory() as folder:
        text = write_text(Path(folder), needed * 10 // 9 + 1000)
        data = open_data(str(text))
        for name, shape in shapes.items():
            case = equal_steps(shape, data, asked) if asked.equal_steps else compare(shape, text, asked, peaks)
            cases[f"{name}-equal" if asked.equal_steps else name] = case
            show(case)
    if not asked.equal_steps:
        for name, case in cases.items():
            add_share(case, shapes[name], data.tokenizer.vocab_size, peaks)
    return finish("training", cases, asked, {"rate": RATE, "clip": CLIP, "vocabulary": data.tokenizer.vocab_size})


if __name__ == "__main__":
    sys.exit(main())
