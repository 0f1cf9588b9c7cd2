"""The engine for GPUs, on a CPU: the NumPy engine's numbers, its rows on their own, its draws."""

import math

import numpy as np
import pytest
import torch

from charlm.config import ModelConfig, SamplingConfig, TokenizerConfig
from charlm.errors import ConfigError, RunError
from charlm.generation import generate
from charlm.generation.sampler import invert
from charlm.generation.transforms import rules_of, transforms_of
from charlm.models import CELLS, LanguageModel
from charlm.models.device_draws import LONGEST_BLOCK, draw
from charlm.models.torch_engine import TorchModel
from charlm.runtime import RECENT, NumpyModel, select
from charlm.tokenizers import train_tokenizer

V = 23
CPU = torch.device("cpu")
IDS = np.random.default_rng(0).integers(0, V, size=300)
OPTIONS = [
    {},
    {"layer_norm": True, "residual": True, "layers": 3},
    {"embedding_size": 7, "tie_weights": True},
    {"embedding_size": 33, "residual": True},
    {"attention_window": 7},
    {"attention_window": 7, "ngram_embedding_size": 9, "ngram_rows": 40},
]
SETTINGS = [
    {},
    {"temperature": 0.7},
    {"temperature": 1e-300},
    {"temperature": 0},
    {"top_k": 4},
    {"top_k": 4, "temperature": 0},
    {"top_k": 10**6},
    {"top_p": 0.6},
    {"min_p": 0.2},
    {"repetition_penalty": 1.4},
    {"repetition_penalty": 1.3, "temperature": 0.8, "top_k": 7, "top_p": 0.9, "min_p": 0.02},
]


def engines(rows=8, V=V, **settings):
    """One model in both engines, its weights neither zero nor one."""
    config = ModelConfig(**{"hidden_size": 20, **settings})
    model = LanguageModel(config, V)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter += 0.1 * torch.randn(parameter.shape, generator=generator)
            parameter *= 0.5 if name.endswith("recurrent_weight") else 1.0
    arrays = model.to_arrays()
    return NumpyModel(config, arrays, V), TorchModel(config, arrays, V, device=CPU, rows=rows)


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_equals_the_numpy_engine(cell, options):
    reference, engine = engines(cell=cell, **options)
    state, expected_state = engine.initial_state(5), reference.initial_state(5)
    for ids in IDS[:100].reshape(20, 5):
        logits, state = engine.step(ids, state)
        expected, expected_state = reference.step(ids, expected_state)
        np.testing.assert_allclose(logits, expected, atol=1e-5, rtol=1e-5)
    assert logits.dtype == np.float32
    logits, state = engine.prime(IDS[:130], 3)
    expected, expected_state = reference.prime(IDS[:130], 3)
    np.testing.assert_allclose(logits, expected, atol=1e-5, rtol=1e-5)
    for layer, expected_layer in zip(state, expected_state, strict=True):
        for part, expected_part in zip(layer, expected_layer, strict=True):
            np.testing.assert_allclose(part.numpy(), expected_part, atol=1e-5, rtol=1e-5)


def test_rows_do_not_depend_on_their_number_and_states_are_values():
    _, engine = engines(rows=4)
    many, after = engine.step(IDS[:11], engine.initial_state(11))
    kept = [[part.clone() for part in layer] for layer in after]
    one, _ = engine.step(IDS[9:10], engine.initial_state(1))
    np.testing.assert_array_equal(one[0], many[9])
    np.testing.assert_array_equal(
        engine.step(IDS[20:22], select(after, [9, 2]))[0][1], engine.step(IDS[21:22], select(after, [2]))[0][0]
    )
    assert all(
        torch.equal(a, b) for left, right in zip(after, kept, strict=True) for a, b in zip(left, right, strict=True)
    )


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_texts_drawn_on_the_device_are_those_drawn_by_the_host(monkeypatch, settings):
    """Longer than a block of draws and than a ring, of more rows than are computed at once, and ending apart."""
    tokenizer = train_tokenizer(TokenizerConfig(tokenizer="char"), ["abcdefgh \n"])
    reference, engine = engines(rows=3, V=tokenizer.vocab_size)
    monkeypatch.setattr(engine, "step", lambda ids, state: pytest.fail("it went through the host"))
    length = RECENT + 70 if "repetition_penalty" in settings else LONGEST_BLOCK + 9
    sampling = SamplingConfig(samples=5, length=length, prompt="abc", stop=("dh",), **settings)
    found = []
    for model in (reference, engine):
        texts, endings = [""] * 5, {}
        for piece in generate(model, tokenizer, sampling, seed=3):
            texts[piece.sample] += piece.text
            endings[piece.sample] = piece.ending or endings.get(piece.sample)
        found.append((texts, [ending.nats for ending in endings.values()]))
    assert found[0][0] == found[1][0]
    assert found[1][1] == pytest.approx(found[0][1], rel=1e-5)


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_a_draw_on_the_device_is_that_of_the_host_among_equals_too(settings):
    generator = np.random.default_rng(7)
    logits = generator.standard_normal((200, V)).round(1).astype(np.float32) * 3
    logits[:20] = 0
    logits[20:40, ::2] = -np.inf
    uniforms = generator.random(200)
    uniforms[:40:2], uniforms[1:40:2] = 1 - 2**-53, 0.0
    seen = generator.integers(0, V, size=(200, 5))
    transforms = transforms_of(SamplingConfig(**settings))
    expected = []
    for row, uniform, recent in zip(logits, uniforms, seen.tolist(), strict=True):
        changed = row.astype(np.float64)
        for transform in transforms:
            changed = transform(changed, recent)
        expected.append(invert(changed, uniform))
    marks = torch.zeros((200, V), dtype=torch.bool).scatter_(1, torch.from_numpy(seen), True)
    rules = tuple(rules_of(transforms).tolist())
    ids, nats = draw(torch.from_numpy(logits), rules, marks if rules[0] != 1 else None, torch.from_numpy(uniforms))
    assert ids.tolist() == expected
    own = torch.from_numpy(logits).double().log_softmax(1)
    np.testing.assert_allclose(nats, -own.gather(1, ids[:, None])[:, 0], rtol=1e-12)


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
@pytest.mark.parametrize("broken", [math.nan, math.inf])
def test_what_explodes_is_told_and_draws_no_id_that_there_is_not(settings, broken):
    tokenizer = train_tokenizer(TokenizerConfig(tokenizer="char"), ["abcdefgh \n"])
    _, engine = engines(V=tokenizer.vocab_size)
    engine._model.output_bias[2] = broken
    with pytest.raises(RunError, match="exploded"):
        list(generate(engine, tokenizer, SamplingConfig(length=9, **settings), seed=3))


def test_reading_is_stepping():
    reference, engine = engines()
    assert all(not part.any() for layer in engine.read(IDS[:0]) for part in layer)
    engine.read(IDS[:50])
    _, expected = reference.prime(IDS[:9])
    for layer, expected_layer in zip(engine.read(IDS[:9]), expected, strict=True):
        for part, expected_part in zip(layer, expected_layer, strict=True):
            np.testing.assert_allclose(part.numpy(), expected_part, atol=1e-5)


def test_what_does_not_fit_is_refused():
    _, engine = engines(rows=2)
    with pytest.raises(RunError, match="at least one symbol"):
        engine.prime(IDS[:0])
    with pytest.raises(RunError, match="do not fit a vocabulary of 23"):
        engine.prime(np.array([V]))
    with pytest.raises(RunError, match="do not fit a vocabulary of 23"):
        engine.read(np.array([-1]))
    with pytest.raises(ConfigError, match="rows must be a whole number"):
        engines(rows=0)
