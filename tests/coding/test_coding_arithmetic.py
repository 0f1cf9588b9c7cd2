"""The model in whole numbers: tables, weights, sums that cannot overflow, and two engines with the same bytes."""

import os
import subprocess
import sys
from decimal import Decimal, localcontext
from pathlib import Path

import numpy as np
import pytest

import charlm
from charlm.coding.call import Room
from charlm.coding.compiled_steps import add_products
from charlm.coding.lanes import decode, encode, open_coding_engine
from charlm.coding.layout import _Parts
from charlm.coding.ranges import BYTES_A_SYMBOL
from charlm.coding.reference import STEPS, ReferenceModel, gate, layer_norm, product, root, tanh
from charlm.coding.tables import HIGHEST, ONE, log2_e, power_table, tanh_table
from charlm.coding.weights import MOST_SYMBOLS, shares
from charlm.coding.whole import (
    CELLS,
    LARGEST_ACTIVATION,
    LARGEST_ROW,
    LARGEST_WEIGHT,
    LIMIT,
    make_whole,
    whole_rows,
)
from charlm.config import ModelConfig
from charlm.config.cells import GATES
from charlm.errors import ConfigError
from charlm.simd import MOST_ROWS, PANEL, WIDTH, compiled

ROOT = Path(charlm.__file__).parent.parent
OPTIONS = [
    {},
    {"layers": 1, "hidden_size": 1},
    {"layers": 3, "hidden_size": 33, "embedding_size": 5},
    {"layer_norm": True, "residual": True, "embedding_size": 7},
    {"tie_weights": True, "embedding_size": 9, "layer_norm": True, "residual": True, "layers": 3},
    {"ngram_embedding_size": 5, "ngram_rows": 30},
    {"ngram_embedding_size": 40, "ngram_rows": 1, "ngram_order": 20, "residual": True, "embedding_size": 3},
    {"ngram_embedding_size": 5, "ngram_rows": 30, "layer_norm": True, "embedding_size": 7, "ngram_order": 2},
    {"ngram_embedding_size": 5, "ngram_rows": 30, "embedding_size": 7, "residual": True},
]


def silent(count):
    pass


def test_the_tables_are_the_nearest_whole_numbers():
    """Against exp of the decimal module, at every entry."""
    with localcontext() as context:
        context.prec = 50
        for place, found in enumerate(tanh_table().tolist()):
            power = (Decimal(place) / 128).exp()
            assert abs(ONE * (power - 1) / (power + 1) - found) <= Decimal("0.5")
        for place, found in enumerate(power_table().tolist()):
            assert abs(Decimal(2) ** (HIGHEST - Decimal(place) / 1024) - found) <= Decimal("0.5")
        assert abs(Decimal(2**30) / Decimal(2).ln() - log2_e()) <= Decimal("0.5")
    assert tanh_table()[-1] == ONE


def test_squashing_follows_the_functions():
    v = np.linspace(-9.0, 9.0, 30_001)
    x = np.rint(v * ONE).astype(np.int64)
    assert np.abs(tanh(x) / ONE - np.tanh(v)).max() < 3e-6
    assert np.abs(gate(x) / (2 * ONE) - 1 / (1 + np.exp(-v))).max() < 2e-6
    assert (tanh(-x) == -tanh(x)).all()


def test_shares_are_the_softmax_and_never_nothing():
    logits = np.random.default_rng(0).normal(0, 4, (50, 23))
    found = shares(np.rint(logits * ONE).astype(np.int64))
    wanted = np.exp(logits - logits.max(axis=1, keepdims=True)) * 2**HIGHEST + 1
    assert np.abs(found / wanted - 1).max() < 1e-5 + 1 / wanted.min()
    extreme = shares(np.array([[-3 * LIMIT, 3 * LIMIT, 0]]))
    assert extreme.tolist() == [[1, 2**HIGHEST + 1, 1]]
    # a symbol's interval stays 1 wide at least, and it costs no more bytes than there is room for
    assert MOST_SYMBOLS * (2**HIGHEST + 1) < 2**47 < 2 ** (8 * BYTES_A_SYMBOL)


def test_a_root_is_the_whole_part_of_the_root():
    near = np.array([n * n + d for n in (1, 3, 2**20, 2**26 + 1, 2**30 + 7) for d in (-1, 0, 1)], dtype=np.int64)
    wanted = [int(Decimal(int(value)).sqrt()) for value in near]
    assert root(near).tolist() == wanted


def test_layer_norm_is_that_of_floats():
    x = np.random.default_rng(1).normal(0.3, [[1e-3], [0.1], [5.0], [400.0]], (4, 57))
    whole = np.rint(x * ONE).astype(np.int64)
    found = layer_norm(whole, np.full(57, 2**16), np.full(57, ONE // 4)) / ONE
    wanted = (x - x.mean(axis=1, keepdims=True)) / np.sqrt(x.var(axis=1, keepdims=True) + 1e-5) + 0.25
    assert np.abs(found - wanted).max() < 2e-3


# each row as large as its 16 bits allow, as many of them as there are, and ordinary ones
HEAVY = {
    "all the largest": np.full((8, 4096), 3.0, np.float32),
    "alternating": np.tile(np.array([1.0, -1.0], np.float32), (8, 2048)),
    "one large": np.pad(np.full((8, 1), 100.0, np.float32), ((0, 0), (0, 4095)), constant_values=1e-3),
    "ordinary": np.random.default_rng(2).standard_normal((8, 4096)).astype(np.float32) / 64,
    "tiny and zero": np.concatenate([np.full((4, 4096), 1e-30, np.float32), np.zeros((4, 4096), np.float32)]),
}


@compiled
def multiply(x, depth, model, result, room):
    add_products(1, x, 0, depth, model, 0, result, 0, len(result), room)


@pytest.mark.parametrize("name", HEAVY)
@pytest.mark.parametrize("signs", ["all the same", "those of the weights"])
def test_no_sum_overflows_at_4096_units(name, signs):
    matrix = whole_rows(HEAVY[name])
    weights = matrix.weights.astype(np.int64)
    assert np.abs(weights).max() <= LARGEST_WEIGHT
    # whatever the activations are, and however far a sum has come
    assert np.abs(weights).sum(axis=1).max() * LARGEST_ACTIVATION < 2**31
    assert np.abs(weights).sum(axis=1).max() <= LARGEST_ROW
    x = np.full((1, 4096), 4095 << 18, dtype=np.int64)
    if signs == "those of the weights":
        x = x * np.where(weights[:1] < 0, -1, 1)
    # Python's own whole numbers have no end
    sums = [sum(w * (v >> 18) for w, v in zip(row, x[0].tolist(), strict=True)) for row in weights.tolist()]
    exact = [((at << 18) + ((1 << k) >> 1)) >> k for at, k in zip(sums, matrix.shifts.tolist(), strict=True)]
    exact = [max(-LIMIT, min(LIMIT, value)) for value in exact]
    assert product(x, matrix)[0].tolist() == exact
    parts = _Parts(PANEL * WIDTH)
    parts.add_matrix(matrix, 16, 4096, 1)
    parts.add(np.zeros(1, dtype=np.int64))
    tile = np.zeros(MOST_ROWS * PANEL * WIDTH, dtype=np.int32)
    room = Room(None, None, None, tile, np.zeros(4096, dtype=np.int16), np.zeros(1, dtype=np.int64))
    result = np.zeros(16, dtype=np.int32)
    multiply(x[0].astype(np.int32), 4096, parts.joined(np.zeros(1, dtype=np.int64)), result, room)
    assert result[:8].tolist() == exact


def test_weights_are_rounded_to_their_row():
    matrix = np.random.default_rng(4).standard_normal((20, 300)).astype(np.float32)
    whole = whole_rows(matrix)
    again = np.ldexp(whole.weights.astype(np.float64), -whole.shifts[:, None])
    assert (np.abs(again - matrix).max(axis=1) <= np.ldexp(0.5, -whole.shifts)).all()
    assert np.abs(whole.weights.astype(np.int64)).sum(axis=1).min() > LARGEST_ROW // 3


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_numpy_and_machine_code_write_the_same_bytes(make_model, cell, options):
    model, random = make_model(cell=cell, **options), np.random.default_rng(5)
    parts = [random.integers(0, 23, count) for count in (60, 60, 60, 60, 60, 60, 60, 41)]
    counts = np.array([len(part) for part in parts])
    written = {name: encode(open_coding_engine(model, name), parts, silent) for name in ("numpy", "numba")}
    assert written["numpy"] == written["numba"]
    for name in written:
        found = decode(open_coding_engine(model, name), written["numpy"], counts, silent)
        assert (found == np.concatenate(parts)).all()


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("options", [{}, {"ngram_embedding_size": 5, "ngram_rows": 30, "embedding_size": 9}], ids=str)
def test_a_table_too_large_to_keep_is_computed_and_writes_the_same_bytes(monkeypatch, make_model, cell, options):
    model, parts = make_model(cell=cell, **options), [np.random.default_rng(7).integers(0, 23, 80)]
    kept = encode(open_coding_engine(model, "numba"), parts, silent)
    monkeypatch.setattr("charlm.coding.layout.LARGEST_TABLE", 1)
    assert encode(open_coding_engine(model, "numba"), parts, silent) == kept


def test_logits_of_which_each_share_is_as_large_as_it_may_be_write_the_same_bytes(make_arrays):
    """Bias, outputs and n-grams, of one sign in half of the symbols and of the other in the rest, in 32 bits."""
    config = ModelConfig(hidden_size=12, layers=1, ngram_embedding_size=5, ngram_rows=1, ngram_order=2)
    arrays, signs = make_arrays(config, 23), np.where(np.arange(23) % 2, 1.0, -1.0).astype(np.float32)
    arrays |= {"output_bias": 511 * signs, "ngram_embedding": np.full((1, 5), 500, np.float32)}
    arrays |= {"output_weight": np.tile(5000 * signs[:, None], 12), "ngram_output_weight": np.tile(signs[:, None], 5)}
    arrays["layers.0.input_bias"] = np.full(48, 9, np.float32)  # all gates open, whatever comes in
    arrays["layers.0.input_weight"] = np.zeros((48, 12 + 5), np.float32)
    model, parts = make_whole(config, arrays, 23), [np.random.default_rng(8).integers(0, 23, 40)]
    logits = ReferenceModel(model).step(parts[0][:1], ReferenceModel(model).initial_state(1))[0]
    assert np.abs(logits).min() > 2.99 * LIMIT
    written = [encode(open_coding_engine(model, name), parts, silent) for name in ("numpy", "numba")]
    assert written[0] == written[1]


def test_a_part_does_not_depend_on_those_beside_it_or_on_threads(make_model):
    model, random = make_model(), np.random.default_rng(6)
    parts = [random.integers(0, 23, count) for count in (70, 70, 70, 70, 30)]
    alone = [encode(open_coding_engine(model, "numba", 1), [part], silent)[0] for part in parts]
    for threads in (1, 3):
        assert encode(open_coding_engine(model, "numba", threads), parts, silent) == alone


def test_every_cell_that_is_computed_is_one_of_the_table():
    assert list(STEPS) == list(CELLS)
    assert set(CELLS) <= set(GATES)


REFUSED = [
    ({"cell": "mogrifier-lstm"}, {}, "^compress and decompress compute in whole numbers, .* was 'mogrifier-lstm'"),
    ({"attention_window": 8}, {}, "take a run without --attention-window, was 8"),
    ({}, {"embedding": 600.0}, "'embedding' holds 600"),
    ({}, {"layers.1.recurrent_weight": 1e30}, "'layers.1.recurrent_weight' holds weights too large"),
]


@pytest.mark.parametrize(("settings", "changes", "words"), REFUSED, ids=lambda x: str(x)[:40])
def test_what_cannot_be_computed_is_refused(make_arrays, settings, changes, words):
    config = ModelConfig(hidden_size=12, **settings)
    arrays = make_arrays(config, 23)
    for name, value in changes.items():
        arrays[name][0, 0] = value
    with pytest.raises(ConfigError, match=words):
        make_whole(config, arrays, 23)


# weights from a formula in whole numbers: the same on every machine and with every NumPy
PINNED = """
import hashlib, sys
import numpy as np
from charlm.coding.lanes import encode, open_coding_engine
from charlm.coding.whole import make_whole
from charlm.config import ModelConfig
from charlm.config.shapes import parameter_shapes

def numbers(count, start):
    return (np.arange(start, start + count, dtype=np.int64) * 2654435761 % 2**32 % 2001 - 1000) / 2500

NGRAMS = {"ngram_embedding_size": 5, "ngram_rows": 30, "ngram_order": 3}
for options in ({"layer_norm": True, "residual": True}, NGRAMS):
    digest = hashlib.sha256()
    for cell in ("lstm", "gru", "gru-reset-before", "elman"):
        config = ModelConfig(cell=cell, hidden_size=24, layers=2, **options)
        shapes = parameter_shapes(config, 23).items()
        arrays = {n: numbers(int(np.prod(s)), i).reshape(s).astype(np.float32) for i, (n, s) in enumerate(shapes)}
        model = make_whole(config, arrays, 23)
        digest.update(model.identity)
        ids = np.arange(300) * 7919 % 97 % 23
        digest.update(b"".join(encode(open_coding_engine(model, sys.argv[1]), [ids, ids[:170]], lambda n: None)))
    print(digest.hexdigest())
"""
DIGEST = """03258553b2bb9e8fc10eb5669b3110c4937eb9a6f7399c638467ba7e7efbf9d7
44e387a988776a4290cf92dbc4b61374c5b4eb93c9433233e68cb4c8f14b6543"""


def digest_of(engine):
    command = [sys.executable, "-c", PINNED, engine]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize("engine", ["numpy", "numba"])
def test_the_bytes_are_those_of_every_other_machine(engine):
    """A change here makes files unreadable that were written before: then `ARITHMETIC` changes too."""
    assert digest_of(engine) == DIGEST


def test_where_numba_is_missing_numpy_writes_the_same_bytes(tmp_path):
    blocked = f"import sys; sys.modules['numba'] = None; sys.argv = ['', 'auto']\n{PINNED}"
    # no machine code from before either
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    command = [sys.executable, "-c", blocked]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120)
    assert (done.stdout.strip(), done.returncode) == (DIGEST, 0), done.stderr
