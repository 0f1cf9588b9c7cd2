"""The Transformer is causal, its losses count every symbol once, and both sides are trained on the same windows."""

import argparse
import math
from types import SimpleNamespace

import pytest
import torch
import transformer
from harness.record import Case
from opponents.transformer_model import Transformer, nats_per_character

from charlm.config import Config

V, T = 11, 16


def model():
    torch.manual_seed(1)
    return Transformer(V, T, layers=2, width=8, heads=2)


def test_no_symbol_sees_the_next_ones():
    network, ids = model(), torch.arange(T).remainder(V)[None]
    changed = ids.clone()
    changed[0, 9] = (changed[0, 9] + 1) % V
    before, after = network(ids)[0], network(changed)[0]
    assert torch.equal(before[:9], after[:9])
    assert not torch.allclose(before[9:], after[9:])


@pytest.mark.parametrize("length", [2, 16, 17, 18, 33, 100])
@pytest.mark.parametrize("stride", [1, 4, 16])
def test_every_symbol_but_the_first_is_counted_once(length, stride):
    network, ids = model(), torch.randint(V, (length,), generator=torch.Generator().manual_seed(2))
    for parameter in network.parameters():
        parameter.data.zero_()
    assert nats_per_character(network, ids, stride) == pytest.approx(math.log(V), abs=1e-6)


def test_a_stride_of_one_sees_as_much_as_it_can():
    network, ids = model(), torch.randint(V, (40,), generator=torch.Generator().manual_seed(3))
    total = 0.0
    for at in range(1, 40):
        context = ids[max(0, at - T) : at]
        total -= float(torch.log_softmax(network(context[None])[0, -1], dim=-1)[ids[at]].detach())
    assert nats_per_character(network, ids, 1) == pytest.approx(total / 39, abs=1e-5)


def test_operations_are_those_of_the_products():
    # 12 width^2 a layer, the output layer, and attention over half of the window
    assert model().operations() == 6 * (2 * 12 * 64 + V * 8 + 2 * 2 * 8 * (T + 1) / 2)


@pytest.mark.parametrize("operations", [1.3e6, 4.9e6, 20e6, 77e6])
def test_the_transformer_costs_what_it_is_to_cost(operations):
    assert transformer.transformer_of(65, 64, operations).operations() == pytest.approx(operations, rel=0.08)


@pytest.mark.slow
def test_the_program_runs_and_writes_what_it_found(quick):
    _, found = quick(transformer, "--minutes", "0.02", "--rates", "1e-3", "--dtype", "float32")
    figures = found["cases"]["minutes-0.02"]["figures"]
    ours, theirs = (figures[f"{side}, operations a character, MF"] for side in ("charlm", "Transformer"))
    # so small a width has few neighbours
    assert ours == pytest.approx(theirs, rel=0.15)
    by_rate = [float(nats) for name, nats in figures.items() if name.startswith("Transformer, rate ")]
    assert [float(figures["Transformer, cold windows of 64, nats"])] == by_rate
    assert float(figures["charlm, stream, memory of all before, nats"]) < math.log(65)


def test_the_best_rate_is_none_at_the_end_of_those_that_were_tried(monkeypatch):
    """Of losses that fall as far as 0.016; one rate alone is what was asked for."""
    data = SimpleNamespace(store=SimpleNamespace(part=lambda name: [0, 1]))
    monkeypatch.setattr(transformer, "trained_transformer", lambda data, config, rate, asked: (Tried(rate), 9))
    monkeypatch.setattr(transformer, "nats_per_character", lambda model, ids, stride: abs(model.rate - 0.016) + 1)

    def tried(*rates):
        case = Case(title="")
        asked = argparse.Namespace(rates=rates, minutes=1.0)
        transformer.transformer_side(case, data, Config(), asked)
        return [name.split()[2].rstrip(",") for name in case.figures if "rate" in name]

    assert tried(0.004, 0.001, 0.002) == ["0.001", "0.002", "0.004", "0.008", "0.016", "0.032"]
    assert tried(0.016, 0.032) == ["0.016", "0.032", "0.008"]
    assert tried(0.064, 0.1) == ["0.064", "0.1", "0.032", "0.016", "0.008"]
    assert tried(0.004) == ["0.004"]


class Tried:
    """What is asked of a Transformer that was trained with a rate."""

    embedding = SimpleNamespace(embedding_dim=8)

    def __init__(self, rate):
        self.rate = rate

    def operations(self):
        return 1.0
