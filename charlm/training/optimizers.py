"""The optimisers, by name. Each is torch's own, with its fused or multi-tensor kernel, but Muon.

For a step that the host does not wait for, `make_optimizer` takes the learning rate as a tensor on the device, and
`step_unless` a flag there that says whether to leave the step out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch

from charlm.config import TrainingConfig
from charlm.errors import RunError
from charlm.registry import lookup
from charlm.training import eager
from charlm.training.muon import Muon

Parameters = Mapping[str, torch.nn.Parameter]  # by name
Rate = float | torch.Tensor
# Matrices of which each row is of one symbol, or of n-grams: Jordan leaves them to Adam.
NO_MUON = frozenset(("embedding", "ngram_embedding", "output_weight"))

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


def make_optimizer(
    parameters: Parameters, config: TrainingConfig, device: torch.device, rate: torch.Tensor | None = None
) -> torch.optim.Optimizer:
    """The optimiser that `config` names, for a model's parameters, on `device`.

    Args:
        rate: () float32 on `device`, read at each step; None for a number, set by the caller in each group.
    """
    fused = device.type in ("cpu", "cuda")
    make = lookup(OPTIMIZERS, config.optimizer, "optimizer")
    return make(parameters, config, config.learning_rate if rate is None else rate, fused)


def step_unless(optimizer: torch.optim.Optimizer, skip: torch.Tensor) -> None:
    """One step of `optimizer`, left out where `skip`, () float32 on the device, is 1. The host does not learn which."""
    if getattr(optimizer, "_step_supports_amp_scaling", False):
        # what torch's gradient scaler sets: a fused kernel then changes nothing, the count of steps neither
        optimizer.found_inf = skip  # type: ignore[attr-defined]
        optimizer.step()
        return
    left_out = skip > 0
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    before = [(parameter, parameter.detach().clone()) for parameter in parameters]
    moments = {parameter: {k: v.clone() for k, v in optimizer.state[parameter].items()} for parameter in parameters}
    optimizer.step()
    for parameter in parameters:
        for name, value in optimizer.state[parameter].items():
            before.append((value, moments[parameter].get(name, torch.zeros_like(value))))
    with torch.no_grad():
        for now, then in before:
            now.copy_(torch.where(left_out.to(now.device), then, now))


def optimizer_arrays(optimizer: torch.optim.Optimizer) -> dict[str, np.ndarray[Any, Any]]:
    """Moments and counters as arrays named ``<parameter index>.<what>``; empty before the first step."""
    state = optimizer.state_dict()["state"]
    return {
        f"{index}.{name}": np.array(value.detach().cpu().numpy())
        for index, values in state.items()
        for name, value in values.items()
        if value is not None
    }


# What torch's optimisers keep of a parameter once they have made a step.
_KEPT: dict[type[torch.optim.Optimizer], set[str]] = {
    torch.optim.Adam: {"step", "exp_avg", "exp_avg_sq"},
    torch.optim.AdamW: {"step", "exp_avg", "exp_avg_sq"},
    torch.optim.RMSprop: {"step", "square_avg"},
    torch.optim.SGD: set(),
}


def _kept(optimizer: torch.optim.Optimizer) -> list[set[str]]:
    """What this one keeps of each of its parameters."""
    names = next(kept for kind, kept in _KEPT.items() if isinstance(optimizer, kind))
    groups = [names] * len(optimizer.param_groups)
    if isinstance(optimizer, Muon):
        groups[0] = {"momentum"}
    return [kept for kept, group in zip(groups, optimizer.param_groups, strict=True) for _ in group["params"]]


def load_optimizer_arrays(optimizer: torch.optim.Optimizer, arrays: dict[str, np.ndarray[Any, Any]]) -> None:
    """Put back what `optimizer_arrays` gave.

    Raises:
        RunError: an array that is of no parameter of this optimiser, or that it does not keep of one; one that is
            missing, misshapen, not of floats or not finite.
    """
    content = optimizer.state_dict()
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    state: dict[int, dict[str, torch.Tensor]] = {}
    for key, array in arrays.items():
        index, _, name = key.partition(".")
        if not index.isdigit() or int(index) >= len(parameters):
            raise RunError(f"checkpoint: optimiser state {key!r} belongs to no parameter of this model")
        if array.ndim and array.shape != tuple(parameters[int(index)].shape):
            raise RunError(f"checkpoint: optimiser state {key!r} has shape {array.shape}, not its parameter's")
        if array.dtype.kind != "f" or not np.isfinite(array).all():
            raise RunError(f"checkpoint: optimiser state {key!r} holds what is no finite number")
        state.setdefault(int(index), {})[name] = torch.from_numpy(np.array(array))
    for number, kept in enumerate(_kept(optimizer) if state else []):
        if set(state.get(number, ())) != kept:
            names = ", ".join(sorted(kept)) or "nothing"
            raise RunError(f"checkpoint: optimiser state of parameter {number} must be {names}")
    optimizer.load_state_dict({"state": state, "param_groups": content["param_groups"]})
