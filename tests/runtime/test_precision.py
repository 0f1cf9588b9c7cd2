"""Which number format is taken, and how that is measured."""

import numpy as np
import pytest

from charlm.config import ModelConfig
from charlm.config.shapes import parameter_shapes
from charlm.runs.precision import measured_precisions, precision_fact
from charlm.runtime import PRECISIONS, NumpyModel
from charlm.runtime.precision import MOST_LOSS, fastest, measure, passages
from charlm.runtime.quantised import FORMATS, LARGEST_SUM, quantise_rows

NEAR, FAR = MOST_LOSS * 0.9, MOST_LOSS * 1.1


@pytest.mark.parametrize(
    ("measured", "bytes_are_fast", "expected"),
    [
        ({"exact": 1.5, "int16": 1.5, "int8": 1.5 + NEAR}, True, "int8"),
        ({"exact": 1.5, "int16": 1.5, "int8": 1.5 - NEAR}, True, "int8"),
        ({"exact": 1.5, "int16": 1.5, "int8": 1.5 + FAR}, True, "int16"),
        # a format that changes the loss for the better is not this model either
        ({"exact": 1.5, "int16": 1.5 - FAR, "int8": 1.5 - FAR}, True, "exact"),
        ({"exact": 1.5, "int16": 1.5, "int8": 1.5}, False, "int16"),
        ({"exact": 1.5, "int8": 1.5}, False, "exact"),
        ({"int16": 1.5, "int8": 1.5}, True, "exact"),
        ({}, True, "exact"),
    ],
)
def test_the_fewest_bytes_that_keep_the_loss_are_taken(measured, bytes_are_fast, expected):
    assert fastest(measured, bytes_are_fast=bytes_are_fast) == expected


def test_a_measurement_is_of_one_checkpoint_alone():
    facts = {"corpus": {}, **precision_fact(200, {"exact": 1.5, "int8": 1.6})}
    assert measured_precisions(facts, 200) == {"exact": 1.5, "int8": 1.6}
    assert measured_precisions(facts, 100) == {}
    assert measured_precisions({}, 200) == {}


@pytest.mark.parametrize("fact", [None, 3, {"step": 1}, {"step": 1, "nats": 7}, {"step": 1, "nats": {"exact": "1"}}])
def test_a_fact_that_cannot_be_read_is_no_measurement(fact):
    assert measured_precisions({"precision": fact}, 1) == {}


@pytest.fixture(scope="module")
def weak():
    """Small weights of a small model, a text, and the loss of its two passages by the NumPy engine."""
    config, V = ModelConfig(hidden_size=20), 11
    random = np.random.default_rng(0)
    arrays = {
        name: (0.2 * random.standard_normal(shape)).astype(np.float32)
        for name, shape in parameter_shapes(config, V).items()
    }
    ids = random.integers(0, V, 300).astype(np.uint8)
    model, nats = NumpyModel(config, arrays, V), []
    for start in (0, 300 - 129):
        state = model.initial_state(1)
        for now, after in zip(ids[start : start + 128], ids[start + 1 : start + 129], strict=True):
            logits, state = model.step(ids[now : now + 1] * 0 + now, state)
            wide = logits[0].astype(np.float64)
            nats.append(np.log(np.exp(wide).sum()) - wide[after])
    return config, arrays, V, ids, float(np.mean(nats))


def test_passages_are_spread_over_the_text():
    ids = np.arange(1000, dtype=np.uint16)
    rows = passages(ids)
    assert rows.shape == (7, 129)
    assert (rows[0, 0], rows[-1, -1]) == (0, 999)
    assert (np.diff(rows) == 1).all()
    assert passages(ids[:129]).shape == (1, 129)
    assert passages(ids[:128]).shape == (0, 129)


def test_a_precision_is_tried_after_one_of_fewer_bytes_has_failed(weak):
    config, arrays, V, ids, exact = weak
    taken = measure(config, arrays, V, passages(ids), exact)
    assert set(taken) == {"exact", "int8"}
    assert taken["int8"] == pytest.approx(exact, abs=MOST_LOSS)
    assert taken["int8"] != exact
    slow = measure(config, arrays, V, passages(ids), exact, bytes_are_fast=False)
    assert set(slow) == {"exact", "int16"}
    assert slow["int16"] == pytest.approx(exact, abs=1e-4)
    # an exact loss that neither comes near: both are tried, and neither taken
    assert set(measure(config, arrays, V, passages(ids), exact + 1)) == set(PRECISIONS)


@pytest.mark.parametrize("precision", FORMATS)
@pytest.mark.parametrize("columns", [16, 512, 65536])
def test_no_sum_of_products_leaves_32_bits(precision, columns):
    form = FORMATS[precision]
    random = np.random.default_rng(1)
    matrix = np.stack([np.ones(columns), random.standard_normal(columns), np.zeros(columns), np.eye(1, columns)[0]])
    whole, scales = quantise_rows(matrix.astype(np.float32), form)
    largest = form.activations + (128 if precision == "int8" else 0)
    assert np.abs(whole).sum(axis=1, dtype=np.int64).max() * largest <= LARGEST_SUM
    np.testing.assert_allclose(whole * scales[:, None], matrix, atol=0.51 * scales.max())
    # a row of usual numbers keeps as much as its format can
    assert scales[1] <= 1.07 * max(np.abs(matrix[1]).max() / form.most, np.abs(matrix[1]).sum() * largest / 2**31)
