"""Lanes, read side by side, against one long pass: the promise of 1e-3 nats, on memories short and long."""

import numpy as np
import pytest
import torch
from torch import nn

from charlm.config import ModelConfig
from charlm.evaluation import score_stream, stream
from charlm.evaluation.agreement import LONGEST_RUN_ON
from charlm.evaluation.scoring_engine import Feed
from charlm.models import LanguageModel
from charlm.models.state import detach

MEAN_TOLERANCE = 1e-3  # what the documentation promises


def forgetful_or_not(make_model, bias: float) -> LanguageModel:
    """Random weights whose memory decays by sigmoid(bias) a symbol: at 6, by a half in 280 symbols."""
    model = make_model(hidden_size=16, layers=1)
    with torch.no_grad():
        model.layers[0].input_bias[16:32] = bias
        model.output_weight.mul_(2)
    return model


@pytest.mark.parametrize("bias", [1.0, 4.0, 6.0, 9.0])
def test_lanes_are_one_long_pass(make_model, ids, bias):
    model = forgetful_or_not(make_model, bias)
    part = ids[:16_000]
    long, lanes = score_stream(model, part, lanes=1), score_stream(model, part, lanes=16)
    assert abs(lanes.nats_per_token - long.nats_per_token) < MEAN_TOLERANCE / 10
    assert abs(lanes.correct.mean() - long.correct.mean()) < MEAN_TOLERANCE


def test_memory_is_really_long_in_the_test_above(make_model, ids):
    model = forgetful_or_not(make_model, 6.0)
    long = score_stream(model, ids[:9001], lanes=1).nats
    cold = score_stream(model, ids[8000:9001], lanes=1).nats
    assert abs(cold - long[8000:]).mean() > 0.05
    assert abs(cold[200:300] - long[8200:8300]).mean() > 1e-3


class Latch:
    """Remembers the first symbol of the text for ever and predicts nothing but that."""

    vocab_size = 4

    def initial_state(self, B):
        return (torch.full((B,), -1),)

    def __call__(self, ids, state):
        (first,) = self.initial_state(len(ids)) if state is None else state
        first = torch.where(first < 0, ids[:, 0], first)
        logits = 3.0 * nn.functional.one_hot(first, self.vocab_size).float()
        return logits[:, None].expand(-1, ids.shape[1], -1), (first,)


@pytest.mark.parametrize("lanes", [2, 5, 64])
def test_lanes_run_on_for_as_long_as_it_matters(lanes):
    ids = np.random.default_rng(0).integers(0, 4, LONGEST_RUN_ON)
    long, cut = score_stream(Latch(), ids, lanes=1), score_stream(Latch(), ids, lanes=lanes)
    np.testing.assert_array_equal(cut.nats, long.nats)
    np.testing.assert_array_equal(cut.correct, ids[1:] == ids[0])


def test_memory_without_end_has_a_bounded_cost():
    """Lanes whose beginnings never agree are given up on, so that an evaluation ends in time."""
    ids = np.random.default_rng(0).integers(0, 4, 20_001)
    feed = Feed.of(Latch())
    lanes = stream._Lanes(feed, ids, 16)
    blocks = []
    lanes._block = lambda *arguments: blocks.append(1) or stream._Lanes._block(lanes, *arguments)
    lanes.score(feed.engine.initial_state(1), None)
    assert len(blocks) == -(-1250 // 64) + LONGEST_RUN_ON // 64


NOISE, OFF, ON, ASK, NO, YES = range(6)


def recall_text(rng, length: int) -> np.ndarray:
    """Noise; now and then a switch goes OFF or ON, and ASK is answered by NO or YES for how it stands."""
    draws = rng.random(length)
    symbols = np.select([draws < 0.001, draws < 0.002, draws < 0.05], [OFF, ON, ASK], NOISE)
    last = np.maximum.accumulate(np.where((symbols == OFF) | (symbols == ON), np.arange(length), 0))
    asked = np.flatnonzero(symbols[:-1] == ASK)
    symbols[asked + 1] = np.where(symbols[last[asked]] == ON, YES, NO)
    return symbols


def recalling_model() -> LanguageModel:
    """Two units: one keeps the switch for thousands of symbols, the other tells that the last symbol was ASK."""
    model = LanguageModel(ModelConfig(hidden_size=2, embedding_size=6, layers=1, dropout=0.0), 6)
    layer = model.layers[0]
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
        model.embedding.copy_(torch.eye(6))
        i, f, g, _ = layer.input_weight.view(4, 2, 6)
        bias_i, bias_f, _, bias_o = layer.input_bias.view(4, 2)
        i[0, [OFF, ON]], f[0, [OFF, ON]], g[0, OFF], g[0, ON] = 24, -24, -5, 5
        g[1, ASK], g[1, :ASK], g[1, NO:] = 5, -5, -5
        bias_i.copy_(torch.tensor([-12.0, 12.0]))
        bias_f.copy_(torch.tensor([12.0, -12.0]))
        bias_o.copy_(torch.tensor([12.0, 12.0]))
        model.output_weight[NO], model.output_weight[YES] = torch.tensor([-6.0, 8.0]), torch.tensor([6.0, 8.0])
        model.output_weight[NOISE] = torch.tensor([0.0, -8.0])
    return model


@pytest.mark.parametrize("lanes", [8, 17, 64])
def test_lanes_are_one_long_pass_where_memory_is_very_long(lanes):
    """A warm-up of fixed length would have to guess how far back the switch was set: up to thousands of symbols."""
    ids, model = recall_text(np.random.default_rng(1), 40_000), recalling_model()
    long, cut = score_stream(model, ids, lanes=1), score_stream(model, ids, lanes=lanes)
    answers = np.flatnonzero(ids[:-1] == ASK)
    assert long.nats[answers].mean() < 0.05  # it does remember
    cold = np.concatenate([score_stream(model, part, lanes=1).nats for part in np.array_split(ids, lanes)])
    assert cold.mean() > long.nats.mean() + MEAN_TOLERANCE
    assert abs(cut.nats_per_token - long.nats_per_token) < MEAN_TOLERANCE / 10


def test_lanes_are_one_long_pass_on_a_trained_model(make_model, ids):
    model = make_model(hidden_size=32, layers=1)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    text, state = torch.from_numpy(ids[:24_000].astype(np.int64)).view(16, -1), None
    for start in range(0, 1400, 35):
        window = text[:, start : start + 36]
        logits, state = model(window[:, :-1], state)
        state = detach(state)
        loss = nn.functional.cross_entropy(logits.flatten(0, 1), window[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    held = ids[24_000:]
    long, cut = score_stream(model, held, lanes=1), score_stream(model, held, lanes=64)
    assert long.nats_per_token < 3.5
    assert abs(cut.nats_per_token - long.nats_per_token) < MEAN_TOLERANCE / 10
