"""Layers computed together give what they give one after the other, with the same masks."""

import itertools

import pytest
import torch

from charlm.config import ModelConfig
from charlm.kernels import cudnn
from charlm.models import CELLS, LanguageModel
from charlm.models.whole_stack import WholeStack, join_layers

V = 9
IDS = torch.arange(24).view(3, 8) * 5 % V
OPTIONS = [
    {"dropout": 0.0},
    {"dropout": 0.0, "dropout_recurrent": 0.3, "dropout_input": 0.2, "embedding_size": 4},
    {"dropout": 0.4, "dropout_recurrent": 0.3, "tie_weights": True, "locked_dropout": False},
    {"dropout": 0.4, "locked_dropout": True, "layers": 1},
]


def computed(model, seed):
    """Logits, state and gradients, with masks of the seed or none."""
    masks = None if seed is None else torch.Generator().manual_seed(seed)
    state = None
    for _ in range(2):
        logits, state = model(IDS, state, masks)
    total = logits.square().sum() + sum(part.sum() for part in itertools.chain(*state))
    return [logits, *itertools.chain(*state), *torch.autograd.grad(total, list(model.parameters()))]


@pytest.mark.parametrize("seed", [None, 4])
@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("cell", cudnn.CELLS)
def test_together_is_one_after_the_other(cell, options, seed):
    model = LanguageModel(ModelConfig(**{"cell": cell, "layers": 3, "hidden_size": 7, **options}), V)
    model = model.double()
    names = [name for name, _ in model.named_parameters()]
    expected = computed(model, seed)
    join_layers(model)
    assert isinstance(model.layers, WholeStack)
    assert [name for name, _ in model.named_parameters()] == names
    for own, its in zip(computed(model, seed), expected, strict=True):
        torch.testing.assert_close(own, its, rtol=1e-9, atol=1e-11)


def test_layers_without_dropout_between_them_are_one_call(monkeypatch):
    calls = []
    layers = cudnn.layers
    monkeypatch.setattr(cudnn, "layers", lambda *a: calls.append(len(a[3])) or layers(*a))
    model = LanguageModel(ModelConfig(layers=3, hidden_size=7, dropout=0.1), V)
    join_layers(model)
    model(IDS, None)
    model(IDS, None, torch.Generator())
    assert calls == [3, 1, 1, 1]


@pytest.mark.parametrize("options", [{"layer_norm": True}, {"residual": True}, {"cell": "gru-reset-before"}], ids=str)
def test_what_cudnn_does_not_know_stays_as_it_is(options):
    model = LanguageModel(ModelConfig(hidden_size=7, **options), V)
    assert set(cudnn.CELLS) < set(CELLS)
    join_layers(model)
    assert not isinstance(model.layers, WholeStack)
