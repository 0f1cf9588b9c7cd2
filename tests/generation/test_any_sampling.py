"""What holds for every setting of sampling, alone and together, inside the real generate()."""

from __future__ import annotations

import itertools
import math

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from charlm.config import SamplingConfig
from charlm.generation import notices

V = 6
LENGTH = 12
SETTINGS = st.fixed_dictionaries(
    {"samples": st.integers(1, 4)},
    optional={
        "temperature": st.one_of(st.just(0.0), st.just(1e-320), st.floats(0, 1e308)),
        "greedy": st.booleans(),
        "top_k": st.one_of(st.integers(1, V), st.integers(1, 2**63 - 1)),
        "top_p": st.floats(0, 1, exclude_min=True),
        "min_p": st.floats(0, 1),
        "repetition_penalty": st.floats(0, 1e308, exclude_min=True),
        "max_copy": st.integers(1, 1000),
        "stop": st.lists(st.text("abcdef", min_size=1, max_size=3), max_size=2),
        "prompt": st.text("abcdef", max_size=5),
    },
)
# logits of each symbol after each: of any size, some ruled out, never all of them
ROW = st.lists(
    st.one_of(st.floats(-30, 30, width=32), st.just(-math.inf), st.just(1e30)), min_size=V, max_size=V
).filter(lambda row: max(row) > -math.inf)
TABLES = st.lists(ROW, min_size=V, max_size=V)


@settings(
    max_examples=max(1, settings.default.max_examples // 2), suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(table=TABLES, chosen=SETTINGS, seed=st.integers(0, 2**63 - 1), batch_size=st.integers(1, 5))
def test_every_text_is_possible_ends_as_it_should_and_is_the_same_in_any_batch(
    chain, letters, write, texts, table, chosen, seed, batch_size
):
    table = np.array(table, dtype=np.float32)
    pieces = write(chain(table), letters(V), seed=seed, batch_size=64, length=LENGTH, **chosen)
    again = write(chain(table), letters(V), seed=seed, batch_size=batch_size, length=LENGTH, **chosen)
    written = texts(pieces)
    assert texts(again) == written
    assert len(written) == chosen["samples"]
    endings = [piece.ending for piece in pieces if piece.ending is not None]
    for text, ending in zip(written, endings, strict=True):
        assert len(text) == ending.characters == LENGTH if ending.reason == "length" else len(text) <= LENGTH
        assert ending.reason == "length" or any(text.endswith(stop) for stop in chosen["stop"])
        assert all(text.find(stop, 0, -1) in (-1, len(text) - len(stop)) for stop in chosen.get("stop", ()))
        assert math.isfinite(ending.nats)
        assert ending.nats >= 0
        for before, after in itertools.pairwise(text):
            # what the model rules out is never written
            assert table["abcdef".index(before), "abcdef".index(after)] > -math.inf


@given(top_k=st.integers(1, 2**63 - 1), size=st.integers(1, 70_000))
def test_a_top_k_beyond_the_vocabulary_is_told_of(top_k, size):
    told = [notice for notice in notices(SamplingConfig(top_k=top_k), size) if "top_k" in notice]
    assert bool(told) == (top_k > size)
