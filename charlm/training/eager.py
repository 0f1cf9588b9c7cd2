"""torch's optimisers as they are for code that is never handed to torch's compiler.

Some methods of torch's optimisers stand in wrappers for that compiler, which import it at the first call: hundreds of
modules, more than a second, some 100 MB. Every wrapper names what it wraps, as `functools.wraps` has it; here that is
called, and gradients are switched off around a step, the one thing that a wrapper does beside.
"""

from __future__ import annotations

import inspect
from typing import Any

import torch


class _Eager:
    """What a class of torch's optimisers is mixed with."""

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """As torch's."""
        inspect.unwrap(super().add_param_group)(self, param_group)  # type: ignore[misc]

    def zero_grad(self, set_to_none: bool = True) -> None:
        """As torch's."""
        inspect.unwrap(super().zero_grad)(self, set_to_none)  # type: ignore[misc]

    def state_dict(self) -> dict[str, Any]:
        """As torch's."""
        found: dict[str, Any] = inspect.unwrap(super().state_dict)(self)  # type: ignore[misc]
        return found

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """As torch's."""
        inspect.unwrap(super().load_state_dict)(self, state_dict)  # type: ignore[misc]

    @torch.no_grad()
    def step(self) -> None:
        """As torch's, without a closure."""
        inspect.unwrap(super().step)(self)  # type: ignore[misc]


class Optimizer(_Eager, torch.optim.Optimizer):  # type: ignore[misc]
    """`torch.optim.Optimizer`, to make others of."""


class SGD(_Eager, torch.optim.SGD):  # type: ignore[misc]
    """`torch.optim.SGD`."""


class Adam(_Eager, torch.optim.Adam):  # type: ignore[misc]
    """`torch.optim.Adam`."""


class AdamW(_Eager, torch.optim.AdamW):  # type: ignore[misc]
    """`torch.optim.AdamW`."""


class RMSprop(_Eager, torch.optim.RMSprop):  # type: ignore[misc]
    """`torch.optim.RMSprop`."""
