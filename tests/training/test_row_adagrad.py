"""Adagrad with one sum a row: its equations, and a sparse gradient that is the dense one."""

import math

import numpy as np
import pytest
import torch

from charlm.config import ModelConfig, TrainingConfig
from charlm.errors import RunError
from charlm.models import LanguageModel
from charlm.training.optimizers import (
    NGRAM_DECAY,
    NGRAM_RATE,
    OPTIMIZERS,
    load_optimizer_arrays,
    make_optimizers,
    optimizer_arrays,
    step_unless,
)
from charlm.training.row_adagrad import DECAY_EVERY, PRIOR_SHARE, RowAdagrad

CPU = torch.device("cpu")


def gradients(steps: int) -> list[torch.Tensor]:
    """(6, 3) each; row 5 has none, and the others have some of the time."""
    random = torch.Generator().manual_seed(0)
    found = []
    for _ in range(steps):
        there = (torch.rand(6, 1, generator=random) < 0.4) & (torch.arange(6) < 5)[:, None]
        found.append(torch.randn(6, 3, generator=random) * there)
    return found


def in_shares(gradient: torch.Tensor) -> torch.Tensor:
    """The same as a window gives it: rows that occur several times, in no order, each time with a share of it."""
    rows = torch.arange(len(gradient))[gradient.abs().sum(1) > 0]
    order = torch.cat([rows.flip(0), rows, rows.flip(0)])
    shares = torch.tensor([0.5, 0.25, 0.25]).repeat_interleave(len(rows))
    return torch.sparse_coo_tensor(order[None], shares[:, None] * gradient[order], gradient.shape)


def moved(steps: int, *, sparse: bool, decay: float = 0.05) -> tuple[torch.Tensor, RowAdagrad]:
    """A table after some steps, its rate halved on the way."""
    table = torch.nn.Parameter(torch.ones(6, 3))
    optimizer = RowAdagrad(table, lr=0.1, times=3.0, decay=decay)
    for step, gradient in enumerate(gradients(steps)):
        optimizer.param_groups[0]["lr"] = 0.1 if step < steps // 2 else 0.05
        table.grad = in_shares(gradient) if sparse else gradient
        optimizer.step()
    return table.detach(), optimizer


def test_rows_move_as_the_equations_say():
    steps = 2 * DECAY_EVERY + 3
    w, s, u = np.ones((6, 3)), np.zeros(6), 0.0
    for step, gradient in enumerate(gradients(steps)):
        g, lr = gradient.double().numpy(), 0.1 if step < steps // 2 else 0.05
        squares = (g**2).mean(1)
        s += squares
        u += squares[squares > 0].mean() if squares.any() else 0.0
        w -= 3 * lr * np.divide(g, np.sqrt(s + PRIOR_SHARE * u)[:, None], out=np.zeros_like(g), where=s[:, None] > 0)
        if (step + 1) % DECAY_EVERY == 0:
            w *= (1 - lr * 0.05) ** DECAY_EVERY
    np.testing.assert_allclose(moved(steps, sparse=False)[0].numpy(), w, rtol=1e-4, atol=1e-5)


def test_a_sparse_gradient_does_what_the_dense_one_does():
    sparse, dense = moved(40, sparse=True)[0], moved(40, sparse=False)[0]
    torch.testing.assert_close(sparse, dense, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("sparse", [False, True])
def test_a_row_that_occurs_seldom_moves_as_if_it_had_occurred_in_a_share_of_the_steps_more(sparse):
    table = torch.nn.Parameter(torch.zeros(2, 3))
    optimizer, steps = RowAdagrad(table, lr=1.0, times=1.0, decay=0.0), 1000
    for step in range(1, steps + 1):
        gradient = torch.ones(2, 3) * torch.tensor([[1.0], [float(step == steps)]])
        table.grad, before = gradient.to_sparse(1) if sparse else gradient, table.detach().clone()
        optimizer.step()
    often, seldom = (before - table.detach())[:, 0]
    assert often == pytest.approx(1 / math.sqrt(steps * (1 + PRIOR_SHARE)), rel=1e-3)
    assert seldom == pytest.approx(1 / math.sqrt(1 + PRIOR_SHARE * steps), rel=1e-3)


@pytest.mark.parametrize("sparse", [False, True])
def test_a_row_without_a_gradient_stays(sparse):
    table, _ = moved(40, sparse=sparse, decay=0.0)
    assert (table[5] == 1).all()
    assert (table[:5] != 1).any(1).all()


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_no_decay_turns_a_row_round(device):
    """Not of `sgd` with its rates either; the other device is one whose numbers nobody waits for."""
    table = torch.nn.Parameter(torch.ones(2, 3, device=device))
    optimizer = RowAdagrad(table, lr=10.0, times=0.0, decay=0.5)
    for _ in range(DECAY_EVERY):
        table.grad = torch.zeros_like(table)
        optimizer.step()
    assert device == "meta" or (table == 0).all()


def test_a_step_that_is_left_out_leaves_rows_sums_and_count():
    table, optimizer = moved(DECAY_EVERY - 1, sparse=False)
    before, state = table.clone(), {name: value.clone() for name, value in optimizer.state_dict()["state"][0].items()}
    for skip in (1.0, 0.0):
        optimizer.param_groups[0]["params"][0].grad = torch.ones(6, 3)
        step_unless(optimizer, torch.tensor(skip))
        same = torch.equal(before, optimizer.param_groups[0]["params"][0].detach())
        kept = all(torch.equal(value, state[name]) for name, value in optimizer.state_dict()["state"][0].items())
        assert (same, kept) == (skip == 1.0, skip == 1.0)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimiser_leaves_the_table_of_n_grams_to_this_one(name):
    model = LanguageModel(ModelConfig(hidden_size=8, ngram_embedding_size=3, ngram_rows=10), 5)
    config = TrainingConfig(optimizer=name, learning_rate=0.02, weight_decay=0.03)
    first, second = make_optimizers(dict(model.named_parameters()), config, CPU)
    group = second.param_groups[0]
    assert group["params"] == [model.ngram_embedding]
    assert (group["lr"] * group["times"], group["decay"]) == pytest.approx((NGRAM_RATE, NGRAM_DECAY * config.decay))
    others = [parameter for group in first.param_groups for parameter in group["params"]]
    assert len(others) == len(list(model.parameters())) - 1
    assert all(parameter is not model.ngram_embedding for parameter in others)


def with_tables() -> tuple[torch.nn.Parameter, list[torch.optim.Optimizer]]:
    table = torch.nn.Parameter(torch.zeros(6, 3))
    parameters = {"weight": torch.nn.Parameter(torch.ones(2)), "ngram_embedding": table}
    optimizers = make_optimizers(parameters, TrainingConfig(), CPU)
    for parameter in parameters.values():
        parameter.grad = torch.ones_like(parameter)
    for optimizer in optimizers:
        optimizer.step()
    return table, optimizers


def test_what_is_kept_goes_back_to_its_own_optimiser():
    arrays = optimizer_arrays(with_tables()[1])
    assert {name for name in arrays if name.startswith("1.")} == {"1.count", "1.sum", "1.usual"}
    _, others = with_tables()
    load_optimizer_arrays(others, {name: 2 * array for name, array in arrays.items()})
    for name, array in optimizer_arrays(others).items():
        np.testing.assert_array_equal(array, 2 * arrays[name])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"1.sum": np.zeros((6, 3), np.float32)}, r"'1.sum' has shape \(6, 3\)"),
        ({"1.usual": np.zeros((6, 3), np.float32)}, r"'1.usual' has shape \(6, 3\)"),
        ({"1.count": np.zeros((1,), np.float32)}, r"'1.count' has shape \(1,\)"),
        ({"0.exp_avg": np.zeros((), np.float32)}, r"'0.exp_avg' has shape \(\)"),
        ({"1.sum": np.full((6, 1), np.nan, np.float32)}, "'1.sum' holds what is no finite number"),
        ({"1.more": np.zeros((6, 3), np.float32)}, "parameter 1 must be count, sum, usual"),
        ({"2.sum": np.zeros((6, 1), np.float32)}, "'2.sum' belongs to no parameter"),
    ],
)
def test_what_does_not_fit_is_refused(change, words):
    optimizers = with_tables()[1]
    with pytest.raises(RunError, match=words):
        load_optimizer_arrays(optimizers, optimizer_arrays(optimizers) | change)
