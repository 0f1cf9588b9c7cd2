"""Each transform: one example worked by hand, what all of them promise, and what they do inside generate()."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from charlm.config import SamplingConfig
from charlm.errors import ConfigError
from charlm.generation import TRANSFORMS
from charlm.generation.transform import Learnt
from charlm.generation.transforms import transforms_of
from charlm.tokenizers import CharTokenizer

INF = math.inf
LEARNT = Learnt(CharTokenizer("abcd", "drop"), "abcaba")

# name, value, logits, recent ids, logits after
BY_HAND = [
    # after ab comes c or a, after ca b, after bb nothing
    ("max_copy", 2, [1.0, 3.0, 2.0, 0.5], [0, 1], [-INF, 3.0, -INF, 0.5]),
    ("max_copy", 2, [1.0, 3.0, 2.0, 0.5], [1, 2, 0], [1.0, -INF, 2.0, 0.5]),
    ("max_copy", 2, [1.0, 3.0, 2.0, 0.5], [1, 1], [1.0, 3.0, 2.0, 0.5]),
    ("max_copy", 2, [1.0, 3.0, 2.0, 0.5], [0], [1.0, 3.0, 2.0, 0.5]),
    ("max_copy", 1, [1.0, -INF, 2.0, -INF], [1], [1.0, -INF, 2.0, -INF]),
    ("max_copy", 9, [1.0, 3.0, 2.0, 0.5], [0, 1, 2], [1.0, 3.0, 2.0, 0.5]),
    ("repetition_penalty", 2.0, [3.0, -1.0, 2.0], [0, 1, 0], [1.5, -2.0, 2.0]),
    ("repetition_penalty", 0.5, [3.0, -1.0, 2.0], [0, 1], [6.0, -0.5, 2.0]),
    ("temperature", 0.5, [3.0, 1.0, 2.0], [], [0.0, -4.0, -2.0]),
    ("temperature", 0.0, [1.0, 2.0, 2.0], [], [-INF, 0.0, -INF]),
    ("temperature", 1e-320, [1.0, 2.0, 2.0], [], [-INF, 0.0, 0.0]),
    ("temperature", 1e300, [1.0, 5.0], [], [-4e-300, 0.0]),
    ("top_k", 2, [1.0, 3.0, 2.0, 0.0], [], [-INF, 3.0, 2.0, -INF]),
    ("top_k", 2, [2.0, 1.0, 2.0, 2.0], [], [2.0, -INF, 2.0, -INF]),
    ("top_k", 3, [2.0, 3.0, 2.0, 2.0], [], [2.0, 3.0, 2.0, -INF]),
    ("top_k", 9, [1.0, 3.0], [], [1.0, 3.0]),
    # probabilities 0.5, 0.125, 0.25, 0.125: 0.7 needs the first and the third
    ("top_p", 0.7, [math.log(4), 0.0, math.log(2), 0.0], [], [math.log(4), -INF, math.log(2), -INF]),
    ("top_p", 0.8, [math.log(4), 0.0, math.log(2), 0.0], [], [math.log(4), 0.0, math.log(2), -INF]),
    ("top_p", 1e-12, [1.0, 1.0], [], [1.0, -INF]),
    # a fifth of the likeliest: log 5 = 1.609 below it
    ("min_p", 0.2, [3.0, 1.5, 1.3], [], [3.0, 1.5, -INF]),
    ("min_p", 1.0, [3.0, 2.9, 3.0], [], [3.0, -INF, 3.0]),
    ("min_p", 0.0, [3.0, -800.0], [], [3.0, -800.0]),
]


@pytest.mark.parametrize(("name", "value", "logits", "recent", "expected"), BY_HAND)
def test_worked_by_hand(name, value, logits, recent, expected):
    given_logits = np.array(logits)
    np.testing.assert_allclose(TRANSFORMS[name](value, LEARNT)(given_logits, recent), expected, rtol=1e-12)
    assert given_logits.tolist() == logits, "the logits given were changed"


def test_every_transform_is_worked_by_hand():
    assert {name for name, *_ in BY_HAND} == set(TRANSFORMS)


def test_the_order_is_the_documented_one():
    assert list(TRANSFORMS) == ["max_copy", "repetition_penalty", "temperature", "top_k", "top_p", "min_p"]
    everything = SamplingConfig(min_p=0.1, top_p=0.9, top_k=5, temperature=0.5, repetition_penalty=1.2, max_copy=9)
    assert [transform.field for transform in transforms_of(everything, LEARNT)] == list(TRANSFORMS)


def test_the_order_changes_the_result():
    # by the documented order 0.9, not 0.5, reaches top_p: temperature comes before it
    logits = np.log([0.5, 0.25, 0.25])
    for transform in transforms_of(SamplingConfig(temperature=0.1, top_p=0.9)):
        logits = transform(logits, [])
    assert np.isfinite(logits).tolist() == [True, False, False]


REFUSED = [
    *[(name, value) for name in TRANSFORMS for value in (math.nan, INF, -INF, -1, True, "1")],
    ("max_copy", 0),
    ("max_copy", 1001),
    ("repetition_penalty", 0),
    ("top_k", 0),
    ("top_k", 1.5),
    ("top_p", 0),
    ("top_p", 1.0001),
    ("min_p", 1.0001),
]


@pytest.mark.parametrize(("name", "value"), REFUSED)
def test_a_number_out_of_range_is_refused_by_name(name, value):
    with pytest.raises(ConfigError, match=f"^{name} must be .*, was "):
        TRANSFORMS[name](value, LEARNT)


VALUES = {
    "max_copy": st.integers(1, 1000),
    "repetition_penalty": st.floats(1e-300, 1e300),
    "temperature": st.floats(0, 1e308),
    "top_k": st.integers(1, 60),
    "top_p": st.floats(1e-300, 1),
    "min_p": st.floats(0, 1),
}
# few distinct values, so that ties are common; the ruled out among them
ROWS = st.lists(
    st.one_of(st.integers(-3, 3).map(float), st.floats(-1e5, 1e5), st.just(-INF)), min_size=1, max_size=40
).filter(lambda row: max(row) > -INF)


@pytest.mark.parametrize("name", TRANSFORMS)
@given(data=st.data(), row=ROWS)
@settings(max_examples=3 * settings.default.max_examples // 5)
def test_every_transform_keeps_the_best_and_brings_nothing_back(name, data, row):
    logits = np.array(row)
    recent = data.draw(st.lists(st.integers(0, len(row) - 1), max_size=5)) if name == "repetition_penalty" else []
    after = TRANSFORMS[name](data.draw(VALUES[name]), LEARNT)(logits, recent)
    assert after.shape == logits.shape
    assert not np.isnan(after).any()
    assert not np.isposinf(after).any()
    assert np.isfinite(after).any()
    assert np.isneginf(after[np.isneginf(logits)]).all()
    if not recent:
        best = int(np.argmax(logits))
        assert after[best] == after.max()
        # what is kept stays in its order
        kept = np.flatnonzero(np.isfinite(after))
        order = np.argsort(-logits[kept], kind="stable")
        assert (np.diff(after[kept][order]) <= 0).all()


FILTERS = [name for name in TRANSFORMS if name.startswith(("top", "min"))]


@pytest.mark.parametrize("name", FILTERS)
@given(data=st.data(), row=ROWS)
@settings(max_examples=3 * settings.default.max_examples // 5)
def test_a_filter_only_rules_out_and_never_a_better_one(name, data, row):
    logits = np.array(row)
    after = TRANSFORMS[name](data.draw(VALUES[name]), LEARNT)(logits, [])
    kept = np.isfinite(after)
    assert (after[kept] == logits[kept]).all()
    gone = ~kept & np.isfinite(logits)
    if gone.any() and kept.any():
        assert logits[gone].max() <= logits[kept].min()
        ties = logits == logits[kept].min()
        # of equals the lower ids stay
        if (ties & kept).any() and (ties & gone).any():
            assert np.flatnonzero(ties & kept).max() < np.flatnonzero(ties & gone).min()


# a setting that must write the greedy text, and one that must change nothing
GREEDY = {"temperature": [0, 1e-40, 5e-324], "top_k": [1], "top_p": [1e-300], "min_p": [1]}
NEUTRAL = {"max_copy": 1000, "repetition_penalty": 1, "temperature": 1, "top_k": 2**40, "top_p": 1, "min_p": 0}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in GREEDY.items() for value in values])
def test_the_strictest_setting_writes_the_greedy_text(lstm, write, texts, name, value):
    plain = {"length": 60, "prompt": "ab", "temperature": 1}
    greedy = texts(write(*lstm, **plain, greedy=True))
    assert texts(write(*lstm, **{**plain, name: value})) == greedy
    assert texts(write(*lstm, **plain)) != greedy


@pytest.mark.parametrize("name", TRANSFORMS)
def test_the_neutral_setting_changes_nothing(lstm, write, texts, name):
    plain = {"length": 60, "prompt": "ab", "temperature": 1}
    assert texts(write(*lstm, **{**plain, name: NEUTRAL[name]})) == texts(write(*lstm, **plain))


def test_a_penalty_looks_back_on_prompt_and_text(chain, letters, write, texts):
    # every letter is as likely; what has been written is penalised, so each comes once, prompt included
    model = chain(np.ones((6, 6)))
    (text,) = texts(write(model, letters(6), prompt="cf", length=4, temperature=0, repetition_penalty=1.5))
    assert text == "abde"


def test_a_penalty_looks_back_no_further_because_another_filter_does(chain, letters, write, texts):
    # a is 256 symbols back where b is written, and forgotten then
    model = chain([[-np.inf, 2.0], [1.9, 2.0]])
    settings = {"prompt": "a", "length": 300, "greedy": True, "repetition_penalty": 1.5}
    plain = texts(write(model, letters(2), **settings))
    assert plain[0].index("a") == 256
    assert texts(write(model, letters(2), **settings, max_copy=1000)) == plain


def test_a_huge_temperature_is_uniform(chain, letters, write, texts):
    model = chain(np.tile([50.0, 0.0, -50.0, 7.0], (4, 1)))
    (text,) = texts(write(model, letters(4), length=4000, temperature=1e308))
    for letter in "abcd":
        assert abs(text.count(letter) - 1000) < 5 * math.sqrt(4000 * 0.25 * 0.75)
