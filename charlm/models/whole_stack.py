"""A stack for GPUs: layers with nothing between them are one call of cuDNN."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from charlm.kernels import Inputs, cudnn, gathered
from charlm.models.cells import Weights
from charlm.models.dropout import drop, drop_connections
from charlm.models.language_model import LanguageModel
from charlm.models.stack import Layer, Stack
from charlm.models.state import State


class WholeStack(Stack):
    """The layers of another stack, with its parameters and their names; it computes the same."""

    def __init__(self, layers: Iterable[Layer], cell: str) -> None:
        nn.ModuleList.__init__(self, layers)
        self.cell = cell

    def forward(self, x: Inputs, state: State, masks: torch.Generator | None) -> tuple[Tensor, State]:
        """As in `Stack`; masks are drawn in the same order."""
        y = gathered(x)
        after: list[Any] = []
        for group in self._groups(masks):
            y = drop(y, group[0].dropout, masks, locked=group[0].locked)
            states = state[len(after) : len(after) + len(group)]
            y, new = cudnn.layers(self.cell, y, states, [_masked(layer, masks) for layer in group])
            after += [type(old)(*parts) for old, parts in zip(states, new, strict=True)]
        return y, tuple(after)

    def _groups(self, masks: torch.Generator | None) -> list[list[Layer]]:
        """Runs of layers that have no dropout between them."""
        groups: list[list[Layer]] = []
        for layer in self:
            if groups and (masks is None or layer.dropout == 0):
                groups[-1].append(layer)
            else:
                groups.append([layer])
        return groups


def join_layers(model: LanguageModel) -> None:
    """Let cuDNN compute the layers of a model together, where there is nothing in between that it does not know."""
    config = model.config
    if config.cell in cudnn.CELLS and not config.layer_norm and not config.residual:
        model.layers = WholeStack(model.layers, config.cell)


def _masked(layer: Layer, masks: torch.Generator | None) -> Weights:
    recurrent = drop_connections(layer.recurrent_weight, layer.dropout_recurrent, masks)
    return layer.weights._replace(recurrent_weight=recurrent)
