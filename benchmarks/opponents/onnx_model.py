"""The usual character RNN for ONNX Runtime: Gather, LSTM / GRU / RNN, Gemm, one step in time a call.

Built from the weights by hand, so that no exporter stands between. ONNX has its gates in another order: LSTM
input, output, forget, candidate; GRU update, reset, candidate.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

Array = npt.NDArray[np.float32]

OPERATORS = {"lstm": "LSTM", "gru": "GRU", "elman": "RNN"}
ORDER = {"lstm": (0, 3, 1, 2), "gru": (1, 0, 2), "elman": (0,)}
STATES = {"lstm": ("h", "c"), "gru": ("h",), "elman": ("h",)}
OPSET, IR_VERSION = 17, 8


class OnnxModel:
    """A session that takes ids (B,) and the state, and gives logits (B, V) and the state after."""

    def __init__(self, cell: str, arrays: Mapping[str, npt.NDArray[Any]], threads: int) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        model = build(cell, arrays)
        self.session = onnxruntime.InferenceSession(model.SerializeToString(), options, ["CPUExecutionProvider"])
        self.layers, self.H = _sizes(arrays)
        self.names = [f"{name}{i}" for i in range(self.layers) for name in STATES[cell]]

    def initial_state(self, n: int) -> list[Array]:
        """Zeros, each (1, n, H)."""
        return [np.zeros((1, n, self.H), dtype=np.float32) for _ in self.names]

    def step(self, ids: npt.NDArray[np.int64], state: list[Array]) -> tuple[Array, list[Array]]:
        """ids: (n,) -> logits (n, V), state"""
        feed = {"ids": ids[None], **dict(zip(self.names, state, strict=True))}
        logits, *after = self.session.run(None, feed)
        return logits, after


def _sizes(arrays: Mapping[str, npt.NDArray[Any]]) -> tuple[int, int]:
    layers = sum(name.endswith(".input_weight") for name in arrays)
    return layers, arrays["output_weight"].shape[1]


def build(cell: str, arrays: Mapping[str, npt.NDArray[Any]]) -> Any:
    """The graph: ids (1, B) int64 and states (1, B, H) in, logits (B, V) and states out."""
    layers, H = _sizes(arrays)
    constants = {"embedding": arrays["embedding"], "W": arrays["output_weight"], "b": arrays["output_bias"]}
    nodes = [helper.make_node("Gather", ["embedding", "ids"], ["x0"])]
    inputs = [helper.make_tensor_value_info("ids", TensorProto.INT64, (1, "B"))]
    outputs = [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ("B", arrays["output_weight"].shape[0]))]
    for i in range(layers):
        constants |= _layer_constants(cell, arrays, i)
        before = [f"{name}{i}" for name in STATES[cell]]
        after = [f"{name}{i}_after" for name in STATES[cell]]
        # X, W, R, B, sequence lengths (none), then the states
        names = [f"x{i}", f"W{i}", f"R{i}", f"B{i}", "", *before]
        extra = {"linear_before_reset": 1} if cell == "gru" else {}
        nodes.append(helper.make_node(OPERATORS[cell], names, [f"y{i}", *after], hidden_size=H, **extra))
        # (1, directions, B, H) -> (1, B, H)
        nodes.append(helper.make_node("Squeeze", [f"y{i}", "directions"], [f"x{i + 1}"]))
        inputs += [helper.make_tensor_value_info(name, TensorProto.FLOAT, (1, "B", H)) for name in before]
        outputs += [helper.make_tensor_value_info(name, TensorProto.FLOAT, (1, "B", H)) for name in after]
    nodes.append(helper.make_node("Squeeze", [f"x{layers}", "time"], ["h"]))
    nodes.append(helper.make_node("Gemm", ["h", "W", "b"], ["logits"], transB=1))
    constants |= {"directions": np.array([1], dtype=np.int64), "time": np.array([0], dtype=np.int64)}
    held = [numpy_helper.from_array(np.ascontiguousarray(array), name) for name, array in constants.items()]
    graph = helper.make_graph(nodes, "char-rnn", inputs, outputs, held)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
    onnx.checker.check_model(model)
    return model


def _layer_constants(cell: str, arrays: Mapping[str, npt.NDArray[Any]], index: int) -> dict[str, npt.NDArray[Any]]:
    """W (1, GH, in), R (1, GH, H) and B (1, 2GH) of a layer, gates in ONNX's order."""

    def ordered(name: str) -> npt.NDArray[Any]:
        blocks = np.split(arrays[f"layers.{index}.{name}"], len(ORDER[cell]))
        return np.concatenate([blocks[gate] for gate in ORDER[cell]])

    biases = np.concatenate([ordered("input_bias"), ordered("recurrent_bias")])
    return {
        f"W{index}": ordered("input_weight")[None],
        f"R{index}": ordered("recurrent_weight")[None],
        f"B{index}": biases[None],
    }
