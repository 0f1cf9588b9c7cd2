"""The windows protocol, by hand and against a loop over windows."""

import math

import numpy as np
import pytest
import torch

from charlm.errors import ConfigError
from charlm.evaluation import score_windows
from charlm.evaluation.scoring_engine import Feed
from charlm.evaluation.windows import window_pieces


class Counter:
    """After k symbols since the start of its memory: p(1) = k / (k + 1), p(0) = 1 / (k + 1)."""

    vocab_size = 2

    def initial_state(self, B):
        return (torch.zeros(B),)

    def __call__(self, ids, state):
        (count,) = self.initial_state(len(ids)) if state is None else state
        k = count[:, None] + torch.arange(1, ids.shape[1] + 1)
        return torch.stack([torch.zeros_like(k), k.log()], dim=-1), (k[:, -1],)


@pytest.mark.parametrize(
    ("length", "total"),
    [
        # 6 predictions; a window of n predictions of 1 costs log(n + 1)
        (1, 6 * math.log(2)),
        (2, 3 * math.log(3)),
        (4, math.log(5) + math.log(3)),
        (5, math.log(6) + math.log(2)),
        (6, math.log(7)),
        (1000, math.log(7)),
    ],
)
def test_by_hand(length, total):
    predictions = score_windows(Counter(), np.ones(7, np.uint8), length)
    assert len(predictions) == 6
    assert predictions.total_nats == pytest.approx(total, rel=1e-6)
    # at k = 1 both symbols are as likely, and the lower id comes first
    assert predictions.correct.sum() == 6 - -(-6 // length)


@pytest.mark.parametrize("length", [1, 7, 64, 100, 300, 5000])
def test_equals_a_loop_over_windows(make_model, ids, length):
    model, part = make_model(), ids[:2500]
    expected = []
    with torch.no_grad():
        for start in range(0, len(part) - 1, length):
            window = torch.from_numpy(part[start : start + length + 1].astype(np.int64))
            logits, _ = model(window[None, :-1], None)
            expected.append(torch.nn.functional.cross_entropy(logits[0].double(), window[1:], reduction="none"))
    predictions = score_windows(model, part, length)
    np.testing.assert_allclose(predictions.nats, torch.cat(expected).numpy(), rtol=0, atol=1e-4)
    assert sum(map(len, window_pieces(Feed.of(model), part, length))) == 2499


@pytest.mark.parametrize("length", [0, 1])
def test_nothing_to_predict(make_model, ids, length):
    assert len(score_windows(make_model(), ids[:length], 256)) == 0


def test_the_length_must_be_positive(make_model, ids):
    with pytest.raises(ConfigError, match="the length of a window must be at least 1, was 0"):
        score_windows(make_model(), ids, 0)
