"""Fast paths of cells over a whole window, each proven equal to its readable cell by a test.

A kernel knows arrays, not models: ``(inputs (B, T, in), state, weights) -> (outputs (B, T, H), state)``,
where `state` is a tuple of tensors (B, H) and `weights` are (input_weight (GH, in), recurrent_weight (GH, H),
input_bias (GH,), recurrent_bias (GH,)). A cell that is not in this table is stepped through time as it reads.
"""

from charlm.kernels.torch_layers import Kernel, elman, elman_relu, gru, lstm

KERNELS: dict[str, Kernel] = {
    "elman": elman,
    "elman-relu": elman_relu,
    "gru": gru,
    "lstm": lstm,
}

__all__ = ["KERNELS", "Kernel"]
