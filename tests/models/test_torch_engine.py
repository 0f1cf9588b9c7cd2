"""The engine for GPUs, on a CPU: the NumPy engine's numbers, its rows on their own, its draws."""

import numpy as np
import pytest
import torch

from charlm.config import ModelConfig, SamplingConfig, TokenizerConfig
from charlm.errors import ConfigError, RunError
from charlm.generation import generate
from charlm.generation.sampler import invert
from charlm.models import CELLS, LanguageModel
from charlm.models.torch_engine import LONGEST_BLOCK, TorchModel
from charlm.runtime import NumpyModel, select
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
    logits, state = engine.prime(IDS, 3)
    expected, expected_state = reference.prime(IDS, 3)
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


def test_writing_on_the_device_is_drawing_step_by_step():
    reference, engine = engines()
    uniforms = np.random.default_rng(5).random((LONGEST_BLOCK + 9, 6))
    uniforms[3, :2] = 1 - 2**-53, 0.0
    logits, state = engine.prime(IDS[:10], 6)
    written, after = engine.write(IDS[:6], state, uniforms, temperature=0.7)
    _, expected_state = reference.prime(IDS[:10], 6)
    ids = IDS[:6]
    for row, drawn in zip(uniforms, written, strict=True):
        logits, expected_state = reference.step(ids, expected_state)
        ids = np.array([invert(line.astype(np.float64) / 0.7, u) for line, u in zip(logits, row, strict=True)])
        np.testing.assert_array_equal(drawn, ids)
    np.testing.assert_allclose(after[0][0].numpy(), expected_state[0][0], atol=1e-5)


def test_the_generator_takes_it_for_an_engine():
    tokenizer = train_tokenizer(TokenizerConfig(tokenizer="char"), ["abcdefgh \n"])
    reference, engine = engines(V=tokenizer.vocab_size)
    sampling = SamplingConfig(samples=5, length=40, prompt="abc", temperature=0.8, stop=("d",))
    texts = []
    for model in (reference, engine):
        found = [""] * 5
        for piece in generate(model, tokenizer, sampling, seed=3):
            found[piece.sample] += piece.text
        texts.append(found)
    assert texts[0] == texts[1]
    assert len(set(map(len, texts[0]))) > 1


def test_what_does_not_fit_is_refused():
    _, engine = engines(rows=2)
    with pytest.raises(RunError, match="at least one symbol"):
        engine.prime(IDS[:0])
    with pytest.raises(RunError, match="do not fit a vocabulary of 23"):
        engine.prime(np.array([V]))
    with pytest.raises(ConfigError, match="rows must be at most 2"):
        engine.write(IDS[:3], engine.initial_state(3), np.zeros((1, 3)))
    with pytest.raises(ConfigError, match="rows must be a whole number"):
        engines(rows=0)
