"""The stream protocol against a loop over symbols, against torch's own layers, and against itself."""

import numpy as np
import pytest
import torch
from torch import nn

from charlm.errors import ConfigError
from charlm.evaluation import score_stream, torch_scoring
from charlm.evaluation.agreement import BLOCK_LENGTH, SHORTEST_LANE
from charlm.evaluation.predictions import join_predictions
from charlm.evaluation.scoring_engine import Feed
from charlm.evaluation.stream import stream_pieces
from charlm.evaluation.windows import score_windows
from charlm.models.cells import CELLS

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


@pytest.mark.parametrize("beside", [{"attention_window": 5}, {"attention_window": 300}, {"ngram_embedding_size": 6}])
def test_what_stands_beside_the_layers_is_carried_like_their_state(make_model, ids, beside):
    model = make_model(hidden_size=12, layers=1, **beside)
    with torch.no_grad():
        # they begin at zero
        if "attention_window" in beside:
            model.attention_output.copy_(torch.eye(12))
        else:
            model.ngram_embedding.normal_(generator=torch.Generator().manual_seed(1))
    part = ids[: 2 * SHORTEST_LANE + 100]
    expected = symbol_by_symbol(model, part)
    np.testing.assert_allclose(score_stream(model, part, lanes=1).nats, expected, rtol=1e-5, atol=2e-5)
    pieces = join_predictions(stream_pieces(Feed.of(model), part, lanes=1, piece=SHORTEST_LANE))
    np.testing.assert_allclose(pieces.nats, expected, rtol=1e-5, atol=2e-5)
    assert abs(score_stream(model, part).nats_per_token - expected.mean()) < MEAN_TOLERANCE
    cold = np.concatenate([symbol_by_symbol(model, part[at : at + 33]) for at in (0, 32, 64)])
    np.testing.assert_allclose(score_windows(model, part[:97], 32).nats, cold, rtol=1e-5, atol=2e-5)


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


@pytest.mark.parametrize(("lanes", "piece"), [(None, 3000), (7, 3001), (1, 2000), (500, 1601)])
def test_pieces_carry_the_state(make_model, ids, lanes, piece):
    model = make_model(layers=1)
    with torch.no_grad():
        model.layers[0].input_bias[16:32] = 4
    part = ids[:6500]
    pieces = list(stream_pieces(Feed.of(model), part, lanes=lanes, piece=piece))
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
    rough = score_stream(model, ids[:500], rough=True).nats
    assert abs(score_stream(model, ids[:500]).nats - exact).max() < 1e-4
    assert 1e-4 < abs(rough - exact).max() < 0.5


class Watched:
    """A model, and how many symbols it was shown at a time."""

    def __init__(self, model):
        self.model, self.vocab_size, self.initial_state, self.seen = model, model.vocab_size, model.initial_state, []

    def __call__(self, ids, state):
        self.seen.append(ids.numel())
        return self.model(ids, state)


def test_of_a_large_vocabulary_few_logits_are_held_at_once(make_model, ids, monkeypatch):
    watched = Watched(make_model())
    whole = score_stream(watched, ids[:700], lanes=4).nats
    assert max(watched.seen) == 4 * BLOCK_LENGTH
    watched.seen.clear()
    monkeypatch.setattr(torch_scoring, "LARGEST_LOGITS", 40 * watched.vocab_size)
    np.testing.assert_allclose(score_stream(watched, ids[:700], lanes=4).nats, whole, atol=1e-5)
    assert max(watched.seen) == 40


def test_leaves_torch_as_it_was(make_model, ids):
    pieces = stream_pieces(Feed.of(make_model()), ids[:3000], piece=1000)
    next(pieces)
    assert torch.is_grad_enabled()
    assert not torch.is_inference_mode_enabled()


def test_tells_how_far_it_is(make_model, ids):
    done = []
    for _ in stream_pieces(Feed.of(make_model()), ids[:5000], lanes=3, piece=2000, advance=done.append):
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
