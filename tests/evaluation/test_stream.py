"""The stream protocol against a loop over symbols, against torch's own layers, and against itself."""

import numpy as np
import pytest
import torch
from torch import nn

from charlm.config import ModelConfig
from charlm.errors import ConfigError
from charlm.evaluation import score_stream, stream
from charlm.evaluation.stream import LONGEST_RUN_ON, SHORTEST_LANE, stream_pieces
from charlm.models import LanguageModel
from charlm.models.cells import CELLS
from charlm.models.state import detach

MEAN_TOLERANCE = 1e-3  # what the documentation promises


def symbol_by_symbol(model, ids) -> np.ndarray:
    """(N - 1,) losses, one symbol a call, in float64."""
    state, losses = None, []
    with torch.no_grad():
        for symbol, target in zip(ids[:-1].tolist(), ids[1:].tolist(), strict=True):
            logits, state = model(torch.tensor([[symbol]]), state)
            losses.append(-torch.log_softmax(logits[0, 0].double(), 0)[target].item())
    return np.array(losses)


@pytest.mark.parametrize("cell", CELLS)
def test_equals_a_loop_over_symbols(make_model, ids, cell):
    model = make_model(cell=cell, hidden_size=12, layers=1)
    part = ids[: 2 * SHORTEST_LANE + 100]  # two lanes when left to choose
    expected = symbol_by_symbol(model, part)
    np.testing.assert_allclose(score_stream(model, part, lanes=1).nats, expected, rtol=1e-5, atol=2e-5)
    lanes = score_stream(model, part)
    np.testing.assert_allclose(lanes.nats, expected, rtol=1e-4, atol=2e-3)
    assert abs(lanes.nats_per_token - expected.mean()) < MEAN_TOLERANCE / 100


def test_equals_torch_layers_in_float64(make_model, ids):
    model = make_model()
    arrays = {name: torch.from_numpy(array).double() for name, array in model.to_arrays().items()}
    embedding = nn.Embedding.from_pretrained(arrays["embedding"])
    lstm = nn.LSTM(16, 16, num_layers=2, batch_first=True, dtype=torch.float64)
    theirs = {
        "weight_ih": "input_weight",
        "weight_hh": "recurrent_weight",
        "bias_ih": "input_bias",
        "bias_hh": "recurrent_bias",
    }
    lstm.load_state_dict(
        {f"{their}_l{layer}": arrays[f"layers.{layer}.{ours}"] for layer in (0, 1) for their, ours in theirs.items()}
    )
    text = torch.from_numpy(ids[:8000].astype(np.int64))[None]
    with torch.no_grad():
        hidden, _ = lstm(embedding(text[:, :-1]))
        logits = hidden @ arrays["output_weight"].T + arrays["output_bias"]
        expected = nn.functional.cross_entropy(logits[0], text[0, 1:]).exp().item()
        right = (logits[0].argmax(-1) == text[0, 1:]).double().mean().item()
    predictions = score_stream(model, text[0].numpy())
    assert np.exp(predictions.nats_per_token) == pytest.approx(expected, rel=1e-5)
    assert predictions.correct.mean() == pytest.approx(right, abs=2 / 8000)


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


def test_chaos_ends(make_model, ids):
    """Where memory grows instead of fading no two beginnings ever agree; the cost stays bounded."""
    model = make_model(cell="elman-relu")
    with torch.no_grad():
        for layer in model.layers:
            layer.recurrent_weight.mul_(2)
    blocks = []
    lanes = stream._Lanes(model, ids[:20_001], 16, torch.device("cpu"))
    lanes._block = lambda *arguments: blocks.append(1) or stream._Lanes._block(lanes, *arguments)
    with torch.inference_mode():
        lanes.score(None, stream.AGREEMENT, None)
    assert len(blocks) <= (20_000 // 16 + LONGEST_RUN_ON) / 64 + 2


SET, ASK = 8, 9


def recall_text(rng, length: int) -> np.ndarray:
    """Noise of 0..3; now and then SET and one of 4..7 to keep in mind, and ASK and that symbol again."""
    symbols, kept = [], 4
    while len(symbols) < length:
        draw = rng.random()
        if draw < 0.01:
            kept = int(rng.integers(4, 8))
            symbols += [SET, kept]
        else:
            symbols += [ASK, kept] if draw < 0.05 else [int(rng.integers(0, 4))]
    return np.array(symbols[:length])


def test_lanes_are_one_long_pass_on_a_model_trained_to_remember():
    rng = np.random.default_rng(1)
    config = ModelConfig(hidden_size=24, layers=1, dropout=0.0)
    model = LanguageModel(config, 10, torch.Generator().manual_seed(0))
    with torch.no_grad():
        model.layers[0].input_bias[24:48] = 5
    optimizer = torch.optim.Adam(model.parameters(), lr=0.03)
    lanes = torch.from_numpy(recall_text(rng, 60_000).reshape(24, 2500))
    for _ in range(14):
        state = None
        for start in range(0, 2449, 50):
            window = lanes[:, start : start + 51]
            logits, state = model(window[:, :-1], state)
            state = detach(state)
            loss = nn.functional.cross_entropy(logits.flatten(0, 1), window[:, 1:].flatten())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    ids = recall_text(rng, 20_000)
    long, cut = score_stream(model, ids, lanes=1), score_stream(model, ids, lanes=64)
    asked = long.nats[np.flatnonzero(ids[:-1] == ASK)]
    assert asked.mean() < 1.0 < np.log(4)  # it does remember
    assert abs(cut.nats_per_token - long.nats_per_token) < MEAN_TOLERANCE / 10


@pytest.mark.parametrize(("lanes", "piece"), [(None, 3000), (7, 3001), (1, 2000), (500, 1601)])
def test_pieces_carry_the_state(make_model, ids, lanes, piece):
    model = forgetful_or_not(make_model, 4.0)
    part = ids[:6500]
    pieces = list(stream_pieces(model, part, lanes=lanes, piece=piece))
    assert len(pieces) > 2
    assert max(map(len, pieces)) <= piece
    nats = np.concatenate([found.nats for found in pieces])
    whole = score_stream(model, part, lanes=1).nats
    assert len(nats) == len(whole)
    assert abs(nats.mean(dtype=np.float64) - whole.mean(dtype=np.float64)) < MEAN_TOLERANCE


@pytest.mark.parametrize("length", [0, 1, 2, 3, 63, 64, 65, 66])
@pytest.mark.parametrize("lanes", [None, 1, 2, 1000])
def test_short_texts(make_model, ids, length, lanes):
    model = make_model()
    predictions = score_stream(model, ids[:length], lanes=lanes)
    assert len(predictions) == max(0, length - 1)
    np.testing.assert_allclose(predictions.nats, symbol_by_symbol(model, ids[:length]), rtol=0, atol=1e-2)


def test_reads_a_memory_map(make_model, ids, tmp_path):
    ids[:3000].astype(np.uint16).tofile(tmp_path / "ids.bin")
    mapped = np.memmap(tmp_path / "ids.bin", np.uint16, "r")
    model = make_model()
    np.testing.assert_array_equal(score_stream(model, mapped).nats, score_stream(model, ids[:3000]).nats)


def test_no_dropout(make_model, ids):
    model = make_model(dropout=0.5, dropout_recurrent=0.5, dropout_embedding=0.5)
    plain = make_model()
    plain.load_arrays(model.to_arrays())
    np.testing.assert_array_equal(score_stream(model, ids[:500]).nats, score_stream(plain, ids[:500]).nats)


def test_bfloat16_only_when_asked(make_model, ids):
    model = make_model()
    exact = symbol_by_symbol(model, ids[:500])
    rough = score_stream(model, ids[:500], dtype=torch.bfloat16).nats
    assert abs(score_stream(model, ids[:500]).nats - exact).max() < 1e-4
    assert 1e-4 < abs(rough - exact).max() < 0.5


def test_leaves_torch_as_it_was(make_model, ids):
    pieces = stream_pieces(make_model(), ids[:3000], piece=1000)
    next(pieces)
    assert torch.is_grad_enabled()
    assert not torch.is_inference_mode_enabled()


def test_tells_how_far_it_is(make_model, ids):
    done = []
    for _ in stream_pieces(make_model(), ids[:5000], lanes=3, piece=2000, advance=done.append):
        pass
    assert sum(done) == 4999
    assert len(done) > 20


def test_a_model_that_is_not_a_number_ends(make_model, ids):
    model = make_model()
    with torch.no_grad():
        model.output_bias[0] = torch.nan
    assert np.isnan(score_stream(model, ids[:5000], lanes=4).nats).all()


def test_lanes_must_be_positive(make_model, ids):
    with pytest.raises(ConfigError, match="lanes must be at least 1, was 0"):
        score_stream(make_model(), ids, lanes=0)
