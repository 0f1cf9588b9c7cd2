"""The flat weights of cuDNN's layers, held against the readable cells; on a CPU torch's own layers stand in."""

import itertools

import pytest
import torch

from charlm.kernels import cudnn
from charlm.models.cells import CELLS, Weights
from charlm.models.stack import step_through

# B, T, in, H, L
SHAPES = [(4, 6, 16, 16, 1), (3, 5, 4, 7, 3), (1, 1, 5, 7, 2), (1, 9, 3, 1, 2)]


def parts(cell, shape, dtype=torch.float64):
    """Random inputs, states and weights that want gradients."""
    B, T, inputs, H, L = shape
    generator = torch.Generator().manual_seed(3)
    G = CELLS[cell].gates

    def draw(*sizes):
        return (0.4 * torch.randn(sizes, generator=generator)).to(dtype).requires_grad_()

    states = [tuple(draw(B, H) for _ in CELLS[cell].state_type._fields) for _ in range(L)]
    weights = [(draw(G * H, H if index else inputs), draw(G * H, H), draw(G * H), draw(G * H)) for index in range(L)]
    return draw(B, T, inputs), states, weights


def readable(cell, x, states, weights):
    after = []
    for state, own in zip(states, weights, strict=True):
        x, new = step_through(CELLS[cell](Weights(*own)), x, CELLS[cell].state_type(*state))
        after.append(tuple(new))
    return x, after


def gradients(outputs, states, wanted):
    total = sum((part.double() * (1 + torch.arange(part.numel()).view(part.shape) % 5)).sum() for part in outputs)
    return torch.autograd.grad(total, wanted)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("cell", cudnn.CELLS)
def test_all_layers_in_one_call_equal_readable_cells(cell, shape):
    x, states, weights = parts(cell, shape)
    wanted = [x, *itertools.chain(*states), *itertools.chain(*weights)]
    found, after = cudnn.layers(cell, x, states, weights)
    expected, after_expected = readable(cell, x, states, weights)
    for own, its in zip([found, *itertools.chain(*after)], [expected, *itertools.chain(*after_expected)], strict=True):
        torch.testing.assert_close(own, its, rtol=1e-10, atol=1e-12)
    own = gradients([found, *itertools.chain(*after)], states, wanted)
    its = gradients([expected, *itertools.chain(*after_expected)], states, wanted)
    for one, other in zip(own, its, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("cell", cudnn.CELLS)
def test_one_layer_in_the_form_of_a_kernel(cell):
    x, states, weights = parts(cell, (3, 5, 4, 7, 1))
    found, after = cudnn.layer(cell, x, states[0], weights[0])
    expected, after_expected = readable(cell, x, states, weights)
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)
    for own, its in zip(after, after_expected[0], strict=True):
        torch.testing.assert_close(own, its, rtol=1e-10, atol=1e-12)


def test_weights_lie_in_one_piece_in_the_format_of_autocast_and_gradients_in_their_own(monkeypatch):
    x, states, weights = parts("lstm", (3, 5, 4, 8, 2), torch.float32)
    seen = []
    function, number = cudnn.CELLS["lstm"]

    def watched(inputs, carried, flat, *rest):
        seen.extend(flat)
        return function(inputs, carried, flat, *rest)

    monkeypatch.setitem(cudnn.CELLS, "lstm", (watched, number))
    with torch.autocast("cpu", torch.bfloat16):
        found, after = cudnn.layers("lstm", x, states, weights)
    assert len({tensor.untyped_storage().data_ptr() for tensor in seen}) == 1
    assert [tensor.storage_offset() for tensor in seen][:3] == [0, 128, 384]
    for own, weight in zip(seen, itertools.chain(*weights), strict=True):
        assert torch.equal(own, weight.to(torch.bfloat16))
    assert {part.dtype for part in itertools.chain(*after)} == {torch.float32}
    wanted = list(itertools.chain(*weights))
    own = gradients([found, *itertools.chain(*after)], states, wanted)
    exact, after_exact = readable("lstm", x, states, weights)
    its = gradients([exact, *itertools.chain(*after_exact)], states, wanted)
    for one, other in zip(own, its, strict=True):
        assert one.dtype == torch.float32
        assert (one - other).norm() < 0.1 * other.norm()


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_without_gradients_it_gives_the_same_before_and_after(mode):
    x, states, weights = parts("gru", (3, 5, 4, 7, 2))
    for _ in range(2):  # in between, the weights train on
        with mode():
            without, _ = cudnn.layers("gru", x, states, weights)
        found, _ = cudnn.layers("gru", x, states, weights)
        torch.testing.assert_close(without, found.detach(), rtol=0, atol=1e-13)
        with torch.no_grad():
            weights[0][0].mul_(1.5)


def test_a_cpu_has_no_cudnn():
    assert not cudnn.takes_bfloat16(torch.device("cpu"), "lstm", 64)


@pytest.mark.parametrize("cell", cudnn.CELLS)
def test_what_is_tried_is_a_layer_of_the_cell_there_and_back(cell, monkeypatch):
    taken = []
    monkeypatch.setattr(cudnn, "layers", lambda *given, real=cudnn.layers: taken.append(given) or real(*given))
    cudnn.try_layer(torch.device("cpu"), cell, 24, torch.float32)
    ((name, x, states, weights),) = taken
    assert (name, x.shape[2], len(states), len(weights)) == (cell, 24, 1, 1)
