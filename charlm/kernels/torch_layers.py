"""Cells through the functions under torch's own layers: oneDNN or native loops on a CPU, cuDNN on CUDA.

`torch._VF` takes the weights as they are, a masked recurrent weight among them; `torch.nn.LSTM` would
not. Under autocast everything is cast here, by hand, to the format it asks for: torch's own choice leaves
oneDNN unused where input or state is float32, and mixes formats in the other cells.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from charlm.kernels.inputs import Inputs, gathered

Tensors = tuple[Tensor, ...]


def lstm(inputs: Inputs, state: Tensors, weights: Tensors) -> tuple[Tensor, Tensors]:
    """LSTM over a window; state: hidden, memory."""
    return _run(torch._VF.lstm, inputs, state, weights)


def gru(inputs: Inputs, state: Tensors, weights: Tensors) -> tuple[Tensor, Tensors]:
    """GRU over a window, reset gate after the product; state: hidden."""
    return _run(torch._VF.gru, inputs, state, weights)


def elman(inputs: Inputs, state: Tensors, weights: Tensors) -> tuple[Tensor, Tensors]:
    """Elman network with tanh over a window; state: hidden."""
    return _run(torch._VF.rnn_tanh, inputs, state, weights)


def elman_relu(inputs: Inputs, state: Tensors, weights: Tensors) -> tuple[Tensor, Tensors]:
    """Elman network with rectified linear units over a window; state: hidden."""
    return _run(torch._VF.rnn_relu, inputs, state, weights)


def _run(layer: Callable[..., Any], inputs: Inputs, state: Tensors, weights: Tensors) -> tuple[Tensor, Tensors]:
    """Call one of torch's layers. The state comes back in the format it came in."""
    inputs = gathered(inputs)
    device = inputs.device.type
    dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else weights[0].dtype
    carried = [tensor.to(dtype).unsqueeze(0) for tensor in state]
    with torch.autocast(device, enabled=False):
        outputs, *after = layer(
            inputs.to(dtype),
            carried if len(carried) > 1 else carried[0],
            [weight.to(dtype) for weight in weights],
            True,  # has_biases
            1,  # num_layers
            0.0,  # dropout
            torch.is_grad_enabled(),  # train: cuDNN then keeps what its backward pass needs
            False,  # bidirectional
            True,  # batch_first
        )
    return outputs, tuple(new[0].to(old.dtype) for new, old in zip(after, state, strict=True))
