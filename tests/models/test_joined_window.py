"""A model's window in one go, against the same window layer by layer with torch's kernels."""

from __future__ import annotations

import copy
import gc
import itertools
import pickle
import time
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from charlm.config import ModelConfig
from charlm.errors import RunError
from charlm.kernels import KERNELS, Scratch, find_window_loss, using, weight_gradient
from charlm.kernels.head_window import HeadWindow
from charlm.kernels.layer_window import LayerWindow
from charlm.kernels.team import torch_alone
from charlm.models import LanguageModel, State, language_model
from charlm.models.joined_window import joined_loss
from charlm.simd import HAS_BFLOAT16

FORMATS = [torch.float32, torch.bfloat16] if HAS_BFLOAT16 else [torch.float32]
# of the largest number of each tensor
TOLERANCE = {torch.float32: 2e-5, torch.bfloat16: 0.04}
# name: settings of the model, vocabulary, lanes, steps
MODELS: dict[str, tuple[dict[str, Any], int, int, int]] = {
    "whole vectors": ({"hidden_size": 64}, 64, 6, 9),
    "padded": ({"hidden_size": 13, "embedding_size": 7}, 70, 5, 7),
    "one of each": ({"hidden_size": 16, "layers": 1}, 1, 1, 1),
    "one layer, many symbols, few of them there": ({"hidden_size": 20, "layers": 1}, 300, 3, 4),
    "more symbols than places": ({"hidden_size": 9}, 300, 2, 3),
    "tied": ({"hidden_size": 24, "tie_weights": True}, 33, 4, 5),
    "dropout": ({"hidden_size": 36, "layers": 3, "dropout": 0.4, "locked_dropout": False}, 20, 4, 6),
    "locked": ({"hidden_size": 36, "dropout": 0.4, "locked_dropout": True}, 20, 4, 6),
    "n-grams": ({"hidden_size": 20, "ngram_embedding_size": 5, "ngram_rows": 30}, 13, 5, 9),
    "n-grams, more symbols than places": ({"hidden_size": 16, "ngram_embedding_size": 3, "ngram_rows": 30}, 400, 3, 7),
    "n-grams, dropout": (
        {"hidden_size": 16, "ngram_embedding_size": 16, "dropout": 0.3, "dropout_input": 0.2},
        13,
        5,
        9,
    ),
    "every kind": (
        {"hidden_size": 16, "dropout": 0.3, "dropout_input": 0.2, "dropout_recurrent": 0.5, "dropout_embedding": 0.1},
        150,
        4,
        6,
    ),
}
every_model = pytest.mark.parametrize("name", MODELS)
every_format = pytest.mark.parametrize("dtype", FORMATS, ids=str)


def make(name: str, cell: str = "lstm") -> tuple[LanguageModel, Tensor, State]:
    """A model, ids (B, T + 1), and a state that is not zero."""
    settings, vocab_size, B, T = MODELS[name]
    model = LanguageModel(ModelConfig(cell=cell, **{"dropout": 0.0, **settings}), vocab_size)
    draws = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.2 * torch.randn(parameter.shape, generator=draws)
    ids = torch.randint(vocab_size, (B, T + 1), generator=draws)
    zeros = model.initial_state(B)
    state = tuple(type(layer)(*(torch.randn(part.shape, generator=draws) for part in layer)) for layer in zeros)
    return model, ids, state


def learnt(
    family: str,
    dtype: torch.dtype,
    model: LanguageModel,
    ids: Tensor,
    state: State,
    scale: float = 1.0,
    symbols: int | None = None,
) -> list[Tensor]:
    """Loss, state after, gradients."""
    model.zero_grad()
    with using(family), torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
        loss, after = model.loss(ids[:, :-1], ids[:, 1:], state, torch.Generator().manual_seed(3), symbols)
    (loss * scale).backward()
    gradients = [parameter.grad for parameter in model.parameters()]
    return [
        loss.detach(),
        *(part for layer in after for part in layer),
        *(g.clone() for g in gradients if g is not None),
    ]


def close(found: list[Tensor], expected: list[Tensor], dtype: torch.dtype) -> None:
    for one, other in zip(found, expected, strict=True):
        assert one.dtype == other.dtype
        assert (one - other).abs().max() <= TOLERANCE[dtype] * other.abs().max() + 1e-9


@every_format
@every_model
@pytest.mark.parametrize("cell", KERNELS["compiled"])
def test_it_gives_what_the_layers_give(
    cell: str, name: str, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In float32 torch's; in bfloat16, where a rounded number may turn a rectified unit off, charlm's own."""
    model, ids, state = make(name, cell)
    found = learnt("compiled", dtype, model, ids, state)
    monkeypatch.setattr(language_model, "joined_loss", lambda *_: None)
    close(found, learnt("torch" if dtype == torch.float32 else "compiled", dtype, model, ids, state), dtype)


@every_format
@pytest.mark.parametrize("name", ["tied", "more symbols than places", "dropout", "n-grams, more symbols than places"])
def test_the_first_symbols_alone_are_the_softmax_of_those(
    name: str, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As if the others had a bias of minus infinity: what they are multiplied by gets no gradient."""
    model, ids, state = make(name)
    symbols = 11
    ids = ids % symbols
    found = learnt("compiled", dtype, model, ids, state, symbols=symbols)
    monkeypatch.setattr(language_model, "joined_loss", lambda *_: None)
    family = "torch" if dtype == torch.float32 else "compiled"
    close(found, learnt(family, dtype, model, ids, state, symbols=symbols), dtype)
    with torch.no_grad():
        model.output_bias[symbols:] = -1e30
    close(found, learnt(family, dtype, model, ids, state), dtype)


@pytest.mark.parametrize("family", ["compiled", "torch"])
def test_a_target_beyond_the_first_symbols_is_refused(family: str) -> None:
    """The loops look at no bounds."""
    model, ids, state = make("whole vectors")
    with pytest.raises(RunError, match="only the first 5 symbols"):
        learnt(family, torch.float32, model, ids, state, symbols=5)


@every_model
def test_all_these_models_are_computed_in_one_go(name: str) -> None:
    model, ids, state = make(name)
    with using("compiled"):
        assert find_window_loss(model.embedding) is not None
        inputs, _ = model.inputs(ids[:, :-1], state, None)
        assert joined_loss(model, inputs, ids[:, 1:], state, None) is not None
    assert find_window_loss(model.embedding) is None


@pytest.mark.parametrize(
    "settings",
    [
        {"layer_norm": True},
        {"residual": True},
        {"tie_weights": True, "embedding_size": 5},
        {"activation_penalty": 0.1},
        {"change_penalty": 0.1},
        {"attention_window": 3},
        {"attention_window": 3, "ngram_embedding_size": 5, "ngram_rows": 30},
    ],
    ids=str,
)
def test_what_it_does_not_know_is_left_to_the_layers(settings: dict[str, Any]) -> None:
    model = LanguageModel(ModelConfig(**{"hidden_size": 16, "dropout": 0.0, **settings}), 20)
    ids = torch.randint(20, (3, 6), generator=torch.Generator().manual_seed(1))
    state = model.initial_state(3)
    with using("compiled"):
        inputs, _ = model.inputs(ids[:, :-1], state, None)
        assert joined_loss(model, inputs, ids[:, 1:], state, None) is None
    found, expected = (learnt(family, torch.float32, model, ids, state) for family in ("compiled", "torch"))
    close(found, expected, torch.float32)


def test_a_state_that_wants_a_gradient_is_left_to_the_layers() -> None:
    model, ids, zeros = make("padded")
    found = []
    for family in ("compiled", "torch"):
        state = tuple(type(layer)(*(part.clone().requires_grad_() for part in layer)) for layer in zeros)
        learnt(family, torch.float32, model, ids, state)
        gradients = [part.grad for layer in state for part in layer]
        found.append([gradient for gradient in gradients if gradient is not None])
        assert len(found[-1]) == 4
    close(*found, torch.float32)


@every_format
def test_windows_of_any_size_may_follow_one_another(dtype: torch.dtype) -> None:
    """They compute in the same memory: nothing that one gave may change, nothing of one may be left in the next."""
    model, ids, state = make("every kind")
    first = learnt("compiled", dtype, model, ids, state)
    kept = [each.clone() for each in first]
    shorter = learnt("compiled", dtype, model, ids[:, :3], state)
    assert all(torch.equal(one, other) for one, other in zip(first, kept, strict=True))
    again = learnt("compiled", dtype, model, ids, state)
    assert all(torch.equal(one, other) for one, other in zip(again, first, strict=True))
    fresh = make("every kind")[0]
    assert all(
        torch.equal(a, b) for a, b in zip(shorter, learnt("compiled", dtype, fresh, ids[:, :3], state), strict=True)
    )


@pytest.mark.parametrize("name", MODELS)
@every_format
def test_nothing_is_read_that_was_not_written(name: str, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    """What pads lanes, units, inputs and symbols must be zero or harmless: nan times zero is nan."""
    model, ids, state = make(name)
    expected = learnt("compiled", dtype, model, ids, state)
    poison(monkeypatch)
    found = learnt("compiled", dtype, model, ids, state)
    assert all(torch.equal(one, other) for one, other in zip(found, expected, strict=True))


def poison(monkeypatch: pytest.MonkeyPatch) -> None:
    """From here on memory that holds anything holds nan."""

    def poisoned(empty: Callable[..., Any]) -> Callable[..., Any]:
        def full(*arguments: Any, **options: Any) -> Any:
            room = empty(*arguments, **options)
            numbers = room if isinstance(room, Tensor) else torch.from_numpy(room)
            numbers.view(-1).view(torch.uint8).fill_(0xFF)  # nan in float32 and in bfloat16
            return room

        return full

    for place, name in ((Scratch, "empty"), (torch, "empty"), (np, "empty")):
        monkeypatch.setattr(place, name, poisoned(getattr(place, name)))


@pytest.mark.parametrize("slow", ["LayerWindow.forward", "HeadWindow.run", "LayerWindow.backward", "pack_pieces"])
@every_format
def test_nothing_is_summed_before_it_is_there(slow: str, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    """One part, or one job, is late at one stage, while threads without lanes of their own have time."""
    model, ids, state = make("dropout")
    before = torch.get_num_threads()
    with torch_alone():
        expected = learnt("compiled", dtype, model, ids, state)
    poison(monkeypatch)
    holder: Any = {"LayerWindow": LayerWindow, "HeadWindow": HeadWindow}.get(slow.split(".")[0], weight_gradient)
    on_time, late = getattr(holder, slow.split(".")[-1]), itertools.count()

    def at_last(*arguments: Any) -> None:
        if next(late) == 0:
            time.sleep(0.1)
        on_time(*arguments)

    monkeypatch.setattr(holder, slow.split(".")[-1], at_last)
    torch.set_num_threads(7)
    try:
        for _ in range(3):
            late = itertools.count()
            with torch_alone():
                found = learnt("compiled", dtype, model, ids, state)
            assert all(torch.equal(one, other) for one, other in zip(found, expected, strict=True))
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("joined", [True, False])
def test_a_window_is_gone_with_its_last_user(joined: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it computes in is large; Python looks for circles only now and then."""
    model, ids, state = make("padded")
    if not joined:
        monkeypatch.setattr(language_model, "joined_loss", lambda *_: None)
    kept, made = list[weakref.ref[Any]](), weight_gradient.WeightGradients.__init__

    def watched(self: Any, *arguments: Any) -> None:
        made(self, *arguments)
        kept.append(weakref.ref(self))

    monkeypatch.setattr(weight_gradient.WeightGradients, "__init__", watched)
    gc.collect()
    gc.disable()
    try:
        learnt("compiled", torch.float32, model, ids, state)
        assert len(kept) == (3 if joined else 2)
        assert not any(reference() for reference in kept)
    finally:
        gc.enable()


def test_memory_that_was_given_back_is_asked_for_again() -> None:
    model, ids, state = make("every kind")
    expected = learnt("compiled", torch.float32, model, ids, state)
    for _ in range(2):
        learnt("compiled", torch.float32, model, ids, state)
        model.scratch.release()
        found = learnt("compiled", torch.float32, model, ids, state)
        assert all(torch.equal(one, other) for one, other in zip(found, expected, strict=True))


def test_a_long_window_is_summed_up_piece_by_piece() -> None:
    """More rows than one product takes at a time, and pieces that do not come out even."""
    model, _, _ = make("padded")
    ids = torch.randint(70, (3, 402), generator=torch.Generator().manual_seed(8))
    state = model.initial_state(3)
    found, expected = (learnt(family, torch.float32, model, ids, state) for family in ("compiled", "torch"))
    close(found, expected, torch.float32)


def test_gradients_of_two_windows_add_up_and_are_scaled() -> None:
    """Both are computed before the first goes back: one may not write over the other."""
    model, ids, state = make("every kind")
    found = []
    for family in ("compiled", "torch"):
        model.zero_grad()
        with using(family):
            losses = [model.loss(part[:, :-1], part[:, 1:], state, None)[0] for part in (ids, ids.flip(1))]
        (losses[0] / 2 + losses[1] * 3).backward()
        found.append([parameter.grad.clone() for parameter in model.parameters() if parameter.grad is not None])
    close(*found, torch.float32)


@every_format
@pytest.mark.parametrize("cell", KERNELS["compiled"])
def test_any_number_of_threads_computes_the_same(cell: str, dtype: torch.dtype) -> None:
    """Bit for bit, more of them than lanes too: who has time for a gradient is not to be seen in it.

    torch's own products, those of the table, are not: on AMD's processors each number of threads sums them otherwise.
    """
    model, ids, state = make("dropout", cell)
    found, before = [], torch.get_num_threads()
    try:
        for threads in (1, 2, 3, 9):
            torch.set_num_threads(threads)
            with torch_alone():
                found.append(learnt("compiled", dtype, model, ids, state))
    finally:
        torch.set_num_threads(before)
    for one in found[1:]:
        assert all(torch.equal(*pair) for pair in zip(one, found[0], strict=True))


def test_gradients_are_taken_once() -> None:
    model, ids, state = make("padded")
    with using("compiled"):
        loss, _ = model.loss(ids[:, :-1], ids[:, 1:], state)
    loss.backward(retain_graph=True)
    with pytest.raises(RuntimeError, match="gradients were taken already; they can be taken once"):
        loss.backward()


@pytest.mark.parametrize("wrong", [-1, 70])
def test_a_target_outside_the_vocabulary_is_refused(wrong: int) -> None:
    """A loop would read and write beside its arrays."""
    model, ids, state = make("padded")
    ids[2, -1] = wrong
    with using("compiled"), pytest.raises(RunError, match="do not fit a vocabulary of 70"):
        model.loss(ids[:, :-1], ids[:, 1:], state)


@pytest.mark.parametrize("family", ["compiled", "torch"])
@pytest.mark.parametrize("targets", [(5, 6), (5, 1), (7, 5), (35,)])
def test_targets_of_another_shape_are_refused(family: str, targets: tuple[int, ...]) -> None:
    model, ids, state = make("padded")
    with using(family), pytest.raises(ValueError, match=r"targets must have the shape of ids, \(5, 7\), was"):
        model.loss(ids[:, :-1], torch.zeros(targets, dtype=torch.int64), state)


@pytest.mark.parametrize("T", [0, 3])
def test_a_window_without_steps_or_a_state_of_other_lanes_is_refused(T: int) -> None:
    model, ids, state = make("padded")
    lanes = 5 if T == 0 else 4
    with using("compiled"), pytest.raises(ValueError, match="a window needs a step, a lane and a state of"):
        model.loss(ids[:lanes, :T], ids[:lanes, :T], state)


def test_one_model_may_be_asked_by_several_threads_at_a_time() -> None:
    """Only one of them may compute in the memory that is kept."""
    model, ids, state = make("dropout")
    inputs, _ = model.inputs(ids[:, :-1], state, None)

    def gradients(_: int) -> list[Tensor]:
        loss, _ = joined_loss(model, inputs, ids[:, 1:], state, None) or (None, None)
        assert loss is not None
        return list(torch.autograd.grad(loss, [model.output_weight, model.layers[0].recurrent_weight]))

    with using("compiled"), ThreadPoolExecutor(4) as pool:
        expected = gradients(0)
        for found in pool.map(gradients, range(60)):
            assert all(torch.equal(one, other) for one, other in zip(found, expected, strict=True))


def test_a_copy_of_a_model_does_not_carry_the_memory_of_windows() -> None:
    model, ids, state = make("dropout")
    for _ in range(2):
        learnt("compiled", torch.float32, model, ids, state)
    kept = sum(parameter.numel() for parameter in model.parameters()) * 4
    model.zero_grad()
    assert len(pickle.dumps(model)) < 2 * kept
    found, expected = (learnt("compiled", torch.float32, each, ids, state) for each in (copy.deepcopy(model), model))
    close(found, expected, torch.float32)


def test_a_weight_that_is_not_finite_shows_in_the_loss() -> None:
    for where in ("output_bias", "output_weight", "embedding"):
        model, ids, state = make("whole vectors")
        with torch.no_grad():
            dict(model.named_parameters())[where].fill_(float("nan"))
        assert learnt("compiled", torch.float32, model, ids, state)[0].isnan()
