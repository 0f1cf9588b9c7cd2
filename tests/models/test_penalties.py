"""Activation regularisation: in the gradient as its paper has it, and not in the figure that is reported."""

import pytest
import torch

from charlm.config import ModelConfig
from charlm.models import LanguageModel
from charlm.models.penalties import penalty_of

V = 9
SETTINGS = {"hidden_size": 7, "layers": 2, "dropout": 0.0}


def make_model(**settings):
    return LanguageModel(ModelConfig(**{**SETTINGS, **settings}), V, torch.Generator().manual_seed(1)).double()


def window(T=6):
    ids = torch.randint(V, (3, T + 1), generator=torch.Generator().manual_seed(2))
    return ids[:, :-1], ids[:, 1:]


def test_a_penalty_by_hand():
    config = ModelConfig(activation_penalty=2.0, change_penalty=3.0)
    outputs = torch.tensor([[[1.0, -2.0], [2.0, 0.0], [2.0, 1.0]]])
    dropped = torch.tensor([[[2.0, 0.0], [4.0, 0.0], [0.0, 2.0]]])
    # squares 4 + 16 + 4 of 6 numbers; changes 1, 2, 0, 1 of 4
    assert penalty_of(outputs, dropped, config).item() == pytest.approx(2 * 24 / 6 + 3 * (1 + 4 + 0 + 1) / 4)


@pytest.mark.parametrize("T", [1, 6])
@pytest.mark.parametrize("rates", [(2.0, 0.0), (0.0, 1.0), (2.0, 1.0)], ids=str)
def test_the_gradient_is_of_the_sum_and_the_loss_is_of_the_predictions(T, rates):
    activation, change = rates
    penalised = make_model(activation_penalty=activation, change_penalty=change, dropout_output=0.5)
    plain = make_model(dropout_output=0.5)
    ids, targets = window(T)
    loss, _ = penalised.loss(ids, targets, None, torch.Generator().manual_seed(3))
    loss.backward()

    kept = []
    plain.layers.register_forward_hook(lambda module, given, result: kept.append(result[0]))
    nats, _ = plain.loss(ids, targets, None, torch.Generator().manual_seed(3))
    (h,) = kept
    logits, _ = plain(ids, None, torch.Generator().manual_seed(3))
    dropped = torch.linalg.lstsq(plain.output_weight, (logits - plain.output_bias).flatten(0, 1).T).solution.T
    total = nats + activation * dropped.square().mean()
    if T > 1:
        total = total + change * (h[:, 1:] - h[:, :-1]).square().mean()
    total.backward()
    assert loss.item() == nats.item()
    for mine, wanted in zip(penalised.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(mine.grad, wanted.grad, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("name", ["activation_penalty", "change_penalty"])
def test_a_penalty_makes_small_what_it_is_on(name):
    """Outputs, or their steps, shrink in training, against the same training without."""
    ids, targets = window(40)
    sizes = {}
    for strength in (0.0, 5.0):
        model = make_model(**{name: strength})
        optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
        kept = []
        model.layers.register_forward_hook(lambda module, given, result, kept=kept: kept.append(result[0]))
        for _ in range(40):
            optimizer.zero_grad()
            model.loss(ids, targets, None)[0].backward()
            optimizer.step()
        h = kept[-1] if name == "activation_penalty" else kept[-1].diff(dim=1)
        sizes[strength] = h.square().mean().item()
    assert sizes[5.0] < 0.3 * sizes[0.0]


def test_a_penalty_that_is_infinite_shows_in_the_loss():
    model = make_model(cell="elman-relu", activation_penalty=1.0, layers=1)
    with torch.no_grad():
        model.layers[0].input_weight.mul_(1e200)
    assert not torch.isfinite(model.loss(*window(), None)[0])
