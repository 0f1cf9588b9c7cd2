"""The independent check of the whole: the same model written with torch's own layers trains to the same losses."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from charlm.config import ModelConfig
from charlm.models import LanguageModel, detach

V, E, H, L, B, T, STEPS = 17, 12, 20, 2, 4, 16, 40


class Reference(nn.Module):
    """What a user of torch would write."""

    def __init__(self, layer: type[nn.RNNBase]) -> None:
        super().__init__()
        self.embedding = nn.Embedding(V, E)
        self.recurrent = layer(E, H, L, batch_first=True)
        self.output = nn.Linear(H, V)

    def forward(self, ids: Tensor, state: Any) -> tuple[Tensor, Any]:
        y, state = self.recurrent(self.embedding(ids), state)
        return self.output(y), state


def copy_weights(model: LanguageModel, reference: Reference) -> None:
    pairs = {"embedding": "embedding.weight", "output_weight": "output.weight", "output_bias": "output.bias"}
    for index in range(L):
        for own, theirs in zip(
            ("input_weight", "recurrent_weight", "input_bias", "recurrent_bias"),
            ("weight_ih", "weight_hh", "bias_ih", "bias_hh"),
            strict=True,
        ):
            pairs[f"layers.{index}.{own}"] = f"recurrent.{theirs}_l{index}"
    own = dict(model.named_parameters())
    with torch.no_grad():
        for name, parameter in reference.named_parameters():
            (source,) = (ours for ours, theirs in pairs.items() if theirs == name)
            parameter.copy_(own.pop(source))
    assert not own, "a weight of charlm's model has no counterpart"


def some_text(length: int) -> Tensor:
    """Ids with something to learn: each is the one before plus one or two, by chance."""
    return torch.randint(1, 3, (length,), generator=torch.Generator().manual_seed(1)).cumsum(0) % V


def carried(state: Any) -> Any:
    if isinstance(state, tuple):
        return tuple(part.detach() for part in state)
    return state.detach()


@pytest.mark.parametrize(("cell", "layer"), [("lstm", nn.LSTM), ("gru", nn.GRU)])
def test_losses_equal_those_of_torch_layers_while_training(cell: str, layer: type[nn.RNNBase]) -> None:
    config = ModelConfig(cell=cell, layers=L, hidden_size=H, embedding_size=E, dropout=0.0)
    model, reference = LanguageModel(config, V, torch.Generator().manual_seed(1)), Reference(layer)
    copy_weights(model, reference)
    ours = torch.optim.Adam(model.parameters(), 1e-2)
    theirs = torch.optim.Adam(reference.parameters(), 1e-2)
    lanes = some_text(B * (T * STEPS + 1)).reshape(B, -1)
    state, state_reference, losses = model.initial_state(B), None, []
    for step in range(STEPS):
        ids, targets = lanes[:, step * T : (step + 1) * T], lanes[:, step * T + 1 : (step + 1) * T + 1]
        logits, state = model(ids, state, masks=torch.Generator())
        logits_reference, state_reference = reference(ids, state_reference)
        state, state_reference = detach(state), carried(state_reference)
        pair = []
        for optimizer, scores in ((ours, logits), (theirs, logits_reference)):
            loss = F.cross_entropy(scores.flatten(0, 1), targets.flatten())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            pair.append(loss.item())
        losses.append(pair)
    for own, expected in losses:
        assert own == pytest.approx(expected, abs=1e-4)
    assert losses[-1][0] < losses[0][0] - 0.5, "nothing was learnt, so nothing was compared"
