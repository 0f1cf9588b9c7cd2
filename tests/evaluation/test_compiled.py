"""Scoring without torch: the same protocols, the same figures."""

import dataclasses
import json
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from charlm import simd
from charlm.config import Config, ModelConfig
from charlm.errors import ConfigError
from charlm.evaluation import parse_protocol, windows
from charlm.evaluation.predictions import join_predictions
from charlm.evaluation.scorers import open_scorer
from charlm.evaluation.scoring_engine import Feed
from charlm.evaluation.stream import stream_pieces
from charlm.models import LanguageModel
from charlm.runs import create_run
from charlm.runs.precision import precision_fact
from charlm.runtime import NumbaModel
from charlm.runtime.layout import CELL_NUMBERS
from charlm.runtime.quantised import HALVES
from charlm.simd import HAS_AMX
from charlm.tokenizers import CharTokenizer

V = 13
IDS = np.random.default_rng(0).integers(0, V, size=5000).astype(np.uint8)


def models(threads=1, **settings):
    """One model with torch and without."""
    reference = LanguageModel(ModelConfig(**{"hidden_size": 20, **settings}), V, torch.Generator().manual_seed(1))
    return reference, NumbaModel(reference.config, reference.to_arrays(), V, threads=threads)


def scored(model, ids, protocol):
    done = []
    pieces = parse_protocol(protocol).pieces(model, ids, device="cpu", advance=done.append)
    return join_predictions(pieces), sum(done)


@pytest.mark.parametrize("protocol", ["stream", "stream:1", "stream:7", "windows:1", "windows:100", "windows:9000"])
@pytest.mark.parametrize("length", [0, 1, 2, 65, 2500, 5000])
def test_every_protocol_scores_as_with_torch(protocol, length):
    reference, model = models(threads=2)
    (expected, _), (found, done) = (scored(one, IDS[:length], protocol) for one in (reference, model))
    assert len(found) == len(expected) == done == max(0, length - 1)
    np.testing.assert_allclose(found.nats, expected.nats, atol=1e-5)
    # where two symbols are as likely to the last digit, either may be first
    assert (found.correct != expected.correct).mean() < 0.001 if length > 1 else True


@pytest.mark.parametrize("cell", CELL_NUMBERS)
def test_every_cell_scores_as_with_torch(cell):
    reference, model = models(cell=cell, layer_norm=True, residual=True, tie_weights=True, embedding_size=9)
    (expected, _), (found, _) = (scored(one, IDS[:3000], "stream") for one in (reference, model))
    np.testing.assert_allclose(found.nats, expected.nats, atol=2e-5)
    assert found.nats_per_token == pytest.approx(expected.nats_per_token, abs=1e-6)


def test_a_long_text_in_pieces_is_one_text():
    _, model = models()
    whole = join_predictions(stream_pieces(Feed(model), IDS, 1))
    pieces = list(stream_pieces(Feed(model), IDS, 3, piece=1000))
    assert [len(piece) for piece in pieces] == [999, 999, 999, 999, 999, 4]
    np.testing.assert_allclose(join_predictions(pieces).nats, whole.nats, atol=1e-4)


@pytest.fixture
def run(tmp_path):
    tokenizer = CharTokenizer("\n abcdefgh")
    config = ModelConfig(hidden_size=20)
    arrays = LanguageModel(config, tokenizer.vocab_size, torch.Generator().manual_seed(1)).to_arrays()
    facts = {"corpus": {}, **precision_fact(1, {"exact": 2.0, "int16": 2.0, "int8": 2.1})}
    made = create_run(tmp_path / "runs" / "a", config=Config(model=config), facts=facts, tokenizer=tokenizer)
    made.save(1, weights=arrays, training={}, progress={}, best=True, keep=1)
    return made


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (("auto", None, "auto", "exact"), HALVES if HAS_AMX else "exact"),
        (("cpu", 1, "auto", "auto"), "int16"),
        (("cpu", 1, "numba", "int8"), "int8"),
        (("cpu", 1, "torch", "exact"), LanguageModel),
        (("cpu", None, "torch", "auto"), LanguageModel),
    ],
)
def test_what_scores_is_what_was_asked_for(run, settings, expected):
    scorer = open_scorer(run, run.load(), *settings)
    with scorer.in_use():
        assert scorer.model.precision == expected if isinstance(expected, str) else isinstance(scorer.model, expected)
    assert bool(scorer.notices) == (expected in ("int16", "int8"))


def test_without_matrix_tiles_float32_scores(run, monkeypatch):
    monkeypatch.setattr(simd, "HAS_AMX", False)
    assert open_scorer(run, run.load(), "cpu", 1, "numba", "exact").model.precision == "exact"


@pytest.mark.parametrize("precision", ["exact", HALVES] if HAS_AMX else ["exact"])
@pytest.mark.parametrize("cell", CELL_NUMBERS)
def test_losses_are_those_of_float64(cell, precision):
    """Of every prediction, and so of their mean; halves have 16 of float32's 24 bits."""
    reference, _ = models(cell=cell, hidden_size=50, layer_norm=True)
    model = NumbaModel(reference.config, reference.to_arrays(), V, precision=precision, threads=2)
    expected, _ = scored(reference.double(), IDS, "stream:1")
    found, _ = scored(model, IDS, "stream")
    most = 1e-4 if precision == HALVES else 1e-5
    np.testing.assert_allclose(found.nats, expected.nats, atol=most)
    assert found.nats_per_token == pytest.approx(expected.nats_per_token, abs=most / 10)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (("cpu", None, "numpy", "exact"), "no engine 'numpy': choose auto, numba, torch"),
        (("cpu", None, "nunba", "exact"), r"no engine 'nunba': .* \(did you mean numba\?\)"),
        (("cpu", None, "auto", "int4"), "no precision 'int4': choose auto, exact, int16, int8"),
        (("cuda", None, "numba", "exact"), "engine numba computes on a CPU, not on cuda"),
        (("cpu", None, "torch", "int8"), "precision must be exact with torch, was int8"),
    ],
)
def test_what_cannot_score_is_refused(run, settings, message):
    with pytest.raises(ConfigError, match=message):
        open_scorer(run, run.load(), *settings)


def test_without_numba_torch_scores(run, monkeypatch):
    monkeypatch.setitem(sys.modules, "charlm.runtime.numba_model", None)
    assert isinstance(open_scorer(run, run.load(), "cpu", None, "auto", "exact").model, LanguageModel)
    with pytest.raises(ConfigError, match=r"engine numba cannot be imported .*: take engine torch"):
        open_scorer(run, run.load(), "cpu", None, "numba", "exact")


@pytest.mark.parametrize(("engine", "precision"), [("numba", "exact"), ("auto", "int8")])
def test_what_only_torch_scores_says_so(run, engine, precision):
    attending = dataclasses.replace(run.config.model, attention_window=4)
    weights = LanguageModel(attending, V, torch.Generator().manual_seed(1)).to_arrays()
    other = SimpleNamespace(config=Config(model=attending), tokenizer=SimpleNamespace(vocab_size=V), facts={})
    with pytest.raises(ConfigError, match=r"does not compute .*: take engine torch, in precision exact"):
        open_scorer(other, SimpleNamespace(step=1, weights=weights), "cpu", None, engine, precision)


@pytest.mark.parametrize("number", [0, 1], ids=["torch", "compiled"])
def test_windows_side_by_side_are_no_more_than_a_piece(monkeypatch, number):
    """Of long windows few are held at once, and they score the same."""
    model, read = models()[number], []
    whole, _ = scored(model, IDS, "windows:100")
    monkeypatch.setattr(windows, "PIECE", 250)
    pieces = list(parse_protocol("windows:100").pieces(model, IDS, device="cpu", advance=read.append))
    assert max(read) == 200
    np.testing.assert_allclose(join_predictions(pieces).nats, whole.nats, atol=1e-5)


def test_tf32_is_off_while_torch_scores(run):
    """cuDNN's layers would take it by torch's default."""
    seen = []
    scorer = open_scorer(run, run.load(), "cpu", None, "torch", "exact")
    scorer.model.register_forward_hook(lambda *call: seen.append(torch.backends.cudnn.allow_tf32))
    scored(scorer.model, IDS[:50], "stream")
    with scorer.in_use():
        scorer.model(torch.zeros((1, 2), dtype=torch.int64), None)
    assert set(seen) == {False}
    assert torch.backends.cudnn.allow_tf32


def test_eval_of_a_text_on_a_cpu_never_loads_torch(run, tmp_path):
    text = tmp_path / "text.txt"
    text.write_text("abba cab\n" * 50)
    program = (
        "import sys; from charlm.cli.entry import run; "
        f"code = run(['eval', {str(text)!r}, '--run', {str(run.folder)!r}, '--device', 'auto', '--json']); "
        "print('torch' in sys.modules, code)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, text=True)
    record, last = done.stdout.splitlines()
    assert json.loads(record)["tokens"] == 449
    assert last == "False 0"
