"""A model's loss over a window in one go, where a kernel computes all of it together."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from charlm.config import ModelConfig
from charlm.kernels import KERNELS, Coins, Inputs, Lookup, OutputLayer, find_window_loss
from charlm.models.dropout import drop_connections, unit_coins
from charlm.models.state import State

if TYPE_CHECKING:
    from charlm.models.language_model import LanguageModel


def joined_loss(
    model: LanguageModel,
    inputs: Lookup,
    targets: Tensor,
    state: State,
    masks: torch.Generator | None,
    symbols: int | None = None,
) -> tuple[Tensor, State] | None:
    """What `LanguageModel.loss` gives, with the same masks; None where that has to be computed layer by layer.

    Args:
        inputs: the embedded symbols.
        targets: (B, T) int64
        symbols: how many of the first ones the output layer has; None for all.
    """
    config = model.config
    found = find_window_loss(model.embedding) if goes_in_one(config) else None
    if found is None or any(part.requires_grad for layer in state for part in layer):
        return None
    B, T = targets.shape
    shape = 1 if config.locked_dropout else T, B, config.hidden_size
    x: Inputs = inputs
    layers, between = [], list[Coins | None]()
    # masks are drawn in the order in which the layers would draw them
    for index, layer in enumerate(model.layers):
        if index == 0:
            x = layer.inner(inputs, masks)
        else:
            between.append(unit_coins(shape, layer.dropout, masks))
        recurrent = drop_connections(layer.recurrent_weight, layer.dropout_recurrent, masks)
        layers.append(layer.weights._replace(recurrent_weight=recurrent))
    between.append(unit_coins(shape, config.output, masks))
    weight, bias, *of_ngrams = model.head_of(symbols)
    head = OutputLayer(weight, bias, inputs.beside, *of_ngrams)
    before, others = state[: len(layers)], state[len(layers) :]
    loss, after = found(config.cell, x, targets, before, layers, between, head, model.scratch)
    return loss, (*(type(old)(*new) for old, new in zip(before, after, strict=True)), *others)


def goes_in_one(config: ModelConfig) -> bool:
    """Whether a kernel can compute all of a window together.

    Layers of a cell that there are loops of stand one on the other, and the output layer on them, with nothing but
    masks between them.
    """
    extras = config.layer_norm or config.residual or config.attention_window
    penalties = config.activation_penalty or config.change_penalty
    projected = config.tie_weights and config.embedding != config.hidden_size
    return config.cell in KERNELS["compiled"] and not (extras or penalties or projected)
