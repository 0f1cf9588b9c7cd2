"""Splits: what can be written, and that parts cover a text of any length without gap or overlap."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from charlm.corpora import parse_split
from charlm.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "characters", "bounds"),
    [
        ("90/10", 1115394, {"train": (0, 1003854), "validation": (1003854, 1115394)}),
        ("90/5/5", 100, {"train": (0, 90), "validation": (90, 95), "test": (95, 100)}),
        ("100", 7, {"train": (0, 7), "validation": (7, 7)}),
        (
            "99.8/0.1/0.1",
            10**9,
            {"train": (0, 998 * 10**6), "validation": (998 * 10**6, 999 * 10**6), "test": (999 * 10**6, 10**9)},
        ),
        ("90/5/5", 1, {"train": (0, 0), "validation": (0, 0), "test": (0, 1)}),
        ("50/50/0", 3, {"train": (0, 1), "validation": (1, 3), "test": (3, 3)}),
        ("70/20/10", 10, {"train": (0, 7), "validation": (7, 9), "test": (9, 10)}),
    ],
)
def test_bounds(text, characters, bounds):
    assert parse_split(text).bounds(characters) == bounds


@pytest.mark.parametrize(
    "text",
    ["", "90", "90/5", "90/5/5/0", "a/b", "-10/110", "90/5/6", "0/50/50", "1e2", "90 / 10", "nan", "٩٠/١٠", "90/10/"],
)
def test_what_is_no_split(text):
    with pytest.raises(ConfigError, match="split must be train/validation or train/validation/test in per cent"):
        parse_split(text)


@given(st.integers(0, 10**12), st.integers(1, 100), st.integers(0, 100))
def test_parts_cover_the_text(characters, train, validation):
    validation = min(validation, 100 - train)
    bounds = list(parse_split(f"{train}/{validation}/{100 - train - validation}").bounds(characters).values())
    assert bounds[0][0] == 0
    assert bounds[-1][1] == characters
    assert all(end == start for (_, end), (start, _) in pairwise(bounds))
    assert all(start <= end for start, end in bounds)
