"""The optimisers, by name. Each is torch's own, with its fused or multi-tensor kernel, but Muon; the table of n-grams,
of which a step reads few rows, has `RowAdagrad` whatever the others have.

For a step that the host does not wait for, `make_optimizers` takes the learning rate as a tensor on the device, and
`step_unless` a flag there that says whether to leave the step out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from charlm.config import TrainingConfig
from charlm.config.shapes import NGRAM_TABLE
from charlm.errors import RunError
from charlm.registry import lookup
from charlm.training import eager
from charlm.training.muon import Muon
from charlm.training.row_adagrad import RowAdagrad

Parameters = Mapping[str, torch.nn.Parameter]  # by name
Rate = float | torch.Tensor
# Matrices of which each row is of one symbol: Jordan leaves them to Adam.
NO_MUON = frozenset(("embedding", "output_weight", "ngram_output_weight"))
# The highest rate of the table of n-grams, which falls as that of all else does, and how many times the weight decay of
# all else it has: most of its rows occur seldom. docs/recipes.md has what that was found on.
NGRAM_RATE, NGRAM_DECAY = 0.5, 5.0

Maker = Callable[[Parameters, TrainingConfig, Rate, bool], torch.optim.Optimizer]


def _adamw(parameters: Parameters, config: TrainingConfig, rate: Rate, fused: bool) -> torch.optim.Optimizer:
    """Adam with decoupled weight decay (Loshchilov & Hutter, 2019, arXiv:1711.05101)."""
    return eager.AdamW(parameters.values(), lr=rate, weight_decay=config.decay, fused=fused, capturable=_on_cuda(rate))


def _adam(parameters: Parameters, config: TrainingConfig, rate: Rate, fused: bool) -> torch.optim.Optimizer:
    """Adam (Kingma & Ba, 2015, arXiv:1412.6980)."""
    return eager.Adam(parameters.values(), lr=rate, weight_decay=config.decay, fused=fused, capturable=_on_cuda(rate))


def _rmsprop(parameters: Parameters, config: TrainingConfig, rate: Rate, fused: bool) -> torch.optim.Optimizer:
    """RMSprop (Hinton, 2012) with the smoothing of char-rnn, 0.95. It has no fused kernel."""
    capturable = _on_cuda(rate)
    return eager.RMSprop(
        parameters.values(),
        lr=rate,
        alpha=0.95,
        weight_decay=config.decay,
        # torch has no multi-tensor step with a rate in a tensor that is not capturable
        foreach=capturable or isinstance(rate, float),
        capturable=capturable,
    )


def _sgd(parameters: Parameters, config: TrainingConfig, rate: Rate, fused: bool) -> torch.optim.Optimizer:
    """Plain stochastic gradient descent, without momentum."""
    return eager.SGD(parameters.values(), lr=rate, weight_decay=config.decay, fused=fused)


def _muon(parameters: Parameters, config: TrainingConfig, rate: Rate, fused: bool) -> torch.optim.Optimizer:
    """Muon (Jordan et al., 2024) for the matrices between hidden vectors, AdamW for all else."""
    matrices = {name for name, parameter in parameters.items() if parameter.ndim == 2 and name not in NO_MUON}
    return Muon(
        [parameters[name] for name in parameters if name in matrices],
        [parameters[name] for name in parameters if name not in matrices],
        lr=rate,
        weight_decay=config.decay,
        fused=fused,
        capturable=_on_cuda(rate),
    )


def _on_cuda(rate: Rate) -> bool:
    """Whether the step must be fit to be recorded in a CUDA graph."""
    return isinstance(rate, torch.Tensor) and rate.device.type == "cuda"


OPTIMIZERS: dict[str, Maker] = {
    "adam": _adam,
    "adamw": _adamw,
    "muon": _muon,
    "rmsprop": _rmsprop,
    "sgd": _sgd,
}


def make_optimizers(
    parameters: Parameters, config: TrainingConfig, device: torch.device, rate: torch.Tensor | None = None
) -> list[torch.optim.Optimizer]:
    """The optimiser that `config` names, for a model's parameters, on `device`; beside it that of the n-grams, if any.

    Args:
        rate: () float32 on `device`, read at each step; None for a number, set by the caller in each group.
    """
    fused, lr = device.type in ("cpu", "cuda"), config.learning_rate if rate is None else rate
    make = lookup(OPTIMIZERS, config.optimizer, "optimizer")
    found = [make({name: value for name, value in parameters.items() if name != NGRAM_TABLE}, config, lr, fused)]
    if NGRAM_TABLE in parameters:
        times, decay = NGRAM_RATE / config.learning_rate, NGRAM_DECAY * config.decay
        found.append(RowAdagrad(parameters[NGRAM_TABLE], lr=lr, times=times, decay=decay))
    return found


def step_unless(optimizer: torch.optim.Optimizer, skip: torch.Tensor) -> None:
    """One step of `optimizer`, left out where `skip`, () float32 on the device, is 1. The host does not learn which."""
    if getattr(optimizer, "_step_supports_amp_scaling", False):
        # what torch's gradient scaler sets: a fused kernel then changes nothing, the count of steps neither
        optimizer.found_inf = skip  # type: ignore[attr-defined]
        optimizer.step()
        return
    left_out = skip > 0
    parameters = _parameters(optimizer)
    before = [(parameter, parameter.detach().clone()) for parameter in parameters]
    moments = {parameter: {k: v.clone() for k, v in optimizer.state[parameter].items()} for parameter in parameters}
    optimizer.step()
    for parameter in parameters:
        for name, value in optimizer.state[parameter].items():
            before.append((value, moments[parameter].get(name, torch.zeros_like(value))))
    with torch.no_grad():
        for now, then in before:
            now.copy_(torch.where(left_out.to(now.device), then, now))


def optimizer_arrays(optimizers: Sequence[torch.optim.Optimizer]) -> dict[str, np.ndarray[Any, Any]]:
    """Moments and counters as arrays named ``<parameter index>.<what>``, the parameters of one optimiser after those of
    the one before; empty before the first step."""
    return {
        f"{first + index}.{name}": np.array(value.detach().cpu().numpy())
        for optimizer, first in _firsts(optimizers)
        for index, values in optimizer.state_dict()["state"].items()
        for name, value in values.items()
        if value is not None
    }


def _firsts(optimizers: Sequence[torch.optim.Optimizer]) -> Iterator[tuple[torch.optim.Optimizer, int]]:
    """Each with how many parameters the ones before it have."""
    first = 0
    for optimizer in optimizers:
        yield optimizer, first
        first += len(_parameters(optimizer))


def _parameters(optimizer: torch.optim.Optimizer) -> list[torch.Tensor]:
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]


# What optimisers keep of a parameter once they have made a step.
_KEPT: dict[type[torch.optim.Optimizer], set[str]] = {
    torch.optim.Adam: {"step", "exp_avg", "exp_avg_sq"},
    torch.optim.AdamW: {"step", "exp_avg", "exp_avg_sq"},
    torch.optim.RMSprop: {"step", "square_avg"},
    torch.optim.SGD: set(),
    RowAdagrad: {"count", "sum", "usual"},
}
# Of these, what is a single number.
_SCALARS = {"step", "count", "usual"}


def _kept(optimizer: torch.optim.Optimizer) -> list[set[str]]:
    """What this one keeps of each of its parameters."""
    names = next(kept for kind, kept in _KEPT.items() if isinstance(optimizer, kind))
    groups = [names] * len(optimizer.param_groups)
    if isinstance(optimizer, Muon):
        groups[0] = {"momentum"}
    return [kept for kept, group in zip(groups, optimizer.param_groups, strict=True) for _ in group["params"]]


def load_optimizer_arrays(
    optimizers: Sequence[torch.optim.Optimizer], arrays: Mapping[str, np.ndarray[Any, Any]]
) -> None:
    """Put back what `optimizer_arrays` gave.

    Raises:
        RunError: an array that is of no parameter of these optimisers, or that they do not keep of one; one that is
            missing, misshapen, not of floats or not finite.
    """
    parameters = [parameter for optimizer in optimizers for parameter in _parameters(optimizer)]
    state: dict[int, dict[str, torch.Tensor]] = {}
    for key, array in arrays.items():
        index, _, name = key.partition(".")
        if not index.isdigit() or int(index) >= len(parameters):
            raise RunError(f"checkpoint: optimiser state {key!r} belongs to no parameter of this model")
        shape = tuple(parameters[int(index)].shape)
        expected = () if name in _SCALARS else (shape[0], 1) if name == "sum" else shape
        if array.shape != expected:
            raise RunError(f"checkpoint: optimiser state {key!r} has shape {array.shape}, not its parameter's")
        if array.dtype.kind != "f" or not np.isfinite(array).all():
            raise RunError(f"checkpoint: optimiser state {key!r} holds what is no finite number")
        state.setdefault(int(index), {})[name] = torch.from_numpy(np.array(array))
    for optimizer, first in _firsts(optimizers):
        for number, kept in enumerate(_kept(optimizer) if state else [], first):
            if set(state.get(number, ())) != kept:
                names = ", ".join(sorted(kept)) or "nothing"
                raise RunError(f"checkpoint: optimiser state of parameter {number} must be {names}")
        own = {number: state[first + number] for number in range(len(_kept(optimizer))) if first + number in state}
        optimizer.load_state_dict({"state": own, "param_groups": optimizer.state_dict()["param_groups"]})
