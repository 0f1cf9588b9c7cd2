"""Dynamic evaluation does what its paper says."""

import copy

import numpy as np
import pytest
import torch

from charlm.config import ModelConfig
from charlm.evaluation import dynamic, score_stream
from charlm.evaluation.additions import Learning
from charlm.evaluation.dynamic import Dynamic, downhill
from charlm.evaluation.lane_reader import LaneReader
from charlm.evaluation.tuning import TuningText
from charlm.models import LanguageModel

V = 6


def cycle(length, step):
    return (np.arange(length) * step % V).astype(np.uint8)


@pytest.fixture
def model():
    return LanguageModel(ModelConfig(hidden_size=8, layers=1, dropout=0.0), V, torch.Generator().manual_seed(3))


def dynamic_of(model, tune=None, lanes=1):
    train = np.random.default_rng(0).integers(0, V, 3000).astype(np.uint8)
    text = TuningText(train_ids=train, ids=cycle(300, 1) if tune is None else tune, before_ids=train, words="")
    return Dynamic(LaneReader(model, lanes), Learning(text=text, vocab_size=V, lanes=lanes))


def nats_of(reader, ids):
    return np.concatenate([block.nats[block.counted] for block in reader.read(ids)])


def test_with_rate_0_it_is_the_model_itself(model, monkeypatch):
    monkeypatch.setattr(dynamic, "RATES", (0.0,))
    monkeypatch.setattr(dynamic, "FIRST_RATE", 0.0)
    addition = dynamic_of(model)
    addition.tune()
    assert addition.tuned["rate"] == 0.0
    np.testing.assert_allclose(nats_of(addition, cycle(500, 1)), score_stream(model, cycle(500, 1)).nats, atol=1e-5)


@pytest.mark.parametrize(
    ("lanes", "words"),
    [
        (1, "a gradient step after every 32 symbols, once they are scored; rate"),
        (2, "once they are scored, in 2 lanes that take turns, each begun without memory; rate"),
    ],
)
def test_its_words_say_what_lanes_do(model, lanes, words):
    assert words in dynamic_of(model, lanes=lanes).words


def test_each_step_is_that_of_the_formula(model):
    """Two stretches, the step between them computed once more from the formula in this module's words."""
    addition = dynamic_of(model)
    addition.tune()
    addition.rate, addition.decay = 3e-3, 2e-2
    ids = torch.from_numpy(cycle(2 * dynamic.STEPS + 1, 1).astype(np.int64))[None]
    found = nats_of(addition, cycle(2 * dynamic.STEPS + 1, 1))
    adapted = copy.deepcopy(model)
    T = dynamic.STEPS
    loss, state = adapted.loss(ids[:, :T], ids[:, 1 : T + 1], None)
    gradients = torch.autograd.grad(loss, list(adapted.parameters()))
    usual = addition._usual
    mean = torch.cat([each.flatten() for each in usual]).mean()
    assert torch.cat([g.flatten() for g in gradients]).norm() < 4 * torch.cat([u.flatten() for u in usual]).norm()
    with torch.no_grad():
        for weight, trained, g, G in zip(adapted.parameters(), model.parameters(), gradients, usual, strict=True):
            weight -= 3e-3 * g / (G + 1e-3 * mean)
            weight += (2e-2 * G / mean).clamp(max=1) * (trained - weight)
        logits, _ = adapted(ids[:, T : 2 * T], state)
        expected = torch.nn.functional.cross_entropy(logits[0], ids[0, T + 1 :], reduction="none")
    np.testing.assert_allclose(found[T:], expected.numpy(), atol=1e-5)
    np.testing.assert_allclose(found[:T].mean(), loss.item(), atol=1e-5)
    assert abs(found[T:] - score_stream(model, cycle(2 * T + 1, 1)).nats[T:]).max() > 1e-3


def test_gradients_are_measured_on_training_text(model):
    """G is the root of the mean squared gradient, stretch by stretch."""
    addition = dynamic_of(model)
    addition.learning.text.train_ids[3:] = addition.learning.text.train_ids[3]  # one symbol from there on
    addition._gather()
    ids = torch.from_numpy(addition.learning.text.train_ids.astype(np.int64))
    state, squares, count = None, None, 0
    for index in range((len(ids) - 2) // dynamic.STEPS + 1):
        part = ids[None, index * dynamic.STEPS : (index + 1) * dynamic.STEPS + 1]
        loss, state = model.loss(part[:, :-1], part[:, 1:], state)
        state = tuple(type(layer)(*(each.detach() for each in layer)) for layer in state)
        if index >= dynamic.WARMING:
            g = torch.autograd.grad(loss, list(model.parameters()))
            squares = (
                [each**2 for each in g] if squares is None else [s + e**2 for s, e in zip(squares, g, strict=True)]
            )
            count += 1
    for usual, square in zip(addition._usual, squares, strict=True):
        torch.testing.assert_close(usual, (square / count).sqrt(), rtol=1e-3, atol=1e-9)


@pytest.mark.parametrize("decay", [0.0, 4e-3, 10.0])
@pytest.mark.parametrize("lanes", [1, 3])
def test_a_table_of_n_grams_moves_by_the_rows_that_occur_as_if_it_moved_whole(decay, lanes):
    """What a stretch has is a few rows of many thousand; and most are where training left them."""
    settings = {"hidden_size": 8, "layers": 1, "dropout": 0.0, "ngram_embedding_size": 4, "ngram_rows": 4096}
    model = LanguageModel(ModelConfig(**settings), V, torch.Generator().manual_seed(3))
    with torch.no_grad():
        model.ngram_output_weight.normal_(generator=torch.Generator().manual_seed(4))
    found = {}
    for sparse in (True, False):
        addition = dynamic_of(model, lanes=lanes)
        assert addition._model.sparse_rows
        addition._model.sparse_rows = sparse
        addition._gather()
        addition.rate, addition.decay = 1.6e-3, decay
        found[sparse] = nats_of(addition, cycle(900, 5)), addition._model.ngram_embedding.detach().clone()
    np.testing.assert_allclose(found[True][0], found[False][0], atol=1e-4)
    torch.testing.assert_close(found[True][1], found[False][1], atol=1e-5, rtol=1e-4)
    assert not torch.equal(found[True][1], model.ngram_embedding)


def test_a_gradient_that_is_no_number_moves_nothing(model):
    addition = dynamic_of(model)
    addition._gather()
    before = [weight.clone() for weight in addition._weights]
    bad = [torch.full_like(weight, torch.nan) for weight in addition._weights]
    addition._step(bad, addition._moves())
    assert all(torch.equal(now, then) for now, then in zip(addition._weights, before, strict=True))


def test_odd_text_cannot_throw_the_weights_away(model):
    addition = dynamic_of(model)
    addition._gather()
    addition.rate, addition.decay = 1e-3, 0.0
    ones = [torch.ones_like(weight) for weight in addition._weights]
    before = [weight.detach().clone() for weight in addition._weights]
    huge = [each * 1e6 for each in ones]
    moves = addition._moves()
    for move, divisor in zip(moves, ones, strict=True):
        move._divisor = divisor
    addition._step(huge, moves)
    moved = torch.cat([(now - then).flatten() for now, then in zip(addition._weights, before, strict=True)])
    assert moved.norm().item() == pytest.approx(1e-3 * 4 * addition._length, rel=1e-3)


def test_a_symbol_that_training_never_saw_is_no_more_than_odd(model):
    """Its rows of the output layer have no usual gradient, so that any would be enormous beside it."""
    train = cycle(3000, 1) % (V - 1)
    text = TuningText(train_ids=train, ids=train[:300], before_ids=train, words="")
    addition = Dynamic(LaneReader(model, 1), Learning(text=text, vocab_size=V, lanes=1))
    addition._gather()
    addition.rate, addition.decay = 1.6e-3, 0.0
    clean = cycle(960, 1) % (V - 1)
    odd = clean.copy()
    odd[::100] = V - 1
    before = [weight.detach().clone() for weight in addition._weights]
    nats_of(addition, odd)
    moved = [(now - then).abs().max().item() for now, then in zip(addition._weights, before, strict=True)]
    assert max(moved) < 960 / dynamic.STEPS * 1.6e-3 * 16
    assert nats_of(addition, odd).mean() < score_stream(model, odd).nats.mean()


def test_lanes_take_turns(model):
    """What one lane has read the others know from their next stretch on, and no sooner."""
    T = dynamic.STEPS
    addition = dynamic_of(model, lanes=2)
    addition._gather()
    addition.rate = 1.6e-3
    ids = cycle(8 * T + 1, 1)  # lanes of 4 T predictions
    before = nats_by_place(addition, ids)
    changed = ids.copy()
    changed[4 * T + T + 5] = 0  # in the second lane's second stretch
    after = nats_by_place(addition, changed)
    first_lane, second_lane = np.split(after != before, 2)
    assert not first_lane[: 2 * T].any()
    assert first_lane[2 * T :].any()
    assert not second_lane[: T + 4].any()
    assert second_lane[T + 4]


def nats_by_place(reader, ids):
    found = np.zeros(len(ids))
    for block in reader.read(ids):
        found[block.places[block.counted]] = block.nats[block.counted]
    return found[1:]


def test_downhill_ends_where_the_loss_rises_to_both_sides():
    grid, asked = (1.0, 2.0, 3.0, 4.0, 5.0), []

    def loss(value):
        asked.append(value)
        return abs(value - 4)

    assert downhill(grid, 3.0, loss) == 4.0
    assert 1.0 not in asked
    assert downhill(grid, 3.0, lambda value: value) == 1.0
    assert downhill(grid, 3.0, lambda value: float("inf")) == 3.0
