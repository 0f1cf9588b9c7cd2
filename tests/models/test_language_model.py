"""The whole model: what it is made of, what goes through it, and that windows join without a seam."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from charlm.config import ModelConfig
from charlm.config.shapes import count_parameters, parameter_shapes
from charlm.errors import RunError, UnknownNameError
from charlm.models import CELLS, LanguageModel, detach
from charlm.models.dropout import drop, drop_connections, drop_symbols
from charlm.models.stack import step_through

V = 13
OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "narrow embedding": {"embedding_size": 5},
    "tied": {"tie_weights": True},
    "tied, projected": {"tie_weights": True, "embedding_size": 5},
    "normalised": {"layer_norm": True, "embedding_size": 5},
    "residual": {"residual": True, "layers": 3},
    "attention": {"attention_window": 3},
    "n-grams": {"ngram_embedding_size": 4, "ngram_order": 3, "ngram_rows": 20},
    "n-grams, normalised": {"ngram_embedding_size": 4, "ngram_rows": 20, "layer_norm": True, "tie_weights": True},
    "everything": {"tie_weights": True, "embedding_size": 5, "layer_norm": True, "residual": True, "layers": 3}
    | {"attention_window": 2, "ngram_embedding_size": 6, "ngram_rows": 20},
}


def seeded(seed: int = 1) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def make_config(**settings: Any) -> ModelConfig:
    return ModelConfig(**{"hidden_size": 11, "layers": 2, "dropout": 0.0, **settings})


def random_ids(B: int, T: int, seed: int = 3) -> Tensor:
    return torch.randint(V, (B, T), generator=seeded(seed))


def written_out(model: LanguageModel, ids: Tensor, masks: torch.Generator | None) -> Tensor:
    """The model as docs/models.md has it, over readable cells: (B, T) -> (B, T, V)."""
    config, locked = model.config, model.config.locked_dropout
    x, start = drop_symbols(model.embedding, config.dropout_embedding, masks)[ids], model.output_bias
    if config.ngram_embedding_size:
        ngrams = ngrams_of(model, ids)
        x, start = torch.cat([x, ngrams], -1), start + ngrams @ model.ngram_output_weight.T
    for index, layer in enumerate(model.layers):
        inner = x
        if config.layer_norm:
            centred = inner - inner.mean(-1, keepdim=True)
            variance = centred.square().mean(-1, keepdim=True)
            inner = centred / (variance + 1e-5).sqrt() * layer.norm_weight + layer.norm_bias
        inner = drop(inner, config.dropout_input if index == 0 else config.between, masks, locked=locked)
        masked = drop_connections(layer.recurrent_weight, config.dropout_recurrent, masks)
        cell = CELLS[config.cell](layer.weights._replace(recurrent_weight=masked))
        y, _ = step_through(cell, inner, cell.initial_state(ids.shape[0]))
        x = x + y if config.residual and x.shape == y.shape else y
    if config.attention_window:
        x = attended(model, x)
    x = drop(x, config.output, masks, locked=locked)
    if not config.tie_weights:
        return x @ model.output_weight.T + start
    if config.embedding != config.hidden_size:
        x = x @ model.projection.T
    return x @ model.embedding.T + start


def ngrams_of(model: LanguageModel, ids: Tensor) -> Tensor:
    """Vectors of n-grams as docs/models.md has them, symbol by symbol, in whole numbers without end. ids: (B, T)"""
    N, R = model.config.ngram_order, model.config.ngram_rows
    found = torch.zeros(*ids.shape, model.config.ngram_embedding_size, dtype=model.ngram_embedding.dtype)
    for b, text in enumerate(ids.tolist()):
        for t in range(len(text)):
            last = [0 if t - n < 0 else text[t - n] + 1 for n in range(N)]
            key = last[0] * 0x9E3779B97F4A7C15
            for n in range(2, N + 1):
                key = (key + last[n - 1]) * 0x9E3779B97F4A7C15
                found[b, t] += model.ngram_embedding[key % 2**64 // 2**33 % R]
    return found


def attended(model: LanguageModel, y: Tensor) -> Tensor:
    """Attention as docs/models.md has it, step by step. y: (B, T, H)"""
    A = model.config.attention_window
    n = F.layer_norm(y, y.shape[-1:], model.attention_norm_weight, model.attention_norm_bias)
    rows = []
    for t in range(y.shape[1]):
        seen = n[:, max(0, t - A) : t + 1]  # (B, at most A + 1, H)
        scores = (seen * (n[:, t] @ model.attention_query.T)[:, None]).sum(-1) / y.shape[-1] ** 0.5
        context = (scores.softmax(-1)[..., None] * seen).sum(1)
        rows.append(y[:, t] + context @ model.attention_output.T)
    return torch.stack(rows, 1)


@pytest.mark.parametrize("dropout", [None, "locked", "plain"])
@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("options", OPTIONS)
def test_the_model_is_what_it_says(options: str, cell: str, dropout: str | None) -> None:
    masked = dropout is not None
    rates: dict[str, Any] = {
        f"dropout_{kind}": 0.3 for kind in ("input", "between", "output", "recurrent", "embedding")
    }
    rates["locked_dropout"] = dropout == "locked"
    config = make_config(cell=cell, **(rates if masked else {}), **OPTIONS[options])
    model = LanguageModel(config, V, seeded()).double()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if (
                "bias" in name or "norm" in name or "attention" in name
            ):  # else zeros and ones hide what is done with them
                parameter.add_(torch.randn(parameter.shape, generator=seeded(8)) * 0.3)
    ids = random_ids(4, 6)
    logits, _ = model(ids, None, seeded(5) if masked else None)
    torch.testing.assert_close(logits, written_out(model, ids, seeded(5) if masked else None), rtol=0, atol=1e-10)


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("options", OPTIONS)
def test_parameters_are_those_of_the_table(options: str, cell: str) -> None:
    config = make_config(cell=cell, **OPTIONS[options])
    model = LanguageModel(config, V)
    shapes = {name: tuple(parameter.shape) for name, parameter in model.named_parameters()}
    assert shapes == parameter_shapes(config, V)
    assert model.count_parameters() == count_parameters(config, V) == sum(map(math.prod, shapes.values()))


def test_parameter_names_and_shapes_worked_by_hand() -> None:
    config = make_config(cell="gru", hidden_size=4, embedding_size=3, tie_weights=True, layer_norm=True, layers=1)
    assert parameter_shapes(config, 7) == {
        "embedding": (7, 3),
        "layers.0.norm_weight": (3,),
        "layers.0.norm_bias": (3,),
        "layers.0.input_weight": (12, 3),
        "layers.0.recurrent_weight": (12, 4),
        "layers.0.input_bias": (12,),
        "layers.0.recurrent_bias": (12,),
        "projection": (3, 4),
        "output_bias": (7,),
    }
    config = make_config(cell="mogrifier-lstm", hidden_size=4, embedding_size=3, mogrifier_rank=2, layers=1)
    assert {name: shape for name, shape in parameter_shapes(config, 7).items() if "modulation" in name} == {
        "layers.0.input_modulation": (9, 2),
        "layers.0.input_modulation_narrow": (6, 4),
        "layers.0.hidden_modulation": (8, 2),
        "layers.0.hidden_modulation_narrow": (4, 3),
    }
    with pytest.raises(UnknownNameError, match="no cell 'grу'"):
        parameter_shapes(make_config(cell="grу"), 7)  # a Cyrillic letter


@pytest.mark.parametrize("embedding_size", [11, 5])
def test_tied_weights_are_one_tensor(embedding_size: int) -> None:
    model = LanguageModel(make_config(tie_weights=True, embedding_size=embedding_size), V, seeded())
    names = [name for name, _ in model.named_parameters()]
    assert "output_weight" not in names
    assert ("projection" in names) == (embedding_size != 11)
    ids = random_ids(2, 4)
    ids[ids == 12] = 0  # symbol 12 is never read, so only the output layer can move its row
    model(ids, None)[0].square().sum().backward()
    assert model.embedding.grad is not None
    assert model.embedding.grad[12].abs().max() > 0


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("options", OPTIONS)
def test_windows_join_without_a_seam(options: str, cell: str) -> None:
    model = LanguageModel(make_config(cell=cell, **OPTIONS[options]), V, seeded()).double()
    ids = random_ids(3, 9)
    whole, last = model(ids, None)
    state, pieces = model.initial_state(3), []
    for start, end in ((0, 1), (1, 5), (5, 9)):
        logits, state = model(ids[:, start:end], state)
        state = detach(state)
        pieces.append(logits)
    torch.testing.assert_close(torch.cat(pieces, 1), whole, rtol=0, atol=1e-12)
    for layer, layer_whole in zip(state, last, strict=True):
        for part, part_whole in zip(layer, layer_whole, strict=True):
            assert not part.requires_grad
            torch.testing.assert_close(part, part_whole, rtol=0, atol=1e-12)


def test_the_state_handed_in_is_left_alone() -> None:
    model = LanguageModel(make_config(), V, seeded())
    state = detach(model(random_ids(2, 4), None)[1])
    before = [[part.clone() for part in layer] for layer in state]
    model(random_ids(2, 4, seed=9), state)
    for layer, layer_before in zip(state, before, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(layer, layer_before, strict=True))


@pytest.mark.parametrize("cell", CELLS)
def test_first_weights_come_from_the_generator_alone(cell: str) -> None:
    config = make_config(cell=cell, tie_weights=True, embedding_size=5)
    torch.manual_seed(1)
    before = torch.random.get_rng_state()
    first = LanguageModel(config, V, seeded()).to_arrays()
    assert torch.equal(torch.random.get_rng_state(), before), "the global generator moved"
    torch.manual_seed(2)
    again, other = (LanguageModel(config, V, seeded(seed)).to_arrays() for seed in (1, 2))
    assert all((first[name] == again[name]).all() for name in first)
    assert (first["embedding"] != other["embedding"]).any()
    assert (first["layers.0.input_weight"] != other["layers.0.input_weight"]).any()


@pytest.mark.parametrize("cell", CELLS)
def test_recurrent_weights_start_orthogonal_gate_by_gate(cell: str) -> None:
    model = LanguageModel(make_config(cell=cell, hidden_size=24), V, seeded())
    for layer in model.layers:
        gates = layer.recurrent_weight.detach().double().split(24)
        assert len(gates) == CELLS[cell].gates
        for gate in gates:
            torch.testing.assert_close(gate @ gate.T, torch.eye(24, dtype=torch.float64), rtol=0, atol=1e-5)
        assert all(not torch.equal(gates[0], gate) for gate in gates[1:])
        assert layer.recurrent_bias.abs().max() == 0
        expected = torch.zeros_like(layer.input_bias)
        if cell in ("lstm", "mogrifier-lstm"):
            expected[24:48] = 1  # the forget gate
        assert torch.equal(layer.input_bias, expected)


@pytest.mark.parametrize(
    ("settings", "tensor", "deviation"),
    [
        ({}, "embedding", 1.0),
        ({"tie_weights": True}, "embedding", 3 / 12),
        ({"tie_weights": True, "residual": True}, "embedding", 1 / 12),
        ({"cell": "lstm"}, "output_weight", 2 / 10),
        ({"cell": "lstm", "residual": True}, "output_weight", 1 / 10),
        ({"cell": "gru"}, "output_weight", 1 / 10),
        ({"cell": "gru"}, "layers.0.input_weight", 1 / 12),
        ({"tie_weights": True}, "projection", 1 / 10),
        ({"ngram_embedding_size": 64}, "ngram_output_weight", 1 / 8),
    ],
)
def test_first_scales_are_those_of_the_docs(settings: dict[str, Any], tensor: str, deviation: float) -> None:
    config = make_config(hidden_size=100, embedding_size=144, **settings)
    drawn = LanguageModel(config, 60, seeded()).get_parameter(tensor)
    assert drawn.std().item() == pytest.approx(deviation, rel=0.03)
    assert drawn.mean().item() == pytest.approx(0, abs=0.05 * deviation)


@pytest.mark.parametrize("bad", [V, -1, 10**12])
def test_an_id_outside_the_vocabulary_is_an_error(bad: int) -> None:
    ids = random_ids(2, 3)
    ids[1, 1] = bad
    with pytest.raises(RunError, match=rf"ids from .* do not fit a vocabulary of {V}"):
        LanguageModel(make_config(), V)(ids, None)


@pytest.mark.parametrize("cell", CELLS)
def test_under_autocast_losses_agree_and_results_are_float32(cell: str) -> None:
    config = make_config(cell=cell, hidden_size=24, dropout=0.2, dropout_recurrent=0.2, residual=True, layer_norm=True)
    model = LanguageModel(config, V, seeded())
    ids, targets = random_ids(8, 30), random_ids(8, 30, seed=4)
    losses, gradients = [], []
    for enabled in (False, True):
        model.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            logits, state = model(ids, None, seeded(6))
        assert {logits.dtype, *(part.dtype for layer in state for part in layer)} == {torch.float32}
        loss = F.cross_entropy(logits.flatten(0, 1), targets.flatten())
        loss.backward()
        losses.append(loss.item())
        gradients.append(torch.cat([parameter.grad.flatten() for parameter in model.parameters()]))
    assert losses[1] == pytest.approx(losses[0], rel=3e-3)
    assert losses[1] != losses[0], "nothing was computed in bfloat16"
    assert (gradients[1] - gradients[0]).norm() < 0.05 * gradients[0].norm()
