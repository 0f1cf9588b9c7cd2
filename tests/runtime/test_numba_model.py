"""The compiled engine: the NumPy engine's numbers, row by row exact, in every precision."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from charlm.config import ModelConfig
from charlm.config.cells import GATES
from charlm.config.shapes import parameter_shapes
from charlm.errors import RunError
from charlm.runtime import PRECISIONS, NumbaModel, NumpyModel, select
from charlm.runtime import layout as layout_module
from charlm.runtime.layout import CELL_NUMBERS, LAYER, PLANES, WIDTHS
from charlm.runtime.quantised import HALVES
from charlm.simd import HAS_AMX

V = 23
IDS = np.random.default_rng(0).integers(0, V, size=300)

OPTIONS = [
    {},
    {"layers": 1, "hidden_size": 1},
    {"layers": 1, "hidden_size": 130},
    {"layers": 3, "hidden_size": 48},
    {"layers": 4, "hidden_size": 16},
    {"layer_norm": True},
    {"residual": True},
    {"layer_norm": True, "residual": True, "layers": 3},
    {"embedding_size": 7},
    {"embedding_size": 33, "residual": True},
    {"tie_weights": True},
    {"tie_weights": True, "embedding_size": 7, "layer_norm": True, "residual": True},
    {"ngram_embedding_size": 9, "ngram_rows": 40},
    {"ngram_embedding_size": 35, "ngram_rows": 1, "ngram_order": 2, "tie_weights": True, "embedding_size": 7},
    {"ngram_embedding_size": 16, "ngram_rows": 40, "ngram_order": 20, "layers": 1, "layer_norm": True},
    {"ngram_embedding_size": 9, "ngram_rows": 40, "embedding_size": 11, "residual": True},
]
# how far logits may be from those of float32
TOLERANCES = {"exact": 2e-5, HALVES: 2e-4, "int16": 3e-3, "int8": 0.15}
EVERY_PRECISION = (*PRECISIONS, HALVES) if HAS_AMX else PRECISIONS


def arrays_of(config: ModelConfig) -> dict[str, np.ndarray]:
    """Weights of a usual size: none is zero or one, and no recurrence grows without bound."""
    random = np.random.default_rng(3)
    shapes = parameter_shapes(config, V)
    return {
        name: (random.standard_normal(shape) / np.sqrt(2 * shape[-1])).astype(np.float32)
        for name, shape in shapes.items()
    }


def models(precision="exact", threads=1, **settings) -> tuple[NumpyModel, NumbaModel]:
    """One model in both engines."""
    config = ModelConfig(**{"hidden_size": 20, **settings})
    arrays = arrays_of(config)
    return NumpyModel(config, arrays, V), NumbaModel(config, arrays, V, precision=precision, threads=threads)


def stepped(model, ids: np.ndarray, state) -> tuple[np.ndarray, object]:
    """ids: (N, T) -> logits: (N, T, V), state after"""
    logits = []
    for column in ids.T:
        line, state = model.step(column, state)
        logits.append(line)
    return np.stack(logits, axis=1), state


def nats_of(logits: np.ndarray, ids: np.ndarray) -> np.ndarray:
    """logits: (N, T, V), ids: (N, T) -> (N, T), in float64"""
    wide = logits.astype(np.float64)
    return np.log(np.exp(wide).sum(-1)) - np.take_along_axis(wide, ids[..., None], -1)[..., 0]


def assert_equal_states(left, right) -> None:
    for ours, theirs in zip(itertools.chain(*left), itertools.chain(*right), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_the_tables_agree():
    assert set(CELL_NUMBERS) == set(PLANES)
    for cell in CELL_NUMBERS:
        assert set(PLANES[cell]) == set(range(GATES[cell]))


@pytest.mark.parametrize("precision", EVERY_PRECISION)
@pytest.mark.parametrize("cell", CELL_NUMBERS)
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_logits_are_those_of_the_numpy_engine(cell, options, precision):
    reference, model = models(precision, cell=cell, **options)
    ids = IDS[:280].reshape(7, 40)
    expected, _ = stepped(reference, ids, reference.initial_state(7))
    logits, after = stepped(model, ids, model.initial_state(7))
    np.testing.assert_allclose(logits, expected, atol=TOLERANCES[precision], rtol=1e-5)
    # in one call, in which every other step has another order
    weighed, state = model.score(np.c_[ids, ids[:, :1]], model.initial_state(7))
    assert_equal_states(state, after)
    np.testing.assert_allclose(weighed.nats[:, :-1], nats_of(logits[:, :-1], ids[:, 1:]), atol=2e-6)


@pytest.mark.parametrize("precision", EVERY_PRECISION)
@pytest.mark.parametrize("cell", CELL_NUMBERS)
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"layer_norm": True, "residual": True},
        {"hidden_size": 130},
        {"ngram_embedding_size": 9},
        {"hidden_size": 12, "embedding_size": 7, "ngram_embedding_size": 5, "layer_norm": True},
    ],
    ids=str,
)
def test_a_row_is_the_same_bits_whatever_is_beside_it(cell, options, precision):
    _, model = models(precision, threads=2, cell=cell, **options)
    ids = IDS[:280].reshape(7, 40)
    together, state = stepped(model, ids, model.initial_state(7))
    for rows in ([0], [3], [6], [1, 2], [6, 0, 5], [0, 1, 2, 3, 4]):
        alone, state_alone = stepped(model, ids[rows], model.initial_state(len(rows)))
        np.testing.assert_array_equal(alone, together[rows])
        assert_equal_states(state_alone, select(state, rows))


@pytest.mark.parametrize("cell", CELL_NUMBERS)
def test_priming_and_scoring_are_stepping(cell):
    _, model = models(cell=cell, residual=True, layer_norm=True)
    ids = IDS[:120].reshape(2, 60)
    logits, state = stepped(model, ids[:, :-1], model.initial_state(2))
    weighed, after = model.score(ids, model.initial_state(2))
    assert_equal_states(after, state)
    np.testing.assert_allclose(weighed.nats, nats_of(logits, ids[:, 1:]), atol=2e-6)
    np.testing.assert_array_equal(weighed.right, logits.argmax(-1) == ids[:, 1:])
    primed, state_primed = model.prime(ids[1, :-1], 3)
    np.testing.assert_array_equal(primed, np.repeat(logits[1:, -1], 3, axis=0))
    assert_equal_states(state_primed, select(state, [1, 1, 1]))


@pytest.mark.parametrize("precision", EVERY_PRECISION)
@pytest.mark.parametrize("cell", CELL_NUMBERS)
@pytest.mark.parametrize(
    "options",
    [{}, {"layer_norm": True, "residual": True, "layers": 3}, {"ngram_embedding_size": 9, "ngram_rows": 40}],
    ids=str,
)
def test_a_table_too_large_to_keep_is_computed_instead(monkeypatch, precision, cell, options):
    _, kept = models(precision, cell=cell, **options)
    monkeypatch.setattr(layout_module, "LARGEST_TABLE", 1)
    _, computed = models(precision, cell=cell, **options)
    depth = len(WIDTHS) + LAYER.index("depth")  # of what the first layer multiplies
    assert kept._model.plan[depth] < computed._model.plan[depth]
    np.testing.assert_allclose(kept.prime(IDS)[0], computed.prime(IDS)[0], atol=TOLERANCES[precision])


@pytest.mark.parametrize("cell", CELL_NUMBERS)
@pytest.mark.parametrize("layers", [1, 2, 3])
def test_texts_of_one_symbol_and_of_two(cell, layers):
    _, model = models(cell=cell, layers=layers)
    none, state = model.score(IDS[:2].reshape(2, 1), model.initial_state(2))
    assert none.nats.shape == (2, 0)
    assert_equal_states(state, model.initial_state(2))
    logits, after = model.step(IDS[:2], state)
    one, state = model.score(IDS[:4].reshape(2, 2, order="F"), model.initial_state(2))
    assert_equal_states(state, after)
    np.testing.assert_allclose(one.nats, nats_of(logits[:, None], IDS[2:4, None]), atol=2e-6)


@pytest.mark.parametrize("precision", EVERY_PRECISION)
@pytest.mark.parametrize("cell", CELL_NUMBERS)
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_state_that_exploded_shows_as_a_loss_that_is_no_number(cell, precision, value):
    _, model = models(precision, cell=cell, layers=1)
    state = model.initial_state(2)
    state[0][0][1, 3] = value
    nats = model.score(IDS[:12].reshape(2, 6), state)[0].nats
    assert np.isfinite(nats[0]).all()
    assert np.isnan(nats[1]).any()


@pytest.mark.parametrize("precision", EVERY_PRECISION)
@pytest.mark.parametrize("settings", [{"cell": "gru", "hidden_size": 40}, {"cell": "lstm", "hidden_size": 24}], ids=str)
def test_many_rows_are_what_each_is_alone(precision, settings):
    """Of one thread: more than any tile takes at once, and every place that a row can have in one."""
    _, model = models(precision, **settings)
    ids = np.random.default_rng(1).integers(0, V, (70, 9))
    weighed, after = model.score(ids, model.initial_state(70))
    for row in range(70):
        alone, state = model.score(ids[row : row + 1], model.initial_state(1))
        np.testing.assert_array_equal(alone.nats[0], weighed.nats[row])
        assert_equal_states(state, select(after, [row]))


@pytest.mark.parametrize("precision", ["int4", "auto", *([] if HAS_AMX else [HALVES])])
def test_a_precision_that_there_is_not_is_refused(precision):
    with pytest.raises(ValueError, match=f"no products of precision '{precision}'"):
        models(precision)


def test_wrong_weights_and_ids_are_refused_by_name():
    config = ModelConfig(hidden_size=20)
    arrays = arrays_of(config)
    with pytest.raises(RunError, match="tensor 'output_bias' is missing"):
        NumbaModel(config, {name: array for name, array in arrays.items() if name != "output_bias"}, V)
    with pytest.raises(RunError, match="do not fit a vocabulary of 23"):
        NumbaModel(config, arrays, V).prime(np.array([0, V]))


@pytest.mark.parametrize("wrong", [-1, V, 10**9])
def test_ids_outside_the_vocabulary_are_refused_wherever_they_come_in(wrong):
    """The loop looks at no bounds."""
    _, model = models()
    state = model.initial_state(1)
    for ask in (
        lambda: model.step([wrong], state),
        lambda: model.read(np.array([0, wrong])),
        lambda: model.score(np.array([[0, wrong, 0]]), state),
        lambda: model.score(np.array([[0, 0, wrong]]), state),
    ):
        with pytest.raises(RunError, match=f"do not fit a vocabulary of {V}"):
            ask()


def test_a_state_of_other_rows_is_refused():
    _, model = models()
    for rows, ids in ((1, [3, 4]), (3, [3, 4]), (0, [])):
        with pytest.raises(ValueError, match=r"the state must be float32 \("):
            model.step(ids, model.initial_state(rows))
