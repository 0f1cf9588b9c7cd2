"""Attention over past outputs: what it sees, wherever windows begin, and what it keeps."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from charlm.config import ModelConfig
from charlm.models import AttentionState, LanguageModel, detach, state_from_arrays, state_to_arrays
from charlm.models.attention import SHORTEST_PART, AttentionWeights, attend, empty_memory

B, H = 3, 5


def randoms(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def weights() -> AttentionWeights:
    return AttentionWeights(randoms(H, seed=1), randoms(H, seed=2), 2 * randoms(H, H, seed=3), randoms(H, H, seed=4))


def empty(A: int) -> AttentionState:
    return empty_memory(B, A, randoms(H))


@pytest.mark.parametrize("A", [1, 3, 64, 100])
@pytest.mark.parametrize("cuts", [(1, 2, 3), (7, 60), (150,), tuple(range(1, 200, 3))], ids=len)
def test_windows_join_without_a_seam(A: int, cuts: tuple[int, ...]) -> None:
    """Also those that are longer than a part, and than what is remembered."""
    y = randoms(B, 2 * SHORTEST_PART + 72, H)
    whole, after_whole = attend(y, empty(A), weights())
    state, pieces = empty(A), []
    for start, end in zip((0, *cuts), (*cuts, y.shape[1]), strict=True):
        z, state = attend(y[:, start:end], state, weights())
        pieces.append(z)
    torch.testing.assert_close(torch.cat(pieces, 1), whole, rtol=0, atol=1e-12)
    for part, part_whole in zip(state, after_whole, strict=True):
        torch.testing.assert_close(part, part_whole, rtol=0, atol=1e-12)


@pytest.mark.parametrize("A", [1, 4])
def test_a_step_sees_itself_and_the_outputs_that_are_kept_and_no_other(A: int) -> None:
    y, T = randoms(B, 12, H), 12
    weak = weights()._replace(query=0.1 * weights().query)  # else some shares are next to nothing
    plain, _ = attend(y, empty(A), weak)
    for changed in range(T):
        other = y.clone()
        other[1, changed, 0] += 1.0
        z, _ = attend(other, empty(A), weak)
        moved = (z - plain).abs().amax(-1) > 1e-6
        expected = torch.zeros(B, T, dtype=torch.bool)
        expected[1, changed : changed + A + 1] = True
        assert torch.equal(moved, expected)


def test_the_first_step_of_a_text_sees_itself_alone() -> None:
    """However much room there is: what is not there takes no share."""
    y, w = randoms(B, 1, H), weights()
    z, after = attend(y, empty(50), w)
    normal = torch.nn.functional.layer_norm(y, (H,), w.norm_weight, w.norm_bias)
    torch.testing.assert_close(z, y + normal @ w.output.T, rtol=0, atol=1e-12)
    assert torch.equal(after.filled.sum(1), torch.ones(B).double())


def test_likeness_decides_and_what_is_alike_is_found() -> None:
    """With query and output the identity, scaled, a step finds the one past output that is like its own."""
    sharp = AttentionWeights(torch.ones(H), torch.zeros(H), 50 * torch.eye(H), torch.eye(H))
    past = randoms(1, 4, H).float()
    y = torch.cat([past, 2 * past[:, 1:2]], dim=1)  # the last is the second one again, twice as large
    z, _ = attend(y, empty_memory(1, 4, y), sharp)
    normal = torch.nn.functional.layer_norm(past[:, 1], (H,))
    torch.testing.assert_close(z[:, -1] - y[:, -1], normal, rtol=0, atol=1e-3)


def test_gradients_reach_back_within_a_window_and_not_into_a_state_that_is_detached() -> None:
    y = randoms(B, 6, H).requires_grad_()
    (before,) = detach((attend(y, empty(3), weights())[1],))
    assert not any(part.requires_grad for part in before)
    later = randoms(B, 4, H, seed=9).requires_grad_()
    z, _ = attend(later, before, weights())
    z[:, 2].sum().backward()
    assert y.grad is None
    assert later.grad is not None
    assert later.grad[:, 0].abs().max() > 0
    assert later.grad[:, 3].abs().max() == 0


def model_of(**settings: int) -> LanguageModel:
    config = ModelConfig(hidden_size=6, layers=2, dropout=0.0, attention_window=4, **settings)
    return LanguageModel(config, 9, torch.Generator().manual_seed(1))


def test_a_model_begins_as_one_without_attention() -> None:
    model = model_of()
    arrays = {name: array for name, array in model.to_arrays().items() if not name.startswith("attention")}
    plain = LanguageModel.from_arrays(ModelConfig(hidden_size=6, layers=2, dropout=0.0), 9, arrays)
    ids = torch.arange(27).reshape(3, 9) % 9
    assert torch.equal(model(ids, None)[0], plain(ids, None)[0])
    model.loss(ids, ids, None)[0].backward()
    assert model.attention_output.grad is not None
    assert model.attention_output.grad.abs().max() > 0, "it could never learn"


def test_a_state_goes_through_arrays() -> None:
    model = model_of()
    _, state = model(torch.arange(6).reshape(2, 3), None)
    arrays = state_to_arrays(state)
    assert {name: array.shape for name, array in arrays.items() if name.startswith("attention")} == {
        "attention.memory": (2, 4, 6),
        "attention.filled": (2, 4),
    }
    again = state_from_arrays(arrays, model.initial_state(2))
    assert isinstance(again[-1], AttentionState)
    np.testing.assert_array_equal(again[-1].filled, [[0, 1, 1, 1]] * 2)
    for part, part_again in zip(state, again, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(part, part_again, strict=True))
