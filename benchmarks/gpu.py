"""A CUDA GPU: charlm's training step against bare cuDNN and the usual loop, and text in 1 and 1,024 streams.

    python benchmarks/gpu.py             some 5 minutes
    python benchmarks/gpu.py --quick     small sizes, one minute
    python benchmarks/gpu.py --check     times nothing: is what the GPU computes what the CPU computes?

Run --check first. Without a GPU the program says so and ends: with code 0, with --check with code 2.
The number of lanes is chosen by trying several; all sides then have that one.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from harness.program import finish, options, show
from harness.record import Case
from harness.texts import open_data, write_text
from harness.timing import Side, measure
from opponents.gpu_checks import CHECKS
from opponents.nn_model import CharRNN, lane_rows
from opponents.on_gpu import DeviceLoop, bare_layers, synchronise, usual_writer

from charlm.config import Config, CorpusConfig, ModelConfig, SamplingConfig, TrainingConfig
from charlm.generation.transforms import rules_of, transforms_of
from charlm.models.device_draws import LONGEST_BLOCK
from charlm.models.torch_engine import TorchModel
from charlm.runs import Data
from charlm.runtime import RECENT, Drawing
from charlm.training.assembly import make_learner
from charlm.training.device import choose_machine
from charlm.training.learner import Learner

LAYERS, T, RATE, CLIP = 3, 64, 2e-3, 1.0
SIZES = {"train-3x512": 512, "train-3x1024": 1024}
BATCHES = (64, 128, 256, 512, 1024)
STREAMS = (1, 1024)
CASES = (*SIZES, "write-3x512")
# In which time the sweep times one number of lanes.
SWEEP_SECONDS = 1.0


def learner_of(data: Data, device: str, dtype: str, model: dict[str, Any], training: dict[str, Any]) -> Learner:
    """A learner put together as `charlm train` does it."""
    config = Config(
        corpus=CorpusConfig(),
        model=ModelConfig(**{"layers": LAYERS, "dropout": 0.0, **model}),
        training=TrainingConfig(
            **{"optimizer": "adam", "learning_rate": RATE, "clip_norm": CLIP, "window_length": T, **training},
            device=device,
            dtype=dtype,
        ),
    )
    return make_learner(config, data, choose_machine(config.training, config.model, data.tokenizer.vocab_size))


def stepper(learner: Learner) -> Callable[[int], None]:
    """So many steps, and what they came to."""

    def run(count: int) -> None:
        for _ in range(count):
            learner.advance(RATE)
        learner.settle()

    return run


def choose_lanes(case: Case, H: int, data: Data, asked: argparse.Namespace) -> int:
    """The number of lanes at which charlm is fastest; all that were tried are noted."""
    rates: dict[int, float] = {}
    for B in asked.batches:
        try:
            learner = learner_of(data, asked.device, asked.dtype, {"hidden_size": H}, {"batch_size": B})
            run = stepper(learner)
            run(6)  # the graph is recorded in these
            started, steps = time.perf_counter(), 0
            while time.perf_counter() - started < asked.sweep_seconds:
                run(4)
                steps += 4
            rates[B] = steps * B * T / (time.perf_counter() - started)
        except torch.cuda.OutOfMemoryError:
            break
        case.figures[f"charlm with {B} lanes, characters/s"] = rates[B]
    return max(rates, key=rates.__getitem__)


def training_case(name: str, H: int, data: Data, asked: argparse.Namespace) -> Case:
    """charlm's step, bare cuDNN and the usual loop at one number of lanes, taking turns."""
    device, reference = torch.device(asked.device), "cuDNN alone, one call"
    case = Case(title="", reference=reference)
    B = choose_lanes(case, H, data, asked)
    case.title = f"{name}: lstm {LAYERS} x {H}, batch {B}, window {T}"
    own = learner_of(data, asked.device, asked.dtype, {"hidden_size": H}, {"batch_size": B})
    dtype = own.machine.dtype
    case.figures["charlm computes in"] = str(dtype).removeprefix("torch.")
    dropped = learner_of(data, asked.device, asked.dtype, {"hidden_size": H, "dropout": 0.1}, {"batch_size": B})
    runs = {"charlm": stepper(own), "charlm, dropout 0.1": stepper(dropped)}
    for side, together in ((reference, True), ("cuDNN alone, a call a layer", False)):
        runs[side] = times(bare_layers(LAYERS, H, B, T, dtype, device, together=together), device)
    text = data.store.part("train")
    # with many lanes a lane is shorter than 64 windows
    rows = lane_rows(text, B, min(64 * T, (len(text) - 1) // B - 1) + 1).to(device)
    for side, autocast in (("nn fp32 (TF32 in cuDNN)", False), ("nn bf16 autocast", True)):
        model = CharRNN("lstm", own.model.to_arrays()).to(device)
        loop = DeviceLoop(model, rows, T, rate=RATE, clip=CLIP, autocast=autocast)
        try:
            loop.step()
        except RuntimeError as error:  # a torch whose layers do not know the format
            case.figures[f"{side} fails"] = str(error).splitlines()[0][:80]
            continue
        runs[side] = times(loop.step, device)
    sides = {side: Side(run, B * T) for side, run in runs.items()}
    case.sides = measure(sides, repeats=asked.repeats, seconds=asked.seconds)
    share = case.sides["charlm"].over(case.sides[reference])
    case.figures["charlm, per cent of cuDNN alone"] = 100 * share.median
    recorded = own.queue is not None and own.queue.graph is not None
    case.figures["charlm's step"] = "replayed from a graph" if recorded else "queued kernel by kernel"
    return case


def times(step: Callable[[], Any], device: torch.device) -> Callable[[int], None]:
    """The step so many times, and the end of it all."""

    def run(count: int) -> None:
        for _ in range(count):
            step()
        synchronise(device)

    return run


def writing_case(H: int, data: Data, asked: argparse.Namespace) -> Case:
    """Text in one stream and in many, drawn on the device."""
    case = Case(title=f"text: lstm {LAYERS} x {H}, temperature 0.8")
    model = learner_of(data, "cpu", "float32", {"hidden_size": H}, {"kernels": "torch"}).model
    arrays, device = model.to_arrays(), torch.device(asked.device)
    sides = {}
    for streams in asked.streams:
        for dtype in (torch.float32, torch.bfloat16):
            engine = TorchModel(model.config, arrays, model.vocab_size, device=device, rows=streams, dtype=dtype)
            label = f"charlm {str(dtype).removeprefix('torch.')}, {streams:,} streams"
            sides[label] = Side(writer(engine, streams), streams * LONGEST_BLOCK)
        usual = usual_writer(CharRNN("lstm", arrays).to(device), streams, device)
        sides[f"nn fp32, {streams:,} streams"] = Side(usual, streams)
    case.sides = measure(sides, repeats=asked.repeats, seconds=asked.seconds)
    return case


def writer(engine: TorchModel, streams: int) -> Callable[[int], None]:
    """Blocks of text; their uniform numbers are drawn on the host each time, as generation would."""
    draws = np.random.default_rng(1)
    texts = Drawing(
        ids=np.zeros(streams, dtype=np.int64),
        state=engine.initial_state(streams),
        rules=rules_of(transforms_of(SamplingConfig(temperature=0.8))),
        recent=np.zeros((streams, RECENT), dtype=np.int64),
        written=np.zeros(streams, dtype=np.int64),
    )

    def run(count: int) -> None:
        for _ in range(count):
            engine.draw(texts, draws.random((streams, LONGEST_BLOCK)))

    return run


def check(data: Data, asked: argparse.Namespace) -> int:
    """Compute on the device and on the CPU, and compare. Returns the exit code."""
    # TF32 rounds products to 10 bits; what is compared with a CPU is computed in full
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False

    def make(device: str, dtype: str, model: dict[str, Any], training: dict[str, Any]) -> Learner:
        # subtle: a CPU would try two kinds of kernels for every learner, and not take the same for all
        same = {"batch_size": 16, "kernels": "torch"}
        return learner_of(data, device, dtype, {"hidden_size": 64, **model}, {**same, **training})

    failed = []
    for name, run in CHECKS.items():
        case = run(make, asked.device)
        show(case)
        failed += [f"{name}: {what}" for what in case.failed()]
    print("failed:\n  " + "\n  ".join(failed) if failed else "all of it holds")
    return 1 if failed else 0


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """The command line, with what it leaves out filled in."""
    parser = options(__doc__, CASES)
    parser.add_argument("--check", action="store_true", help="compare numbers with a CPU's instead of timing")
    parser.add_argument("--device", default="cuda", help="cpu: to see that the program runs; its figures say nothing")
    parser.add_argument("--dtype", default="auto", choices=("auto", "float32", "bfloat16"), help="charlm's format")
    asked = parser.parse_args(arguments)
    asked.repeats = asked.repeats or (2 if asked.quick else 5)
    asked.seconds = asked.seconds or (0.2 if asked.quick else 1.0)
    asked.sweep_seconds = 0.1 if asked.quick else SWEEP_SECONDS
    asked.batches = (8, 16) if asked.quick else BATCHES
    asked.streams = (1, 64) if asked.quick else STREAMS
    return asked


def main(arguments: list[str] | None = None) -> int:
    """Measure, or check, and print; returns the exit code."""
    asked = parse(arguments)
    if asked.device == "cuda" and not torch.cuda.is_available():
        print("gpu: no CUDA device here, nothing measured", file=sys.stderr if asked.check else sys.stdout)
        return 2 if asked.check else 0
    facts = device_facts(asked.device)
    print(", ".join(f"{name} {value}" for name, value in facts.items()), flush=True)
    with tempfile.TemporaryDirectory() as folder:
        data = open_data(str(write_text(Path(folder), 200_000 if asked.quick or asked.check else 4_000_000)))
        if asked.check:
            return check(data, asked)
        cases = {}
        for name in asked.cases:
            H = 32 if asked.quick else SIZES.get(name, 512)
            cases[name] = training_case(name, H, data, asked) if name in SIZES else writing_case(H, data, asked)
            show(cases[name])
    return finish("gpu", cases, asked, facts)


def device_facts(device: str) -> dict[str, str]:
    """What the figures are of."""
    if device != "cuda":
        return {"device": device, "torch": torch.__version__}
    return {
        "device": torch.cuda.get_device_name(),
        "torch": torch.__version__,
        "CUDA": str(torch.version.cuda),
        "cuDNN": str(torch.backends.cudnn.version()),
    }


if __name__ == "__main__":
    # what torch's pages ask for where recurrent layers of cuDNN must give the same bits every time
    if "--check" in sys.argv:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:2")
    sys.exit(main())
