"""Queued steps compute what plain steps do; here on a CPU, where the same code runs without a graph."""

import numpy as np
import pytest
import torch

from charlm.models import dropout
from charlm.streams import Lanes
from charlm.training.device_lanes import DeviceLanes
from charlm.training.device_step import DeviceStep
from charlm.training.optimizers import OPTIMIZERS
from charlm.training.outcomes import LAG

CPU = torch.device("cpu")
# model, training
SETTINGS = [
    ({}, {}),
    (
        {"cell": "gru", "tie_weights": True, "attention_window": 12, "ngram_embedding_size": 6},
        {
            "ema": 0.9,
            "clip_value": 0.01,
            "accumulate": 2,
            "learning_rate": 0.02,
        },  # the rate that n-grams have theirs beside
    ),
    ({"cell": "gru-reset-before", "embedding_size": 5, "tie_weights": True}, {"clip_norm": 0}),
    (
        {"dropout": 0.3, "dropout_input": 0.1, "locked_dropout": False},
        {"accumulate": 2},
    ),
    (
        {"dropout": 0.3, "dropout_input": 0.1, "dropout_recurrent": 0.2, "dropout_embedding": 0.1},
        {"ema": 0.9, "accumulate": 2, "window_jitter": 0.5, "clip_norm": 0.1, "weight_decay": 0.01},
    ),
]


def run(learner, steps, rate=0.01):
    results = [result for _ in range(steps) for result in learner.advance(rate)]
    return results + learner.settle()


def arrays(learner):
    capture = learner.capture()
    return capture.weights | capture.training


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize(("model", "training"), SETTINGS, ids=str)
def test_queued_steps_equal_plain_ones(make_learner, optimizer, model, training):
    plain = make_learner(model, optimizer=optimizer, **training)
    queued = make_learner(model, optimizer=optimizer, queued=True, **training)
    rates = [0.01 * (1 + step % 3) for step in range(20)]
    expected = [plain.step(rate) for rate in rates]
    found = [result for rate in rates for result in queued.advance(rate)] + queued.settle()
    assert [result.loss for result in found] == pytest.approx([result.loss for result in expected], abs=5e-5)
    assert [result.characters for result in found] == [result.characters for result in expected]
    norms = [result.gradient_norm for result in expected]
    assert [result.gradient_norm for result in found] == pytest.approx(norms, rel=1e-3)
    theirs = arrays(plain)
    for name, array in arrays(queued).items():
        np.testing.assert_allclose(array, theirs[name], atol=2e-4, rtol=1e-3, err_msg=name)
    assert queued.capture().progress == plain.capture().progress


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_restored_queue_goes_on_bit_for_bit(make_learner, optimizer):
    settings = {"optimizer": optimizer, "ema": 0.9, "window_jitter": 0.5, "accumulate": 2, "queued": True}
    through = make_learner(**settings)
    run(through, 5)
    capture = through.capture()
    losses = [result.loss for result in run(through, 12)]
    again = make_learner(**settings)
    again.restore(capture)
    assert [result.loss for result in run(again, 12)] == losses
    for name, array in arrays(through).items():
        np.testing.assert_array_equal(arrays(again)[name], array, err_msg=name)
    # back in the same learner too, with steps still on their way
    again.advance(0.01)
    again.restore(capture)
    assert [result.loss for result in run(again, 12)] == losses


def test_results_come_in_order_and_no_later_than_they_should(make_learner):
    plain, queued = make_learner(), make_learner(queued=True)
    expected = [plain.step(0.01).loss for _ in range(2 * LAG + 3)]
    found = []
    for step in range(len(expected)):
        found += [result.loss for result in queued.advance(0.01)]
        assert len(found) == max(0, step + 1 - LAG)
    found += [result.loss for result in queued.settle()]
    assert found == pytest.approx(expected, abs=1e-5)
    assert queued.settle() == []
    assert queued.step(0.01).loss == pytest.approx(plain.step(0.01).loss, abs=1e-5)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_the_device_leaves_a_step_out_that_is_not_finite(make_learner, optimizer):
    learner = make_learner(optimizer=optimizer, ema=0.9, queued=True)
    run(learner, 3)
    learner.state[0].hidden[1, 0] = float("nan")
    before = arrays(learner)
    assert [result.applied for result in run(learner, 2)] == [False, False]
    for name, array in arrays(learner).items():
        if not name.startswith("state."):
            np.testing.assert_array_equal(array, before[name], err_msg=name)
    assert learner.steps == 5


def test_a_step_that_is_left_out_at_the_very_beginning_leaves_moments_at_zero(make_learner):
    for optimizer in OPTIMIZERS:
        learner = make_learner(optimizer=optimizer, queued=True)
        learner.state[0].hidden[1, 0] = float("inf")
        assert not learner.step(0.01).applied
        moments = {name: array for name, array in arrays(learner).items() if name.startswith("optimizer.")}
        assert all(not array.any() for array in moments.values()), optimizer


def test_nothing_but_the_lag_reads_from_the_device(make_learner, monkeypatch):
    """A host that asks for a number waits for the device: no tensor's value may be asked for in a step."""
    learner = make_learner({"dropout": 0.2}, ema=0.9, queued=True, optimizer="sgd")
    run(learner, 1)
    # done on a CPU alone
    learner.model.check = lambda *ids: None
    monkeypatch.setattr(dropout, "_draw_on_cpu", dropout._draw_on_device)

    def refuse(*_, **__):
        raise AssertionError("asked the device for a number")

    for name in ("item", "tolist", "numpy", "__bool__", "__float__", "__int__"):
        monkeypatch.setattr(torch.Tensor, name, refuse)
    for _ in range(LAG):
        learner.advance(0.01)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.uint32, np.int64])
@pytest.mark.parametrize("batch_size", [1, 3, 7])
def test_the_device_reads_the_windows_of_the_lanes(dtype, batch_size):
    top = min(np.iinfo(dtype).max, 2**32 - 1)
    ids = np.random.default_rng(0).integers(0, top, size=59, dtype=np.int64).astype(dtype)
    ids[:2] = top
    lanes = Lanes(ids, batch_size)
    text = DeviceLanes(lanes, CPU)
    assert text.ids.element_size() == ids.itemsize
    for length in (1, 5, 8, 60, 130, 3):
        inputs, targets = text.window(torch.tensor(lanes.position), length)
        expected = lanes.next(length)
        np.testing.assert_array_equal(inputs.t().numpy(), expected[0])
        np.testing.assert_array_equal(targets.t().numpy(), expected[1])


def test_a_text_that_does_not_fit_is_read_on_the_host(make_learner, monkeypatch):
    monkeypatch.setattr("charlm.training.device_step.fits", lambda ids, device: False)
    plain, queued = make_learner(accumulate=2), make_learner(accumulate=2, queued=True)
    losses = [plain.step(0.01).loss for _ in range(12)]
    assert [result.loss for result in run(queued, 12)] == pytest.approx(losses, abs=1e-5)
    assert queued.lanes.state_dict() == plain.lanes.state_dict()


def test_a_gradient_that_two_parameters_share_is_clipped_once(make_learner, monkeypatch):
    """As kernels give it that make one gradient for both biases of a layer."""
    grad = torch.autograd.grad

    def shared(loss, parameters):
        gradients = list(grad(loss, parameters))
        gradients[6] = gradients[5]  # the biases of the first layer
        return gradients

    monkeypatch.setattr(torch.autograd, "grad", shared)
    learner = make_learner({"dropout": 0.0}, queued=True, optimizer="sgd", clip_norm=1e-3)
    before = [parameter.detach().clone() for parameter in learner.parameters]
    result = learner.step(1.0)
    moved = [(b - p).norm() for b, p in zip(before, learner.parameters, strict=True)]
    assert torch.stack(moved).norm().item() == pytest.approx(1e-3, rel=1e-3)
    assert result.gradient_norm > 1e-2


class Replayed:
    """What a recorded graph is to the host: the step as it was when it was recorded, done again."""

    def __init__(self, compute):
        self.replay = compute


@pytest.mark.parametrize(
    ("model", "training"),
    [
        ({}, {}),
        ({"dropout": 0.3, "dropout_recurrent": 0.2, "dropout_embedding": 0.1}, {"ema": 0.9, "accumulate": 3}),
        ({"cell": "gru-reset-before"}, {"optimizer": "rmsprop", "clip_norm": 0.1}),
    ],
    ids=str,
)
def test_all_that_changes_from_step_to_step_reaches_a_recorded_one(make_learner, monkeypatch, model, training):
    monkeypatch.setattr(DeviceStep, "_record", lambda self, compute: setattr(self, "graph", Replayed(compute)))
    monkeypatch.setattr(torch.cuda, "synchronize", lambda device: None)
    plain = make_learner(model, **training)
    recorded = make_learner(model, queued=True, **training)
    recorded.queue.record = True
    rates = [0.01 * (1 + step % 3) for step in range(60)]  # round the end of the text, more than once
    expected = [plain.step(rate).loss for rate in rates]
    found = [result for rate in rates[:40] for result in recorded.advance(rate)] + recorded.settle()
    capture, graph = recorded.capture(), recorded.queue.graph
    assert graph is not None
    found += [result for rate in rates[40:] for result in recorded.advance(rate)] + recorded.settle()
    assert [result.loss for result in found] == pytest.approx(expected, abs=1e-4)
    assert recorded.queue.graph is graph

    recorded.restore(capture)
    assert recorded.queue.graph is None  # it holds the addresses of moments that are no more
    again = [result for rate in rates[40:] for result in recorded.advance(rate)] + recorded.settle()
    assert [result.loss for result in again] == [result.loss for result in found[40:]]


def test_a_step_that_cannot_be_recorded_runs_as_it_stands_and_says_so(make_learner, monkeypatch):
    def refuse(self, compute):
        raise RuntimeError("operation not permitted\nwhen stream is capturing")

    monkeypatch.setattr(DeviceStep, "_record", refuse)
    plain, queued = make_learner(), make_learner(queued=True)
    queued.queue.record = True
    with pytest.warns(UserWarning, match="cannot be recorded and will be slower: operation not permitted$"):
        found = run(queued, 10)
    assert [result.loss for result in found] == pytest.approx([plain.step(0.01).loss for _ in range(10)], abs=1e-5)
    assert queued.queue.graph is None
