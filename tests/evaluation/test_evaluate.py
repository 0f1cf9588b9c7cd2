"""The whole evaluation: from ids to the figures that are printed."""

import json
import math

import numpy as np
import pytest
import torch

from charlm.cli.evaluation_facts import evaluation_facts
from charlm.config import ModelConfig, TokenizerConfig
from charlm.evaluation import BASELINES, PROTOCOLS, baseline_scores, evaluate, parse_protocol, score_stream
from charlm.models import LanguageModel
from charlm.tokenizers import train_tokenizer

KEYS = [
    "nats_per_character",
    "perplexity",
    "bits_per_character",
    "bits_per_byte",
    "accuracy",
    "tokens",
    "characters",
    "bytes",
    "interval",
    "protocol",
    "text",
    "split",
    "run",
    "checkpoint",
    "baselines",
    "additions",
]


@pytest.fixture
def model(make_model):
    return make_model()


def test_the_figures_are_those_of_the_losses(model, tokenizer, text):
    sample = text[:6000] + "naïve 🙂"
    ids = tokenizer.encode(sample)
    known = baseline_scores(ids[:5000], ids, tokenizer)
    found = evaluate(model, tokenizer, ids, split="test", run="r", checkpoint="step-00000012", baselines=known)
    losses = score_stream(model, ids).nats.astype(np.float64)
    assert len(ids) > len(sample)  # ï and 🙂 are written as bytes
    record = found.to_json()
    assert list(record) == KEYS
    assert json.loads(json.dumps(record, allow_nan=False)) == record
    expected = {
        "nats_per_character": losses.sum() / (len(sample) - 1),
        "perplexity": math.exp(losses.mean()),
        "bits_per_character": losses.sum() / math.log(2) / (len(sample) - 1),
        "bits_per_byte": losses.sum() / math.log(2) / (len(sample.encode()) - 1),
        "tokens": len(ids) - 1,
        "characters": len(sample) - 1,
        "bytes": len(sample.encode()) - 1,
    }
    for key, value in expected.items():
        assert record[key] == pytest.approx(value, rel=1e-6), key
    assert record["interval"][0] < record["nats_per_character"] < record["interval"][1]
    assert (record["protocol"], record["split"]) == ("stream", "test")
    assert (record["run"], record["checkpoint"]) == ("r", "step-00000012")
    assert list(record["baselines"]) == list(BASELINES)


def test_perplexity_is_that_of_an_independent_model_in_float64(tokenizer, ids):
    """The same network written with torch's own layers, one window over the whole text."""
    config = ModelConfig(cell="gru", hidden_size=12, layers=1, dropout=0.0)
    model = LanguageModel(config, tokenizer.vocab_size, torch.Generator().manual_seed(2))
    arrays = {name: torch.from_numpy(array).double() for name, array in model.to_arrays().items()}
    gru = torch.nn.GRU(12, 12, batch_first=True, dtype=torch.float64)
    theirs = {
        "weight_ih": "input_weight",
        "weight_hh": "recurrent_weight",
        "bias_ih": "input_bias",
        "bias_hh": "recurrent_bias",
    }
    gru.load_state_dict({f"{name}_l0": arrays[f"layers.0.{ours}"] for name, ours in theirs.items()})
    text = torch.from_numpy(ids[:6000].astype(np.int64))
    with torch.no_grad():
        hidden, _ = gru(arrays["embedding"][text[None, :-1]])
        logits = hidden[0] @ arrays["output_weight"].T + arrays["output_bias"]
        expected = torch.nn.functional.cross_entropy(logits, text[1:]).exp().item()
        right = (logits.argmax(-1) == text[1:]).double().mean().item()
    for protocol in ("stream", "stream:1", "windows:10000"):
        found = evaluate(model, tokenizer, ids[:6000], split="all", protocol=parse_protocol(protocol))
        assert found.score.perplexity == pytest.approx(expected, rel=1e-5)
        assert found.accuracy == pytest.approx(right, abs=1e-3)


def test_of_a_text_on_disk_no_more_than_a_piece_is_kept(model, tokenizer, ids, monkeypatch):
    given_back, seen = [], []
    monkeypatch.setitem(evaluate.__globals__, "give_back", given_back.append)
    protocol = parse_protocol("windows:10")  # 64 windows in a piece
    evaluate(
        model, tokenizer, ids[:2000], split="all", protocol=protocol, advance=lambda n: seen.append(len(given_back))
    )
    assert seen == list(range(1, len(seen) + 1))
    assert len(seen) > 3


@pytest.mark.parametrize("name", ["stream", "windows:100"])
@pytest.mark.parametrize("length", [0, 1])
def test_nothing_to_predict(model, tokenizer, ids, length, name):
    known = baseline_scores(ids, ids[:length], tokenizer)
    record = evaluate(
        model, tokenizer, ids[:length], split="test", protocol=parse_protocol(name), baselines=known
    ).to_json()
    assert record["tokens"] == record["characters"] == record["bytes"] == 0
    for key in ("nats_per_character", "perplexity", "bits_per_character", "bits_per_byte", "accuracy", "interval"):
        assert record[key] is None
    assert record["baselines"] == dict.fromkeys(BASELINES)
    assert record["note"].startswith("0 predictions")
    assert list(record) == [*KEYS, "note"]


def test_bytes_of_which_none_begins_a_character_say_why_there_are_no_figures(model, tokenizer):
    ids = tokenizer.encode("\udc80\udc81\udc80\udc81\udc80")
    found = evaluate(model, tokenizer, ids, split="all")
    assert found.to_json()["nats_per_character"] is None
    assert found.to_json()["bits_per_byte"] > 0
    assert found.note == "no character begins in what is predicted: it has figures by bytes and symbols alone"
    facts = dict(evaluation_facts(found, "char"))
    assert facts["perplexity"].endswith(" per token (char)")


@pytest.mark.parametrize("broken", [torch.nan, torch.inf])
def test_what_is_not_finite_is_null(model, tokenizer, ids, broken):
    with torch.no_grad():
        model.output_bias[0] = broken
    record = evaluate(model, tokenizer, ids[:4000], split="test").to_json()
    json.dumps(record, allow_nan=False)
    assert record["perplexity"] is None
    assert record["interval"] is None
    assert record["tokens"] == 3999
    assert "no finite numbers" in record["note"]


def test_perplexity_too_large_for_a_number_is_null(model, tokenizer, ids):
    with torch.no_grad():
        model.output_weight.zero_()
        model.output_bias.zero_()[-1] = 1e4  # sure of a byte that never comes
    record = evaluate(model, tokenizer, ids[:100], split="test").to_json()
    assert record["nats_per_character"] == pytest.approx(1e4)
    assert record["perplexity"] is None
    assert record["note"] == "the perplexity is too large for a number"


def test_baselines_known_already_are_taken(model, tokenizer, ids):
    known = baseline_scores(ids[:1000], ids[1000:2000], tokenizer, ["unigram"])
    found = evaluate(model, tokenizer, ids[1000:2000], split="test", baselines=known)
    assert found.baselines == known
    assert evaluate(model, tokenizer, ids[1000:2000], split="test").baselines == {}


def test_tokens_that_are_not_characters(text):
    """Per token for the perplexity, per character beside it, whatever the tokenizer."""
    sample = text[:3000] + "東京" * 50
    tokenizer = train_tokenizer(TokenizerConfig(tokenizer="byte"), [sample])
    ids = tokenizer.encode(sample)
    config = ModelConfig(hidden_size=8, layers=1, dropout=0.0)
    score = evaluate(LanguageModel(config, tokenizer.vocab_size), tokenizer, ids, split="all").score
    assert score.tokens == score.bytes == len(sample.encode()) - 1
    assert score.characters == len(sample) - 1 < score.tokens
    assert score.perplexity_per_character == pytest.approx(math.exp(score.total_nats / score.characters))


def test_every_protocol_is_named_in_the_record(model, tokenizer, ids):
    for name in ("stream", "windows:7"):
        assert name.partition(":")[0] in PROTOCOLS
        found = evaluate(model, tokenizer, ids[:500], split="test", protocol=parse_protocol(name))
        assert found.to_json()["protocol"] == name
        assert found.score.tokens == 499
