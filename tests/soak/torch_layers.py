"""The language model written with torch's own layers, in float64: what charlm's figures are held against.

Nothing of `charlm.models` is used but the names of its weights.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from charlm.config import ModelConfig

Arrays = Mapping[str, npt.NDArray[Any]]

LAYERS: dict[str, tuple[type[nn.RNNBase], dict[str, str]]] = {
    "elman": (nn.RNN, {"nonlinearity": "tanh"}),
    "elman-relu": (nn.RNN, {"nonlinearity": "relu"}),
    "gru": (nn.GRU, {}),
    "lstm": (nn.LSTM, {}),
}
"""The cells that torch has a layer for."""
NAMES = {"input_weight": "weight_ih", "recurrent_weight": "weight_hh", "input_bias": "bias_ih"}
NAMES["recurrent_bias"] = "bias_hh"


class TorchLayers(nn.Module):
    """The model of a configuration without attention, for `cell` one of `LAYERS`."""

    def __init__(self, config: ModelConfig, arrays: Arrays) -> None:
        super().__init__()
        tensors = {name: torch.from_numpy(np.asarray(array)).double() for name, array in arrays.items()}
        kind, options = LAYERS[config.cell]
        H, E = config.hidden_size, config.embedding
        self.residual, self.ngram_order = config.residual, config.ngram_order
        self.embedding = nn.Embedding.from_pretrained(tensors["embedding"])
        self.ngrams = self.ngram_output = None
        if "ngram_embedding" in tensors:
            self.ngrams = nn.EmbeddingBag.from_pretrained(tensors["ngram_embedding"], mode="sum")
            self.ngram_output = nn.Linear(config.ngram_embedding_size, len(tensors["output_bias"]), bias=False).double()
            self.ngram_output.load_state_dict({"weight": tensors["ngram_output_weight"]})
        self.norms, self.layers = nn.ModuleList(), nn.ModuleList()
        for index in range(config.layers):
            inputs = E + config.ngram_embedding_size if index == 0 else H
            layer = kind(inputs, H, batch_first=True, **options).double()
            layer.load_state_dict({f"{their}_l0": tensors[f"layers.{index}.{our}"] for our, their in NAMES.items()})
            norm: nn.Module = nn.Identity()
            if config.layer_norm:
                norm = nn.LayerNorm(inputs).double()
                norm.load_state_dict({part: tensors[f"layers.{index}.norm_{part}"] for part in ("weight", "bias")})
            self.norms.append(norm)
            self.layers.append(layer)
        self.projection: nn.Module = nn.Identity()
        if "projection" in tensors:
            self.projection = nn.Linear(H, E, bias=False).double()
            self.projection.load_state_dict({"weight": tensors["projection"]})
        weight = tensors["embedding" if config.tie_weights else "output_weight"]
        self.output = nn.Linear(weight.shape[1], len(weight)).double()
        self.output.load_state_dict({"weight": weight, "bias": tensors["output_bias"]})

    def forward(self, ids: Tensor) -> Tensor:
        """Logits (T, V) of the id that follows each of `ids` (T,), read from no memory to the end."""
        x, beside = self.embedding(ids[None]), None
        if self.ngrams is not None:
            beside = self.ngrams(self._rows(ids.tolist()))[None]
            x = torch.cat([x, beside], dim=2)
        for norm, layer in zip(self.norms, self.layers, strict=True):
            y, _ = layer(norm(x))
            x = x + y if self.residual and x.shape == y.shape else y
        logits: Tensor = self.output(self.projection(x))
        if self.ngram_output is not None:
            logits = logits + self.ngram_output(beside)
        return logits[0]

    def _rows(self, ids: list[int]) -> Tensor:
        """Of the n-grams of 2, 3, ... symbols that end at each id, the rows: (T, N - 1). By docs/models.md, in whole
        numbers without end."""
        assert self.ngrams is not None
        padded = [0] * (self.ngram_order - 1) + [id + 1 for id in ids]
        found = []
        for end in range(self.ngram_order - 1, len(padded)):
            key, rows = padded[end] * 0x9E3779B97F4A7C15, []
            for back in range(1, self.ngram_order):
                key = (key + padded[end - back]) * 0x9E3779B97F4A7C15
                rows.append(key % 2**64 // 2**33 % self.ngrams.num_embeddings)
            found.append(rows)
        return torch.tensor(found)


@torch.no_grad()
def nats_of(config: ModelConfig, arrays: Arrays, ids: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """(N - 1,) losses of all ids (N,) but the first, in nats."""
    text = torch.from_numpy(ids.astype(np.int64))
    model = TorchLayers(config, arrays)
    found: npt.NDArray[np.float64] = nn.functional.cross_entropy(model(text[:-1]), text[1:], reduction="none").numpy()
    return found
