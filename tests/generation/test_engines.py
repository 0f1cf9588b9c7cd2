"""The same seed writes the same text, whichever engine computes."""

from __future__ import annotations

import itertools
import random
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from charlm.config import ModelConfig, SamplingConfig, settings_of
from charlm.config.cells import GATES
from charlm.config.shapes import parameter_shapes
from charlm.errors import RunError
from charlm.generation import generate, rows
from charlm.models.torch_engine import TorchModel
from charlm.runtime import ENGINES, PRECISIONS, NumbaModel, NumpyModel, open_engine
from charlm.tokenizers import CharTokenizer

TOKENIZER = CharTokenizer("\n abcdefgh")
TRAINING_TEXT = "".join(random.Random(1).choices("\n abcdefgh", k=3000))

SETTINGS = [
    {},
    {"greedy": True},
    {"temperature": 1.0},
    {"temperature": 1e-40},
    {"temperature": 1e300, "top_k": 30},
    {"top_k": 5},
    {"top_p": 0.7},
    {"min_p": 0.2, "temperature": 1.0},
    {"temperature": 1.5, "top_k": 20, "top_p": 0.95, "min_p": 0.001, "repetition_penalty": 1.3},
    {"repetition_penalty": 0.8, "temperature": 1.0},
    {"max_copy": 2, "repetition_penalty": 1.1, "length": 40},
    {"stop": ("a", "bc"), "samples": 9},
    {"samples": 7, "length": 40},
    {"beam": 3, "samples": 2, "length": 20},
    {"length": 0},
]


def arrays_of(config: ModelConfig) -> dict[str, np.ndarray]:
    """Random weights of a lively text, in which a state forgets: a chaotic one makes much of a last digit."""
    random = np.random.default_rng(5)
    shapes = parameter_shapes(config, TOKENIZER.vocab_size)
    arrays = {name: 0.15 * random.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}
    arrays["output_weight"] *= 6
    arrays["output_bias"][: len(TOKENIZER.characters)] += 7
    return arrays


@pytest.fixture(scope="module")
def engines():
    """cell -> an engine of each kind, with the same weights."""
    made = {}
    for cell in GATES:
        config = ModelConfig(cell=cell, hidden_size=24, layers=2)
        given = (config, arrays_of(config), TOKENIZER.vocab_size)
        cpu = torch.device("cpu")
        # the compiled engine where there is a loop of the cell
        made[cell] = (NumpyModel(*given), open_engine(*given, threads=2), TorchModel(*given, device=cpu, rows=1))
    return made


def written(model, seed: int, **settings) -> list[tuple[str, str, int, float]]:
    """Text, reason, tokens and nats of each sample."""
    sampling = SamplingConfig(**{"length": 150, "prompt": "abba", **settings})
    texts: dict[int, str] = {}
    found = []
    for piece in generate(model, TOKENIZER, sampling, seed, training_text=TRAINING_TEXT):
        texts[piece.sample] = texts.get(piece.sample, "") + piece.text
        if piece.ending:
            ending = piece.ending
            found.append((texts[piece.sample], ending.reason, ending.tokens, pytest.approx(ending.nats, abs=1e-3)))
    return found


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
@pytest.mark.parametrize("cell", GATES)
def test_the_same_seed_writes_the_same_text_in_every_engine(engines, cell, settings):
    numpy, numba, torch_ = engines[cell]
    for seed in range(4):
        expected = written(numpy, seed, **settings)
        assert written(numba, seed, **settings) == expected
        if seed == 0:
            assert written(torch_, seed, **settings) == expected


@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_sample_is_the_same_whatever_runs_beside_it(precision):
    config = ModelConfig(cell="gru", hidden_size=24, layers=2)
    given = (config, arrays_of(config), TOKENIZER.vocab_size)
    settings = {"stop": ("ab",), "repetition_penalty": 1.1, "top_p": 0.9}
    together = written(NumbaModel(*given, precision=precision, threads=2), 3, samples=7, **settings)
    assert len({text for text, *_ in together}) == 7
    alone = NumbaModel(*given, precision=precision)
    for samples in (1, 2, 5):
        assert written(alone, 3, samples=samples, **settings) == together[:samples]


def test_a_text_streams_as_it_is_made_and_memory_does_not_depend_on_its_length(engines, monkeypatch):
    model = engines["lstm"][1]
    monkeypatch.setattr(rows, "time", SimpleNamespace(perf_counter=lambda: 0.0))
    pieces = generate(model, TOKENIZER, SamplingConfig(length=10**12), 1)
    # one id at once, then more and more
    assert [len(next(pieces).text) for _ in range(4)] == [1, 2, 4, 8]


def test_chunks_are_as_long_as_a_reader_waits(engines, monkeypatch):
    """However fast the engine is, and when it becomes slower."""
    model, clock, costs = engines["lstm"][1], [0.0], [1e-4, 1e-2]
    draw, took = model.draw, []

    def slow(texts, uniforms):
        took.append(costs[len(took) >= 20] * uniforms.shape[1])
        clock[0] += took[-1]
        return draw(texts, uniforms)

    monkeypatch.setattr(model, "draw", slow)
    monkeypatch.setattr(rows, "time", SimpleNamespace(perf_counter=lambda: clock[0]))
    pieces = generate(model, TOKENIZER, SamplingConfig(length=10**12), 1)
    for _ in range(40):
        next(pieces)
    settled = took[10:20] + took[30:]
    assert min(settled) >= rows.CHUNK_SECONDS / 4
    assert max(settled) <= rows.CHUNK_SECONDS


def test_what_is_written_does_not_depend_on_the_clock(engines, monkeypatch):
    """Not even the last bit of a text's nats, which are summed chunk by chunk."""
    model, found = engines["lstm"][1], []
    for tick in (0.0, 0.02, 1.0):
        ticks = itertools.count(0.0, tick)
        monkeypatch.setattr(rows, "time", SimpleNamespace(perf_counter=partial(next, ticks)))
        *_, last = generate(model, TOKENIZER, SamplingConfig(length=300), 1)
        found.append(last.ending)
    assert found[0] == found[1] == found[2]


def test_a_model_that_explodes_is_named_after_what_it_wrote():
    config = ModelConfig(cell="elman-relu", hidden_size=4, layers=1)
    arrays = {name: np.zeros_like(array) for name, array in arrays_of(config).items()}
    arrays["layers.0.recurrent_weight"] += 10 * np.eye(4, dtype=np.float32)
    arrays["layers.0.input_bias"] += 1
    arrays["output_weight"] += 1
    model = NumbaModel(config, arrays, TOKENIZER.vocab_size)
    came = []
    with pytest.raises(RunError, match="state has exploded: its output is not finite"):
        came.extend(piece.text for piece in generate(model, TOKENIZER, SamplingConfig(length=1000), 1))
    assert 10 < len("".join(came)) < 100


def test_the_settings_offer_the_engines_and_precisions_that_there_are():
    known = settings_of(SamplingConfig)
    assert set(known["engine"].choices) == {"auto", "torch", *ENGINES}
    assert set(known["precision"].choices) == {"auto", *PRECISIONS}


@pytest.mark.parametrize("settings", [{"top_k": 3}, {"top_p": 0.01}, {"greedy": True}, {"min_p": 1.0}], ids=str)
def test_among_equals_the_lower_ids_are_kept(settings):
    config = ModelConfig(cell="elman", hidden_size=4, layers=1)
    V = TOKENIZER.vocab_size
    arrays = {name: np.zeros_like(array) for name, array in arrays_of(config).items()}
    arrays["output_bias"][3:9] = 1.0
    expected, found = (
        written(engine(config, arrays, V), 2, temperature=1.0, **settings) for engine in (NumpyModel, NumbaModel)
    )
    assert found == expected
    most = {"top_k": 3, "top_p": 2, "greedy": 1, "min_p": 6}[next(iter(settings))]
    assert set(found[0][0].removeprefix("abba")) == set(TOKENIZER.decode([3, 4, 5, 6, 7, 8])[:most])
