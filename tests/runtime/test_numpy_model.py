"""The NumPy engine: equal to the model that was trained, row by row exact, and picky about weights."""

from __future__ import annotations

import itertools
import subprocess
import sys
import tracemalloc
import warnings

import numpy as np
import pytest
import torch

import charlm.runtime.numpy_model as numpy_model
from charlm.config import ModelConfig
from charlm.config.shapes import GATES
from charlm.errors import RunError, UnknownNameError
from charlm.models import LanguageModel
from charlm.runtime import NumpyModel, select
from charlm.runtime.cells import CELLS

V = 23
IDS = np.random.default_rng(0).integers(0, V, size=300)


def models(**settings) -> tuple[LanguageModel, NumpyModel]:
    """One model twice: with torch and without. All weights differ from zero and from one."""
    config = ModelConfig(**{"hidden_size": 20, **settings})
    reference = LanguageModel(config, V)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, parameter in reference.named_parameters():
            parameter += 0.1 * torch.randn(parameter.shape, generator=generator)
            if name.endswith("recurrent_weight"):
                parameter *= 0.5  # else a relu recurrence grows without bound, and rounding errors with it
    return reference, NumpyModel(config, reference.to_arrays(), V)


def stepped(model: NumpyModel, ids: np.ndarray, state) -> tuple[np.ndarray, object]:
    """ids: (N, T) -> logits: (N, T, V), state after"""
    logits = []
    for column in ids.T:
        line, state = model.step(column, state)
        logits.append(line)
    return np.stack(logits, axis=1), state


def assert_equal_states(left, right) -> None:
    for ours, theirs in zip(itertools.chain(*left), itertools.chain(*right), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_the_tables_agree():
    assert {name: cell.gates for name, cell in CELLS.items()} == GATES


OPTIONS = [
    {},
    {"layer_norm": True},
    {"residual": True},
    {"layer_norm": True, "residual": True, "layers": 3},
    {"embedding_size": 7},
    {"embedding_size": 33, "residual": True},
    {"tie_weights": True},
    {"tie_weights": True, "embedding_size": 7, "layer_norm": True, "residual": True},
    {"layers": 1, "hidden_size": 1},
    {"layers": 1, "hidden_size": 130},
    {"attention_window": 7},
    {"ngram_embedding_size": 9, "ngram_rows": 40},
    {"ngram_embedding_size": 9, "ngram_order": 2, "ngram_rows": 40, "attention_window": 7, "layer_norm": True},
]
MOGRIFIERS = [{"mogrifier_rounds": 1}, {"mogrifier_rounds": 4, "mogrifier_rank": 3, "embedding_size": 7}]


@pytest.mark.parametrize(
    ("cell", "options"),
    [*itertools.product(CELLS, OPTIONS), *(("mogrifier-lstm", options) for options in MOGRIFIERS)],
    ids=str,
)
def test_logits_and_states_equal_the_trained_model(cell, options):
    reference, model = models(cell=cell, **options)
    ids = IDS[:120].reshape(3, 40)
    with torch.no_grad():
        expected, expected_state = reference(torch.from_numpy(ids), None)
    logits, state = stepped(model, ids, model.initial_state(3))
    np.testing.assert_allclose(logits, expected.numpy(), atol=1e-5, rtol=1e-5)
    for ours, theirs in zip(itertools.chain(*state), itertools.chain(*expected_state), strict=True):
        np.testing.assert_allclose(ours, theirs.numpy(), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"layer_norm": True, "residual": True},
        {"hidden_size": 130},
        {"hidden_size": 130, "attention_window": 90, "ngram_embedding_size": 9},
    ],
    ids=str,
)
def test_a_row_is_the_same_bits_whatever_is_beside_it(cell, options):
    _, model = models(cell=cell, **options)
    ids = IDS[:280].reshape(7, 40)
    together, state = stepped(model, ids, model.initial_state(7))
    for rows in ([0], [3], [6], [1, 2], [6, 0, 5], [0, 1, 2, 3, 4]):
        alone, state_alone = stepped(model, ids[rows], model.initial_state(len(rows)))
        np.testing.assert_array_equal(alone, together[rows])
        assert_equal_states(state_alone, select(state, rows))


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("length", [1, 2, numpy_model.WINDOW, numpy_model.WINDOW + 1])
def test_priming_is_stepping(cell, length):
    _, model = models(cell=cell, residual=True, layer_norm=True, attention_window=5, ngram_embedding_size=9)
    stepwise, state = stepped(model, IDS[None, :length], model.initial_state(1))
    logits, primed = model.prime(IDS[:length], 3)
    np.testing.assert_array_equal(logits, np.repeat(stepwise[:, -1], 3, axis=0))
    assert_equal_states(primed, select(state, [0, 0, 0]))


def test_a_long_prompt_is_read_in_flat_memory():
    _, model = models(layers=1)
    long = np.tile(IDS, 40)
    tracemalloc.start()
    try:
        peaks = []
        for ids in (long[:1000], long):
            tracemalloc.reset_peak()
            model.prime(ids)
            peaks.append(tracemalloc.get_traced_memory()[1])
    finally:
        tracemalloc.stop()
    assert peaks[1] < peaks[0] + 10_000


def test_a_table_too_large_to_keep_is_computed_instead_with_the_same_bits(monkeypatch):
    _, kept = models(cell="gru", layer_norm=True)
    monkeypatch.setattr(numpy_model, "LARGEST_TABLE", 1)
    _, computed = models(cell="gru", layer_norm=True)
    assert kept._table is not None
    assert computed._table is None
    for ours, theirs in zip(kept.prime(IDS), computed.prime(IDS), strict=True):
        if isinstance(ours, np.ndarray):
            np.testing.assert_array_equal(ours, theirs)
        else:
            assert_equal_states(ours, theirs)


def test_weights_are_copied():
    reference, _ = models(residual=True, layer_norm=True)
    arrays = reference.to_arrays()
    model = NumpyModel(reference.config, arrays, V)
    before, _ = model.prime(IDS)
    for array in arrays.values():
        array[:] = 0
    np.testing.assert_array_equal(model.prime(IDS)[0], before)


def test_select_copies_rows_in_the_order_asked_for():
    state = ((np.arange(6.0, dtype=np.float32).reshape(3, 2),),)
    chosen = select(state, [2, 0, 2])
    np.testing.assert_array_equal(chosen[0][0], [[4, 5], [0, 1], [4, 5]])
    chosen[0][0][:] = 9
    assert state[0][0].max() == 5


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("scale", [1e4, 1e30])
def test_huge_weights_overflow_without_a_warning(cell, scale):
    reference, _ = models(cell=cell)
    arrays = {name: array * np.float32(scale) for name, array in reference.to_arrays().items()}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = NumpyModel(reference.config, arrays, V)
        logits, state = model.prime(IDS[:50])
        model.step(IDS[:1], state)
    if cell != "elman-relu" and scale < 1e30:
        assert np.isfinite(logits).all()


def damaged(**changes) -> dict[str, np.ndarray]:
    arrays = models()[0].to_arrays()
    for name, value in changes.items():
        if value is None:
            del arrays[name.replace("__", ".")]
        else:
            arrays[name.replace("__", ".")] = value
    return arrays


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        (damaged(output_bias=None), "tensor 'output_bias' is missing"),
        (damaged(extra=np.zeros(3, np.float32)), "tensor 'extra' is none of this model's"),
        (damaged(output_bias=np.zeros(4, np.float32)), r"'output_bias' has shape \(4,\), must be \(23,\)"),
        (damaged(output_bias=np.zeros(V, np.int64)), "'output_bias' holds int64, must hold floating-point"),
        (damaged(output_bias=np.full(V, np.nan, np.float32)), "'output_bias' holds a number that is not finite"),
        (damaged(output_bias=np.full(V, 1e300)), "'output_bias' holds a number that is not finite"),
    ],
)
def test_wrong_weights_are_refused_by_name(arrays, message):
    with pytest.raises(RunError, match=message):
        NumpyModel(ModelConfig(hidden_size=20), arrays, V)


def test_an_unknown_cell_is_named_with_a_suggestion():
    with pytest.raises(UnknownNameError, match=r"did you mean lstm\?"):
        NumpyModel(ModelConfig(cell="lsmt"), {}, V)


@pytest.mark.parametrize(
    ("ids", "message"),
    [([], "at least one symbol"), ([0, V], "do not fit a vocabulary of 23"), ([-1, 3], "ids from -1 to 3")],
)
def test_ids_that_cannot_be_read_are_refused(ids, message):
    with pytest.raises(RunError, match=message):
        models()[1].prime(np.array(ids, dtype=np.int64))


PROGRAM = """
import sys
import numpy as np
import charlm.runtime, charlm.generation
from charlm.config import ModelConfig, SamplingConfig
from charlm.config.shapes import parameter_shapes
from charlm.generation import generate
from charlm.tokenizers import ByteTokenizer

config, random = ModelConfig(hidden_size=8), np.random.default_rng(0)
arrays = {name: random.standard_normal(shape).astype("f4") for name, shape in parameter_shapes(config, 256).items()}
model = charlm.runtime.NumpyModel(config, arrays, 256)
pieces = list(generate(model, ByteTokenizer(), SamplingConfig(length=20, prompt="a"), 1))
assert pieces[-1].ending.characters == 20
print(*sorted({"torch", "sentencepiece", "click", "rich"} & set(sys.modules)))
"""


def test_generation_never_loads_torch():
    run = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, check=True)
    assert run.stdout.split() == []
