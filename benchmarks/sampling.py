"""Sampling on a CPU: charlm's engines against the loops that people write around torch and ONNX Runtime.

    python benchmarks/sampling.py                            about 3 minutes
    python benchmarks/sampling.py --quick                    half a minute
    python benchmarks/sampling.py --cases lstm-2x512

All sides have the weights of one saved run and draw at temperature 0.8. charlm writes by `charlm.generation.generate`,
as `charlm generate` does: text, not ids. Before anything is timed all sides read the same symbols, and their logits
are compared. A side is named with its number of threads.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from engines import ENGINES, ROUGH
from harness.limits import read_bandwidth
from harness.program import finish, options, show
from harness.record import Case
from harness.saved_runs import save_run
from harness.texts import write_text
from harness.timing import Side, measure
from opponents.sampling_loops import LOOPS, TEMPERATURE

from charlm import api
from charlm.config import ModelConfig, SamplingConfig
from charlm.config.shapes import parameter_shapes
from charlm.generation import generate

# Logits of all sides on the same symbols: rounding in fp32, and what whole-number weights lose.
ALLOWED, ALLOWED_ROUGH = 1e-3, 0.1
CHECKED = 200
READ_UNIT = 4.0


@dataclass(frozen=True)
class Shape:
    """One case: a model, how many texts are written side by side, and on how many threads the others are tried."""

    cell: str
    layers: int
    hidden_size: int
    streams: int = 1
    threads: tuple[int, ...] = (1, 2)

    @property
    def title(self) -> str:
        """In words."""
        return f"{self.cell} {self.layers} x {self.hidden_size}, {self.streams} stream{'s' * (self.streams > 1)}"

    @property
    def model(self) -> ModelConfig:
        """Its settings."""
        return ModelConfig(cell=self.cell, layers=self.layers, hidden_size=self.hidden_size)


CASES = {
    "lstm-2x128": Shape("lstm", 2, 128),
    "lstm-2x512": Shape("lstm", 2, 512),
    "gru-3x512": Shape("gru", 3, 512),
    "lstm-2x512-64": Shape("lstm", 2, 512, streams=64, threads=(2,)),
}


def compare(shape: Shape, model: api.Model, asked: argparse.Namespace) -> Case:
    """Hold the sides to equal logits, then let them take turns."""
    case = Case(title=shape.title)
    weights, V = model.checkpoint.weights, model.tokenizer.vocab_size
    loops: dict[str, Any] = {}
    for name, make in LOOPS.items():
        for threads in shape.threads:
            try:
                loops[side_name(name, threads)] = make(shape.cell, weights, threads)
            except ImportError as error:
                print(f"{name} is left out: {error}; pip install '.[bench]' has it", file=sys.stderr)
    engines = {f"charlm {name}": model.engine(*wanted) for name, wanted in ENGINES.items()}
    check_logits(case, loops, engines, V)
    sides = {name: Side(partial(loop.write, streams=shape.streams), shape.streams) for name, loop in loops.items()}
    sides |= {
        name: Side(partial(write, engine, model.tokenizer, shape.streams), shape.streams)
        for name, engine in engines.items()
    }
    case.sides = measure(sides, repeats=asked.repeats, seconds=asked.seconds)
    # what a user would have who tried the numbers of threads
    usual = {name: rates for name, rates in case.sides.items() if name.startswith("nn")}
    case.reference = max(usual, key=lambda name: usual[name].median)
    case.figures["charlm generate takes"] = getattr(model.runtime, "precision", "numpy")
    add_share(case, shape, V)
    return case


def side_name(name: str, threads: int) -> str:
    """``nn, 2 threads``"""
    return f"{name}, {threads} thread{'s' * (threads > 1)}"


def write(engine: Any, tokenizer: Any, streams: int, count: int) -> int:
    """So many characters of each stream, by the way of `charlm generate`; how many came."""
    sampling = SamplingConfig(length=count, samples=streams, temperature=TEMPERATURE)
    return sum(len(piece.text) for piece in generate(engine, tokenizer, sampling, seed=1))


def check_logits(case: Case, loops: dict[str, Any], engines: dict[str, Any], V: int) -> None:
    """Every side's logits on the same symbols against those of the first."""
    ids = np.random.default_rng(1).integers(V, size=CHECKED)
    found = {name: loop.logits(ids) for name, loop in loops.items()}
    for name, engine in engines.items():
        rows, state = [], None
        for at in range(CHECKED):
            logits, state = engine.prime(ids[:1]) if state is None else engine.step(ids[at : at + 1], state)
            rows.append(logits[0].copy())
        found[name] = np.stack(rows)
    (first, expected), *others = found.items()
    for name, logits in others:
        gap = float(np.abs(logits - expected).max())
        allowed = ALLOWED_ROUGH if any(word in name for word in ROUGH) else ALLOWED
        case.checks[f"logits of {CHECKED} steps, {name} against {first}"] = (gap, allowed)


def add_share(case: Case, shape: Shape, V: int) -> None:
    """How fast the exact engines read the weights that each step needs, against reading an array of that size."""
    if shape.streams > 1:
        return
    shapes = parameter_shapes(shape.model, V)
    # the embedding and layer 0's input product are one row of a table
    needed = [s for name, s in shapes.items() if name not in ("embedding", "layers.0.input_weight")]
    size = READ_UNIT * sum(float(np.prod(s)) for s in needed)
    bandwidth = read_bandwidth(int(size), threads=1)
    case.figures["weights read in a step, MB"] = size / 1e6
    case.figures["reading such an array, 1 thread, GB/s"] = bandwidth / 1e9
    for name, rates in case.sides.items():
        if name.startswith("charlm") and not any(word in name for word in ROUGH):
            case.figures[f"{name}, per cent of that bandwidth"] = 100 * rates.median * size / bandwidth


def main(arguments: list[str] | None = None) -> int:
    """Measure the cases asked for; returns the exit code."""
    asked = options(__doc__, CASES).parse_args(arguments)
    asked.repeats = asked.repeats or (3 if asked.quick else 5)
    asked.seconds = asked.seconds or (0.1 if asked.quick else 1.0)
    shapes = {name: CASES[name] for name in asked.cases}
    if asked.quick:
        shapes = {name: replace(shape, hidden_size=shape.hidden_size // 4) for name, shape in shapes.items()}
    cases, threads = {}, torch.get_num_threads()
    with tempfile.TemporaryDirectory() as folder:
        text = write_text(Path(folder), 50_000)
        for name, shape in shapes.items():
            run = save_run(Path(folder), text, name, shape.model)
            cases[name] = compare(shape, api.load(run.folder), asked)
            torch.set_num_threads(threads)
            show(cases[name])
    return finish("sampling", cases, asked, {"temperature": TEMPERATURE})


if __name__ == "__main__":
    sys.exit(main())
