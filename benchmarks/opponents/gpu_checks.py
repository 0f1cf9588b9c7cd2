"""That a GPU computes what the CPU does: steps with and without a graph, going on from a checkpoint, text."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from harness.record import Case
from torch import Tensor

from charlm.config import SamplingConfig
from charlm.generation.transforms import rules_of, transforms_of
from charlm.kernels import cudnn
from charlm.models.torch_engine import TorchModel
from charlm.runtime import RECENT, Drawing, NumpyModel, select
from charlm.training.learner import Learner

SAMPLINGS = (
    {"temperature": 0.8},
    {"temperature": 0.0},
    {"repetition_penalty": 1.2, "temperature": 0.9, "top_k": 20, "top_p": 0.9, "min_p": 0.01},
)
STEPS = 40
RATE = 2e-3
# dropout of every kind, averaged weights, two windows a step
EVERYTHING = (
    {"dropout": 0.2, "dropout_recurrent": 0.2, "dropout_input": 0.1, "dropout_embedding": 0.1},
    {"ema": 0.99, "accumulate": 2},
)
# beside the usual model: what its text holds, other layers, other optimisers
VARIANTS: tuple[tuple[str, dict[str, Any], dict[str, Any]], ...] = (
    ("n-grams", {"ngram_embedding_size": 32, "ngram_order": 4}, {}),
    ("tied weights", {"tie_weights": True, "embedding_size": 32}, {}),
    ("attention", {"attention_window": 32}, {}),
    ("layer norm and residual", {"layer_norm": True, "residual": True}, {}),
    ("Muon", {}, {"optimizer": "muon"}),
)
# Units at which cuDNN changes its ways.
WIDTHS = (64, 160, 192, 512, 1024)
# Rounding takes trainings apart, slowly; so much in nats is allowed between losses of the first `STEPS`.
ALLOWED = {"float32": 5e-3, "bfloat16": 5e-2}

# (device, dtype, model settings, training settings) -> a new learner, always with the same first weights
Maker = Callable[[str, str, dict[str, Any], dict[str, Any]], Learner]


def losses(learner: Learner, steps: int = STEPS, *, graph: bool = True) -> list[float]:
    """Of the next steps; without a graph every step runs as it stands."""
    if learner.queue is not None and not graph:
        learner.queue.record = False
    results = [result for _ in range(steps) for result in learner.advance(RATE)]
    return [result.loss for result in results + learner.settle()]


def gap(one: list[float], other: list[float]) -> float:
    """The largest difference; nan where there is one."""
    return float(np.abs(np.array(one) - np.array(other)).max())


def check_training(make: Maker, device: str) -> Case:
    """Losses on the device against those of the CPU, with and without a graph."""
    case = Case(title=f"training on {device}: {STEPS} steps against a CPU in float32")
    exact = losses(make("cpu", "float32", {"dropout": 0.0}, {}))
    for dtype in ("float32", "bfloat16"):
        for cell in ("lstm", "gru", "elman", "gru-reset-before"):
            settings = {"dropout": 0.0, "cell": cell}
            reference = exact if cell == "lstm" else losses(make("cpu", "float32", settings, {}))
            with warnings.catch_warnings():
                # torch warns of weights that it has to pack anew
                warnings.filterwarnings("error", message=".*single contiguous.*")
                as_it_stands = losses(make(device, dtype, settings, {}), graph=False)
            learner = make(device, dtype, settings, {})
            recorded = losses(learner)
            if learner.queue is not None:
                case.checks[f"{cell} {dtype}, steps that were not recorded"] = (int(learner.queue.graph is None), 0)
            case.checks[f"{cell} {dtype}, nats"] = (gap(as_it_stands, reference), ALLOWED[dtype])
            case.checks[f"{cell} {dtype}, graph against none, nats"] = (gap(recorded, as_it_stands), 1e-3)
    model, training = EVERYTHING
    both = [losses(make(device, "bfloat16", model, training), graph=graph) for graph in (True, False)]
    case.checks["with masks, graph against none, nats"] = (gap(*both), 1e-3)
    for name, model, training in VARIANTS:
        reference = losses(make("cpu", "float32", {"dropout": 0.0, **model}, training))
        made = [make(device, "float32", {"dropout": 0.0, **model}, training) for _ in range(2)]
        recorded, as_it_stands = losses(made[0]), losses(made[1], graph=False)
        case.checks[f"{name} float32, nats"] = (gap(as_it_stands, reference), ALLOWED["float32"])
        case.checks[f"{name} float32, graph against none, nats"] = (gap(recorded, as_it_stands), 1e-3)
    for optimizer in ("adam", "rmsprop", "sgd"):
        settings = {"optimizer": optimizer}
        reference = losses(make("cpu", "float32", {"dropout": 0.0}, settings))
        found = losses(make(device, "float32", {"dropout": 0.0}, settings))
        case.checks[f"{optimizer} float32, nats"] = (gap(found, reference), ALLOWED["float32"])
    return case


def check_gradients(make: Maker, device: str) -> Case:
    """Outputs and all gradients of three layers against those of a CPU, at sizes that cuDNN computes differently."""
    case = Case(title=f"gradients of three layers on {device}: the largest difference, beside the largest number")
    for H in WIDTHS[:1] if device == "cpu" else WIDTHS:
        for B in (16, 256):
            expected = layer_gradients(H, B, torch.device("cpu"), torch.float32)
            for dtype, allowed in ((torch.float32, 1e-3), (torch.bfloat16, 0.05)):
                found = layer_gradients(H, B, torch.device(device), dtype)
                gaps = [float((a - b).abs().max() / b.abs().max()) for a, b in zip(found, expected, strict=True)]
                case.checks[f"{H} units, {B} lanes, {str(dtype).removeprefix('torch.')}"] = (max(gaps), allowed)
    return case


def layer_gradients(H: int, B: int, device: torch.device, dtype: torch.dtype) -> list[Tensor]:
    """What three layers of an LSTM give over 16 steps, and the gradients of their input and weights; on the CPU."""
    draws = torch.Generator().manual_seed(H + B)
    shapes = [(4 * H, H), (4 * H, H), (4 * H,), (4 * H,)]
    weights = [[(torch.rand(shape, generator=draws) - 0.5) * 2 * H**-0.5 for shape in shapes] for _ in range(3)]
    x, wanted = (torch.randn(B, 16, H, generator=draws) for _ in range(2))
    moved = [[weight.to(device).requires_grad_() for weight in layer] for layer in weights]
    given = x.to(device).requires_grad_()
    states = [(torch.zeros(B, H, device=device),) * 2] * 3
    with torch.autocast(device.type, torch.bfloat16, enabled=dtype == torch.bfloat16):
        y, _ = cudnn.layers("lstm", given, states, [tuple(layer) for layer in moved])
    y.float().backward(wanted.to(device))
    grads = [given.grad, *(weight.grad for layer in moved for weight in layer)]
    return [y.detach().float().cpu(), *(grad.float().cpu() for grad in grads if grad is not None)]


def check_resume(make: Maker, device: str) -> Case:
    """A training that goes on from a capture, against the one that was captured."""
    case = Case(title=f"going on from a checkpoint on {device}: what differs in {STEPS} further steps")
    for dtype in ("float32", "bfloat16"):
        through = make(device, dtype, *EVERYTHING)
        losses(through, STEPS)
        capture = through.capture()
        expected = losses(through)
        again = make(device, dtype, *EVERYTHING)
        again.restore(capture)
        case.checks[f"{dtype}: losses, nats"] = (gap(losses(again), expected), 0.0)
        left, right = through.capture(), again.capture()
        theirs = right.weights | right.training
        differing = sum(not np.array_equal(a, theirs[name]) for name, a in (left.weights | left.training).items())
        case.checks[f"{dtype}: arrays that are not equal bit for bit"] = (differing, 0)
    return case


def check_left_out(make: Maker, device: str) -> Case:
    """A step that is not finite changes no weight and no moment, also in a graph."""
    case = Case(title=f"a step that is not finite on {device}: arrays that it changed")
    for optimizer in ("adamw", "adam", "rmsprop", "sgd"):
        learner = make(device, "bfloat16", {"dropout": 0.1}, {"optimizer": optimizer, "ema": 0.99})
        losses(learner, 10)
        before = learner.capture()
        learner.state[0].hidden.fill_(float("nan"))
        applied = learner.step(RATE).applied
        after = learner.capture()
        kept = {n: a for n, a in (before.weights | before.training).items() if not n.startswith("state.")}
        now = after.weights | after.training
        changed = sum(not np.array_equal(array, now[name]) for name, array in kept.items())
        case.checks[optimizer] = (changed + applied, 0)
    return case


def check_text(make: Maker, device: str) -> Case:
    """The engine on the device against the NumPy engine: logits, and what is drawn."""
    case = Case(title=f"text on {device} against the NumPy engine")
    for cell in ("lstm", "gru"):
        model = make("cpu", "float32", {"cell": cell}, {}).model
        arrays, V = model.to_arrays(), model.vocab_size
        arrays = {
            name: array + 0.05 * np.float32(np.sin(np.arange(array.size))).reshape(array.shape)
            for name, array in arrays.items()
        }
        config = dataclasses.replace(model.config)
        reference = NumpyModel(config, arrays, V)
        ids = np.random.default_rng(1).integers(0, V, size=64)
        engine = TorchModel(config, arrays, V, device=torch.device(device), rows=16)
        expected, _ = reference.prime(ids, 4)
        found, _ = engine.prime(ids, 4)
        case.checks[f"{cell}: logits after 64 symbols"] = (float(np.abs(found - expected).max()), 1e-3)
        on_cpu = TorchModel(config, arrays, V, device=torch.device("cpu"), rows=16)
        for sampling in SAMPLINGS:
            changed = int((_texts(engine, ids, sampling) != _texts(on_cpu, ids, sampling)).any(1).sum())
            # one draw that falls on the other side of a border changes all that follows it in its row
            case.checks[f"{cell}, {sampling}: rows whose text differs from the CPU's"] = (changed, 1)
    return case


def _texts(engine: TorchModel, prompt: np.ndarray[Any, Any], sampling: Mapping[str, float]) -> np.ndarray[Any, Any]:
    """Ids drawn behind a prompt, four texts of 100: (4, 100)."""
    texts = Drawing(
        ids=np.repeat(prompt[-1:], 4),
        state=select(engine.read(prompt[:-1]), [0] * 4),
        rules=rules_of(transforms_of(SamplingConfig(**sampling))),
        recent=np.zeros((4, RECENT), dtype=np.int64),
        written=np.zeros(4, dtype=np.int64),
    )
    return engine.draw(texts, np.random.default_rng(2).random((4, 100)))[0]


CHECKS = {
    "training": check_training,
    "gradients": check_gradients,
    "resume": check_resume,
    "left-out": check_left_out,
    "text": check_text,
}
