"""The optimisers, by name. Each is torch's own, with its fused or multi-tensor kernel."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import torch

from charlm.config import TrainingConfig
from charlm.errors import RunError
from charlm.registry import lookup

Parameters = Iterable[torch.nn.Parameter]


def _adamw(parameters: Parameters, config: TrainingConfig, fused: bool) -> torch.optim.Optimizer:
    """Adam with decoupled weight decay (Loshchilov & Hutter, 2019, arXiv:1711.05101)."""
    return torch.optim.AdamW(parameters, lr=config.learning_rate, weight_decay=config.weight_decay, fused=fused)


def _adam(parameters: Parameters, config: TrainingConfig, fused: bool) -> torch.optim.Optimizer:
    """Adam (Kingma & Ba, 2015, arXiv:1412.6980)."""
    return torch.optim.Adam(parameters, lr=config.learning_rate, weight_decay=config.weight_decay, fused=fused)


def _rmsprop(parameters: Parameters, config: TrainingConfig, fused: bool) -> torch.optim.Optimizer:
    """RMSprop (Hinton, 2012) with the smoothing of char-rnn, 0.95. It has no fused kernel."""
    return torch.optim.RMSprop(
        parameters, lr=config.learning_rate, alpha=0.95, weight_decay=config.weight_decay, foreach=True
    )


def _sgd(parameters: Parameters, config: TrainingConfig, fused: bool) -> torch.optim.Optimizer:
    """Plain stochastic gradient descent, without momentum."""
    return torch.optim.SGD(parameters, lr=config.learning_rate, weight_decay=config.weight_decay, fused=fused)


OPTIMIZERS: dict[str, Callable[[Parameters, TrainingConfig, bool], torch.optim.Optimizer]] = {
    "adam": _adam,
    "adamw": _adamw,
    "rmsprop": _rmsprop,
    "sgd": _sgd,
}


def make_optimizer(parameters: Parameters, config: TrainingConfig, device: torch.device) -> torch.optim.Optimizer:
    """The optimiser that `config` names, for parameters on `device`."""
    fused = device.type in ("cpu", "cuda")
    return lookup(OPTIMIZERS, config.optimizer, "optimizer")(parameters, config, fused)


def optimizer_arrays(optimizer: torch.optim.Optimizer) -> dict[str, np.ndarray[Any, Any]]:
    """Moments and counters as arrays named ``<parameter index>.<what>``; empty before the first step."""
    state = optimizer.state_dict()["state"]
    return {
        f"{index}.{name}": np.array(value.detach().cpu().numpy())
        for index, values in state.items()
        for name, value in values.items()
        if value is not None
    }


def load_optimizer_arrays(optimizer: torch.optim.Optimizer, arrays: dict[str, np.ndarray[Any, Any]]) -> None:
    """Put back what `optimizer_arrays` gave.

    Raises:
        RunError: an array that is of no parameter of this optimiser.
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
        state.setdefault(int(index), {})[name] = torch.from_numpy(np.array(array))
    optimizer.load_state_dict({"state": state, "param_groups": content["param_groups"]})
