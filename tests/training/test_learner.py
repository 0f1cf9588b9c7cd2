"""One step, and the promise that a captured learner goes on bit for bit."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from charlm.config import Layer, resolve
from charlm.errors import RunError
from charlm.models import LanguageModel
from charlm.runs import prepare
from charlm.streams import Lanes
from charlm.training.assembly import make_learner as make_learner_of
from charlm.training.device import choose_machine
from charlm.training.learner import ABSENT_EVERY
from charlm.training.optimizers import OPTIMIZERS
from charlm.training.windows import window_lengths

EVERYTHING = {
    "ema": 0.9,
    "window_jitter": 0.5,
    "accumulate": 2,
}
DROPOUT = {
    "dropout": 0.3,
    "dropout_input": 0.1,
    "dropout_recurrent": 0.2,
    "dropout_embedding": 0.1,
    "locked_dropout": True,
}


def all_arrays(learner):
    capture = learner.capture()
    return capture.weights | capture.training


def assert_same(left, right):
    assert left.keys() == right.keys()
    for name in left:
        assert np.array_equal(left[name], right[name]), name


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize(
    ("model", "training"),
    [
        ({}, {}),
        (DROPOUT, EVERYTHING),
        ({"cell": "gru", "tie_weights": True, "attention_window": 12, "ngram_embedding_size": 6}, {}),
    ],
)
def test_a_restored_learner_goes_on_bit_for_bit(make_learner, optimizer, model, training):
    through = make_learner(model, optimizer=optimizer, **training)
    for _ in range(5):
        through.step(0.01)
    capture = through.capture()
    for _ in range(5):
        through.step(0.01)

    again = make_learner(model, optimizer=optimizer, **training)
    again.restore(capture)
    for _ in range(5):
        again.step(0.01)

    assert_same(all_arrays(through), all_arrays(again))
    assert through.capture().progress == again.capture().progress


def test_a_capture_is_a_copy(make_learner):
    learner = make_learner()
    learner.step(0.01)
    capture = learner.capture()
    before = {name: array.copy() for name, array in (capture.weights | capture.training).items()}
    learner.step(0.1)
    assert_same(before, capture.weights | capture.training)


def test_training_lowers_the_loss(make_learner):
    learner = make_learner()
    losses = [learner.step(0.02).loss for _ in range(60)]
    assert losses[0] == pytest.approx(np.log(6), abs=0.3)
    assert np.mean(losses[-5:]) < 0.8


@pytest.mark.parametrize("accumulate", [1, 2])
def test_symbols_that_the_text_never_has_stand_in_the_loss_of_some_steps_alone(make_learner, monkeypatch, accumulate):
    looked_at, loss = [], LanguageModel.loss
    monkeypatch.setattr(LanguageModel, "loss", lambda *given: looked_at.append(given[-1]) or loss(*given))
    learner = make_learner(occurring=4, accumulate=accumulate)
    text = learner.lanes
    learner.lanes = Lanes(np.arange(400, dtype=np.uint8) % 4, 4)
    for _ in range(2 * ABSENT_EVERY):
        learner.step(0.01)
    steps = 2 * [None, *[4] * (ABSENT_EVERY - 1)]
    assert looked_at == [symbols for symbols in steps for _ in range(accumulate)]
    learner.lanes, learner.steps = text, 1  # which has others after all
    learner.step(0.01)
    assert looked_at[-1] is None


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("ngrams", [0, 3])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_between_those_steps_nothing_moves_what_they_are_predicted_by(make_learner, tied, ngrams, optimizer):
    """No weight decay, and no momentum of an earlier step."""
    settings = {"optimizer": optimizer, "weight_decay": 0.5, "ema": 0.9}
    model = {"tie_weights": tied, "hidden_size": 12, "ngram_embedding_size": ngrams, "ngram_rows": 10}
    learner = make_learner(model, occurring=4, **settings)
    assert len(learner.model.head_of()) == (3 if ngrams else 2)
    learner.lanes = Lanes(np.arange(400, dtype=np.uint8) % 4, 4)

    def rows():
        return [part.detach()[4:].clone() for part in learner.model.head_of()]

    start = rows()
    learner.step(0.01)
    first = rows()
    assert all(not torch.equal(*pair) for pair in zip(start, first, strict=True) if pair[0].any())
    for _ in range(ABSENT_EVERY - 1):
        learner.step(0.01)
    assert all(torch.equal(*pair) for pair in zip(first, rows(), strict=True))
    learner.step(0.01)
    assert not any(torch.equal(*pair) for pair in zip(first, rows(), strict=True))


def test_where_all_symbols_occur_none_is_left_out(make_learner, monkeypatch):
    looked_at, loss = set(), LanguageModel.loss
    monkeypatch.setattr(LanguageModel, "loss", lambda *given: looked_at.add(given[-1]) or loss(*given))
    learner = make_learner()
    for _ in range(3):
        learner.step(0.01)
    assert looked_at == {None}


@pytest.fixture
def of_text(tmp_path):
    """A learner of a text of two characters, and the share of probability that it leaves to bytes."""
    (tmp_path / "text").write_text("ab" * 3000)
    values = {"corpus": [str(tmp_path / "text")], "hidden_size": 8, "layers": 1, "batch_size": 4, "window_length": 16}
    config = resolve([Layer(origin="test", values={**values, "threads": 1, "steps": 50})]).config
    data = prepare(config.corpus, config.tokenizer)
    learner = make_learner_of(config, data, choose_machine(config.training, config.model, data.tokenizer.vocab_size))
    assert (learner.occurring, learner.model.vocab_size) == (2, 2 + 256)

    def share():
        with torch.no_grad():
            logits, _ = learner.model(torch.tensor([[0, 1, 0, 1]]), None)
        return logits.softmax(-1)[0, :, 2:].sum(-1).max().item()

    return learner, share


def test_symbols_that_the_text_never_has_begin_and_stay_as_unlikely_as_they_are(of_text):
    learner, share = of_text
    assert share() < 1e-3
    for _ in range(50):
        learner.step(0.02)
    assert share() < 1e-4


def test_the_steps_that_have_them_take_away_what_they_are_too_likely(of_text):
    learner, share = of_text
    with torch.no_grad():
        learner.model.output_bias.zero_()
    assert share() > 0.9
    learner.steps = 1
    for _ in range(ABSENT_EVERY - 1):
        learner.step(0.02)
    assert share() > 0.9  # so far none
    for _ in range(10 * ABSENT_EVERY):
        learner.step(0.02)
    assert share() < 0.85


def test_the_gradient_of_accumulated_windows_is_their_mean(make_learner):
    """Two windows of half the lanes' text give the update of their mean loss, worked with torch alone."""
    learner = make_learner({"dropout": 0.0}, accumulate=2, optimizer="sgd", clip_norm=0)
    reference = make_learner({"dropout": 0.0}, optimizer="sgd", clip_norm=0)
    learner.step(0.5)

    state, total = reference.state, 0.0
    for _ in range(2):
        inputs, targets = reference.lanes.next(8)
        logits, state = reference.model(torch.from_numpy(inputs), state)
        state = tuple(type(layer)(*(t.detach() for t in layer)) for layer in state)
        total = total + F.cross_entropy(logits.flatten(0, 1), torch.from_numpy(targets).flatten()) / 2
    gradients = torch.autograd.grad(total, reference.parameters)
    for mine, theirs, gradient in zip(learner.parameters, reference.parameters, gradients, strict=True):
        torch.testing.assert_close(mine, theirs - 0.5 * gradient)


@pytest.mark.parametrize("queued", [False, True])
def test_all_symbols_of_accumulated_windows_count_alike(make_learner, queued):
    """Of windows of several lengths the gradient is that of all their symbols' mean loss, not the mean of means."""
    settings = {"optimizer": "sgd", "clip_norm": 0, "window_jitter": 0.9, "accumulate": 3}
    learner, reference = (make_learner({"dropout": 0.0}, queued=queued, **settings) for _ in range(2))
    lengths = window_lengths(reference.config, reference._draws())
    assert len(set(lengths)) == 3
    learner.advance(0.5)
    (result,) = learner.settle() or [None]

    state, nats = reference.model.initial_state(4), []
    for length in lengths:
        inputs, targets = reference.lanes.next(length)
        logits, state = reference.model(torch.from_numpy(inputs), state)
        state = tuple(type(layer)(*(t.detach() for t in layer)) for layer in state)
        nats.append(F.cross_entropy(logits.flatten(0, 1), torch.from_numpy(targets).flatten(), reduction="none"))
    mean = torch.cat(nats).mean()
    gradients = torch.autograd.grad(mean, reference.parameters)
    rate = 0.5 * sum(lengths) / (8 * 3)
    for mine, theirs, gradient in zip(learner.parameters, reference.parameters, gradients, strict=True):
        torch.testing.assert_close(mine, theirs - rate * gradient)
    if result is not None:
        assert result.loss == pytest.approx(mean.item(), rel=1e-5)


def test_state_is_carried_and_cut(make_learner):
    """The second window starts from the first one's state, and no gradient reaches back into the first."""
    learner = make_learner({"dropout": 0.0})
    learner.step(0.0)
    carried = learner.state
    assert all(bool(t.abs().sum() > 0) and t.grad_fn is None for layer in carried for t in layer)
    fresh = make_learner({"dropout": 0.0})
    fresh.lanes.next(8)
    assert learner.step(0.0).loss != fresh.step(0.0).loss


def test_clipping_bounds_the_update(make_learner):
    def update_length(**clip):
        learner = make_learner({"dropout": 0.0}, optimizer="sgd", **clip)
        before = [p.detach().clone() for p in learner.parameters]
        result = learner.step(1.0)
        change = torch.cat([(p - b).flatten() for p, b in zip(learner.parameters, before, strict=True)])
        return result.gradient_norm, change.norm().item(), change.abs().max().item()

    norm, free, _ = update_length(clip_norm=0)
    assert free == pytest.approx(norm, rel=1e-4)
    assert update_length(clip_norm=norm / 4)[1] == pytest.approx(norm / 4, rel=1e-4)
    assert update_length(clip_norm=0, clip_value=1e-3)[2] == pytest.approx(1e-3, rel=1e-3)


def test_averaged_weights_are_what_evaluation_sees(make_learner):
    learner = make_learner({"dropout": 0.0}, ema=0.5, optimizer="sgd", clip_norm=0)
    expected = [p.detach().clone() for p in learner.parameters]
    for step in range(3):
        learner.step(0.5)
        decay = min(0.5, (1 + step) / (10 + step))
        expected = [decay * e + (1 - decay) * p.detach() for e, p in zip(expected, learner.parameters, strict=True)]
    trained = [p.detach().clone() for p in learner.parameters]
    with learner.averaged() as model:
        for mine, wanted in zip(model.parameters(), expected, strict=True):
            torch.testing.assert_close(mine.detach(), wanted)
    for mine, wanted in zip(learner.parameters, trained, strict=True):
        assert torch.equal(mine, wanted)


def test_the_average_is_of_weights_that_have_been(make_learner):
    """Not of those in the middle of a step, before the rows of absent symbols are put back."""
    learner = make_learner({"dropout": 0.0}, occurring=4, ema=1e-300, weight_decay=0.5)
    for _ in range(3):
        learner.step(0.1)
    for mean, now in zip(learner.average, learner.parameters, strict=True):
        assert torch.equal(mean, now)


@pytest.mark.parametrize("where", ["embedding", "output_bias", "ngram_embedding"])
def test_a_gradient_that_is_not_finite_changes_nothing(make_learner, where):
    learner = make_learner({"ngram_embedding_size": 3, "ngram_rows": 1})
    learner.step(0.01)
    getattr(learner.model, where).data.view(-1)[0] = float("nan")
    before = {name: p.detach().clone() for name, p in learner.model.named_parameters()}
    result = learner.step(0.01)
    assert not result.applied
    for name, parameter in learner.model.named_parameters():
        assert torch.equal(parameter.nan_to_num(7.0), before[name].nan_to_num(7.0))


def test_masks_come_from_the_seed_and_not_from_the_global_generator(make_learner):
    losses = []
    for noise in (1, 2):
        torch.manual_seed(noise)
        learner = make_learner({"dropout": 0.5})
        losses.append([learner.step(0.01).loss for _ in range(3)])
    assert losses[0] == losses[1]
    other = make_learner({"dropout": 0.5}, seed=2)
    assert [other.step(0.01).loss for _ in range(3)] != losses[0]


def test_jittered_windows_stay_in_their_range_and_vary(make_learner):
    learner = make_learner(window_jitter=0.5)
    lengths = [learner.step(0.01).characters // 4 for _ in range(30)]
    assert min(lengths) >= 4
    assert max(lengths) <= 12
    assert len(set(lengths)) > 3


@pytest.mark.parametrize("queued", [False, True])
@pytest.mark.parametrize("accumulate", [1, 2])
def test_a_shorter_window_moves_the_weights_by_its_share(make_learner, queued, accumulate):
    """Merity et al. (2017), section 4.1: the rate goes with the length, of several windows with their mean."""
    settings = {"optimizer": "sgd", "clip_norm": 0, "accumulate": accumulate, "seed": 2}
    moved = {}
    for jitter in (0.0, 0.9):
        learner = make_learner({"dropout": 0.0}, queued=queued, window_jitter=jitter, **settings)
        lengths = window_lengths(learner.config, learner._draws())
        before = [p.detach().clone() for p in learner.parameters]
        result = learner.step(0.1)
        change = [(b - p).flatten() for b, p in zip(before, learner.parameters, strict=True)]
        moved[jitter] = torch.cat(change).norm().item() / (0.1 * result.gradient_norm)
        assert moved[jitter] == pytest.approx(sum(lengths) / (8 * accumulate), rel=1e-3)
    assert moved[0.0] == pytest.approx(1.0, rel=1e-3)
    assert abs(moved[0.9] - 1) > 0.05


def test_a_capture_of_another_model_is_refused(make_learner):
    with pytest.raises(RunError, match="shape"):
        make_learner({"hidden_size": 16}).restore(make_learner().capture())
    capture = make_learner().capture()
    del capture.progress["lanes"]
    with pytest.raises(RunError, match="progress is incomplete"):
        make_learner().restore(capture)


def test_an_untrained_model_predicts_symbols_as_often_as_they_occur(make_learner):
    learner = make_learner({"dropout": 0.0})
    learner.model.start_from_frequencies(np.array([80, 10, 5, 5, 0, 0]))
    with torch.no_grad():
        learner.model.output_weight.zero_()
        logits, _ = learner.model(torch.zeros(1, 1, dtype=torch.int64), None)
    probabilities = logits.softmax(-1).flatten().tolist()
    assert probabilities == pytest.approx(
        [80.5 / 102.5, 10.5 / 102.5, 5.5 / 102.5, 5.5 / 102.5, 0.25 / 102.5, 0.25 / 102.5], rel=1e-5
    )
