"""What every cell of the table promises, and steps worked by hand."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from charlm.config import ModelConfig
from charlm.config.cells import GATES
from charlm.config.shapes import layer_shapes
from charlm.errors import UnknownNameError
from charlm.kernels import KERNELS
from charlm.models import CELLS, HiddenState, LSTMState
from charlm.models.cells import Cell, Weights
from charlm.models.stack import Layer, step_through

B, T, INPUTS, H = 3, 5, 4, 7


def make_cell(name: str, seed: int = 0, units: int = H) -> Cell:
    """A cell in float64 whose weights, biases too, are all different from zero."""
    generator = torch.Generator().manual_seed(seed)
    shapes = layer_shapes(ModelConfig(cell=name, hidden_size=units, embedding_size=INPUTS), 0)
    tensors = {n: torch.randn(s, generator=generator, dtype=torch.float64) * 0.5 for n, s in shapes.items()}
    kind = CELLS[name].weights_type
    assert kind._fields[: len(tensors)] == tuple(tensors)
    return CELLS[name](kind(*(tensors.get(field) for field in kind._fields)))


def random_inputs(seed: int = 1) -> Tensor:
    return torch.randn((B, T, INPUTS), generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def random_state(cell: Cell, seed: int = 2) -> HiddenState | LSTMState:
    generator = torch.Generator().manual_seed(seed)
    return cell.state_type(*(torch.randn(part.shape, generator=generator).double() for part in cell.initial_state(B)))


def test_the_tables_agree() -> None:
    assert {name: cell.gates for name, cell in CELLS.items()} == GATES
    assert all(set(kernels) <= set(CELLS) for kernels in KERNELS.values())


def test_an_unknown_cell_is_named_with_a_suggestion() -> None:
    with pytest.raises(UnknownNameError, match=r"no cell 'lsmt': choose .*gru.* \(did you mean lstm\?\)"):
        Layer(ModelConfig(cell="lsmt"), 0)


@pytest.mark.parametrize("name", CELLS)
def test_the_first_state_is_zero_in_the_weights_format(name: str) -> None:
    cell = make_cell(name)
    state = cell.initial_state(B)
    assert type(state) is cell.state_type
    for part in state:
        assert part.dtype == torch.float64
        assert torch.equal(part, torch.zeros(B, H, dtype=torch.float64))


@pytest.mark.parametrize("name", CELLS)
def test_a_window_is_its_steps(name: str) -> None:
    cell, x = make_cell(name), random_inputs()
    whole, after_whole = step_through(cell, x, random_state(cell))
    state = random_state(cell)
    for t in range(T):
        y, state = cell.step(x[:, t], state)
        assert torch.equal(y, whole[:, t])
        assert torch.equal(y, state.hidden)
    assert all(torch.equal(a, b) for a, b in zip(state, after_whole, strict=True))


@pytest.mark.parametrize("name", CELLS)
def test_a_cell_depends_on_its_input_its_state_and_its_past(name: str) -> None:
    cell, x = make_cell(name), random_inputs()
    y, _ = step_through(cell, x, random_state(cell))
    from_zero, _ = step_through(cell, x, cell.initial_state(B))
    changed = x.clone()
    changed[:, 0] += 0.5
    y_changed, _ = step_through(cell, changed, random_state(cell))
    for other in (from_zero, y_changed):
        assert (y[:, -1] - other[:, -1]).abs().max() > 1e-6


@pytest.mark.parametrize("name", CELLS)
def test_lanes_do_not_see_one_another(name: str) -> None:
    cell, x = make_cell(name), random_inputs()
    state = random_state(cell)
    y, after = step_through(cell, x, state)
    for lane in range(B):
        one = type(state)(*(part[lane : lane + 1] for part in state))
        y_one, after_one = step_through(cell, x[lane : lane + 1], one)
        torch.testing.assert_close(y_one[0], y[lane], rtol=0, atol=1e-13)
        for part, part_one in zip(after, after_one, strict=True):
            torch.testing.assert_close(part_one[0], part[lane], rtol=0, atol=1e-13)


@pytest.mark.parametrize("name", CELLS)
def test_gradients_are_those_of_finite_differences(name: str) -> None:
    cell = make_cell(name, seed=3, units=2)
    weights = [weight for weight in cell.weights if weight is not None]
    absent = [None] * (len(cell.weights) - len(weights))
    leaves = [*weights, random_inputs()[:2, :2], *(part[:2] for part in random_state(cell))]
    leaves = [leaf.detach().clone().requires_grad_() for leaf in leaves]

    def outputs(*tensors: Tensor) -> tuple[Tensor, ...]:
        *own, x = tensors[: len(weights) + 1]
        other = CELLS[name](cell.weights_type(*own, *absent))
        y, state = step_through(other, x, cell.state_type(*tensors[len(weights) + 1 :]))
        return y, *state

    assert torch.autograd.gradcheck(outputs, leaves)


def sigmoid(a: float) -> float:
    return 1 / (1 + math.exp(-a))


def test_an_lstm_step_by_hand() -> None:
    # one unit, one input: rows are the gates i, f, g, o
    weights = Weights(
        input_weight=torch.tensor([[0.1], [0.2], [0.3], [0.4]], dtype=torch.float64),
        recurrent_weight=torch.tensor([[0.5], [0.6], [0.7], [0.8]], dtype=torch.float64),
        input_bias=torch.tensor([0.01, 0.02, 0.03, 0.04], dtype=torch.float64),
        recurrent_bias=torch.tensor([0.001, 0.002, 0.003, 0.004], dtype=torch.float64),
    )
    state = LSTMState(torch.tensor([[-1.0]]).double(), torch.tensor([[2.0]]).double())
    y, after = CELLS["lstm"](weights).step(torch.tensor([[3.0]]).double(), state)
    # 0.1 * 3 + 0.01 - 0.5 + 0.001 = -0.189 and so on
    memory = sigmoid(0.022) * 2 + sigmoid(-0.189) * math.tanh(0.233)
    hidden = sigmoid(0.444) * math.tanh(memory)
    assert after.memory.item() == pytest.approx(memory, abs=1e-12)
    assert y.item() == after.hidden.item() == pytest.approx(hidden, abs=1e-12)
    assert (round(memory, 4), round(hidden, 4)) == (1.1147, 0.4908)


@pytest.mark.parametrize(("name", "pre_candidate"), [("gru-reset-before", "before"), ("gru", "after")])
def test_a_gru_step_by_hand(name: str, pre_candidate: str) -> None:
    # one unit, one input: rows are the gates r, z, n
    weights = Weights(
        input_weight=torch.tensor([[0.1], [0.2], [0.3]], dtype=torch.float64),
        recurrent_weight=torch.tensor([[0.5], [0.6], [0.7]], dtype=torch.float64),
        input_bias=torch.tensor([0.01, 0.02, 0.03], dtype=torch.float64),
        recurrent_bias=torch.tensor([0.1, 0.2, 0.3], dtype=torch.float64),
    )
    y, after = CELLS[name](weights).step(torch.tensor([[3.0]]).double(), HiddenState(torch.tensor([[-1.0]]).double()))
    r, z = sigmoid(0.3 + 0.01 - 0.5 + 0.1), sigmoid(0.6 + 0.02 - 0.6 + 0.2)
    if pre_candidate == "before":
        n = math.tanh(0.9 + 0.03 + 0.7 * (r * -1.0) + 0.3)  # the bias of the product is outside the gate
    else:
        n = math.tanh(0.9 + 0.03 + r * (0.7 * -1.0 + 0.3))
    expected = (1 - z) * n + z * -1.0
    assert y.item() == after.hidden.item() == pytest.approx(expected, abs=1e-12)


# rounds and rank; what Q and R of each round are then made of
MOGRIFIERS = [(1, None), (2, None), (5, None), (4, 1), (5, 2), (1, 2)]


@pytest.mark.parametrize(("rounds", "rank"), MOGRIFIERS)
def test_a_mogrifier_step_is_its_rounds_and_then_an_lstms(rounds: int, rank: int | None) -> None:
    """Two inputs, three units, against the equations of the paper (Melis et al., 2019, 1 and 2), element by element."""
    inputs, units = 2, 3
    config = ModelConfig(
        cell="mogrifier-lstm",
        hidden_size=units,
        embedding_size=inputs,
        mogrifier_rounds=rounds,
        mogrifier_rank=rank,
        layers=1,
    )
    layer = Layer(config, 0).double()
    generator = torch.Generator().manual_seed(rounds)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    x, h, m = (torch.randn((1, size), generator=generator).double() for size in (inputs, units, units))
    y, after = layer.cell_type(layer.weights).step(x, LSTMState(h, m))

    named = dict(layer.named_parameters())
    sizes = {"input": inputs, "hidden": units}
    v = {"input": x[0].tolist(), "hidden": h[0].tolist()}
    for i in range(1, rounds + 1):
        changed, other = ("input", "hidden") if i % 2 else ("hidden", "input")
        rows, place = sizes[changed], (i - 1) // 2
        M = named[f"{changed}_modulation"][place * rows : (place + 1) * rows]
        if rank:
            M = M @ named[f"{changed}_modulation_narrow"][place * rank : (place + 1) * rank]
        assert M.shape == (rows, sizes[other])
        sums = [sum(M[j, k].item() * v[other][k] for k in range(sizes[other])) for j in range(rows)]
        v[changed] = [2 * sigmoid(total) * old for total, old in zip(sums, v[changed], strict=True)]
    changed_x, changed_h = (torch.tensor([v[kind]], dtype=torch.float64) for kind in ("input", "hidden"))
    expected, expected_after = CELLS["lstm"](Weights(*layer.weights[:4])).step(changed_x, LSTMState(changed_h, m))
    torch.testing.assert_close(y, expected, rtol=0, atol=1e-12)
    torch.testing.assert_close(after.memory, expected_after.memory, rtol=0, atol=1e-12)


def test_a_mogrifier_whose_matrices_are_zero_is_an_lstm() -> None:
    cell = make_cell("mogrifier-lstm")
    still = cell.weights._replace(
        input_modulation=torch.zeros_like(cell.weights.input_modulation),
        hidden_modulation=torch.zeros_like(cell.weights.hidden_modulation),
    )
    x, state = random_inputs(), random_state(cell)
    y, after = step_through(CELLS["mogrifier-lstm"](still), x, state)
    expected, expected_after = step_through(CELLS["lstm"](Weights(*still[:4])), x, state)
    assert torch.equal(y, expected)
    assert torch.equal(after.memory, expected_after.memory)
