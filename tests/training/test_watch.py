"""When a training counts as having gone wrong."""

import math

import pytest

from charlm.training.watch import LossWatch


def test_a_falling_and_noisy_loss_is_no_trouble():
    watch = LossWatch()
    losses = [4.2 * math.exp(-step / 200) + 1.2 + 0.3 * math.sin(step) for step in range(1000)]
    assert all(watch.trouble(loss, 1.0) is None for loss in losses)
    assert watch.smoothed == pytest.approx(1.2, abs=0.2)


@pytest.mark.parametrize(
    ("loss", "norm", "words"),
    [(math.nan, 1.0, "loss became nan"), (math.inf, 1.0, "loss became inf"), (2.0, math.inf, "gradient became inf")],
)
def test_what_is_not_finite_is_trouble_at_once(loss, norm, words):
    watch = LossWatch()
    watch.trouble(2.0, 1.0)
    assert words in str(watch.trouble(loss, norm))
    assert watch.smoothed == 2.0  # and leaves no trace in the mean


def test_a_loss_that_runs_away_is_trouble_within_some_steps():
    watch = LossWatch()
    for _ in range(50):
        assert watch.trouble(1.5, 1.0) is None
    assert watch.trouble(6.0, 1.0) is None  # one bad window is not the end
    verdicts = [watch.trouble(6.0, 1.0) for _ in range(10)]
    assert any(verdict is not None and "rose from 1.50" in verdict for verdict in verdicts)


def test_its_state_goes_through_json():
    watch, again = LossWatch(), LossWatch()
    again.load_state_dict(watch.state_dict())
    watch.trouble(3.0, 1.0)
    again.load_state_dict(watch.state_dict())
    assert again.state_dict() == watch.state_dict()


def test_a_text_of_easy_and_hard_passages_is_no_trouble():
    """Prose, a long rule of dashes, prose again: the loss of the rule says nothing of the prose."""
    watch = LossWatch()
    losses = [3.3, *[1.6] * 50, *[0.05] * 200, *[1.8] * 50]
    assert [watch.trouble(loss, 1.0) for loss in losses] == [None] * len(losses)
    assert any(watch.trouble(6.0, 1.0) for _ in range(10))


def test_checkpoints_of_earlier_versions_do_not_say_what_came_first():
    watch = LossWatch()
    watch.load_state_dict({"smoothed": 1.5, "fast": 1.5, "lowest": 1.4})
    assert [watch.trouble(1.6, 1.0) for _ in range(9)] == [None] * 9
    assert any(watch.trouble(6.0, 1.0) for _ in range(10))
