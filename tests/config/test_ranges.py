"""Ranges of settings: what is drawn from them, and what their mistakes look like."""

import random
import statistics

import pytest

from charlm.config import ModelConfig, TrainingConfig, settings_of
from charlm.config.ranges import ENDS, WITHOUT_EFFECT, draw_trials, parse_ranges
from charlm.errors import ConfigError

KNOWN = settings_of(ModelConfig) | settings_of(TrainingConfig)


def drawn(text, count=2000):
    ((name, one),) = parse_ranges([text]).items()
    draws = random.Random(7)
    values = [one.draw(draws) for _ in range(count)]
    assert all(KNOWN[name].check(value) == value and type(value) is KNOWN[name].type for value in values)
    return values


@pytest.mark.parametrize(
    ("text", "low", "middle", "high"),
    [
        ("dropout=0..0.5", 0.0, 0.25, 0.5),
        ("learning_rate=1e-3..1e-2", 1e-3, 10**-2.5, 1e-2),  # a factor of 10: logarithmic
        ("learning_rate=3e-5..3e-4", 3e-5, 3e-5 * 10**0.5, 3e-4),  # whose quotient is 9.999999999999998
        ("learning_rate=1e-3..9e-3", 1e-3, 5e-3, 9e-3),
        ("learning_rate=uniform:1e-3..1e-1", 1e-3, 0.0505, 1e-1),
        ("weight_decay=log:0.01..0.04", 0.01, 0.02, 0.04),
        ("hidden_size=100..900", 100, 500, 900),
        ("hidden_size=10..1000", 10, 100, 1000),
    ],
)
def test_numbers_lie_on_the_scale_between_the_ends(text, low, middle, high):
    values = drawn(text)
    assert low <= min(values)
    assert max(values) <= high
    assert statistics.median(values) == pytest.approx(middle, rel=0.1)
    assert all(float(f"{value:.3g}") == value for value in values)


@pytest.mark.parametrize(
    ("text", "choices"),
    [
        ("layers=1..3", {1, 2, 3}),
        ("hidden_size=128,256,512", {128, 256, 512}),
        ("cell=gru,lstm", {"gru", "lstm"}),
        ("tie_weights=true,false", {True, False}),
        ("dropout=0,0.25", {0.0, 0.25}),
    ],
)
def test_each_of_a_few_values_is_as_likely_as_the_others(text, choices):
    values = drawn(text, 3000)
    assert set(values) == choices
    assert all(abs(values.count(one) / 3000 - 1 / len(choices)) < 0.05 for one in choices)


def test_trials_depend_on_ranges_and_seed_alone():
    texts = ["learning_rate=1e-3..1e-1", "hidden_size=8,16"]
    ten = draw_trials(parse_ranges(texts), 10, 1)
    assert draw_trials(parse_ranges(texts[::-1]), 10, 1) == ten
    assert draw_trials(parse_ranges(texts), 25, 1)[:10] == ten
    assert draw_trials(parse_ranges(texts), 10, 2) != ten


@pytest.mark.parametrize(
    ("texts", "all_there_are"),
    [(["layers=1..3", "cell=gru,lstm"], 6), (["dropout=0.5..0.5005"], 1), (["hidden_size=8,16"], 2)],
)
def test_no_trial_is_drawn_twice_and_ranges_can_be_used_up(texts, all_there_are):
    trials = draw_trials(parse_ranges(texts), 50, 1)
    assert len({tuple(values.items()) for values in trials}) == len(trials) == all_there_are


BAD = [
    ("learning_rat=1..2", r"no setting of \[model\] or \[training\] is called that \(did you mean learning_rate\?\)"),
    ("learning-rate=1..2", r"did you mean learning_rate\?"),
    ("corpus=a,b", r"'corpus': no setting of \[model\]"),
    ("learning_rate", "has no '=': give --range NAME=LOW..HIGH"),
    ("layers=3..1", "layers must go from a lower to a higher number, was '3..1'"),
    ("layers=3..3", "layers must go from a lower"),
    ("dropout=0..1", r"range dropout: dropout must be a number in \[0, 1\), was 1.0"),
    ("dropout=0..nan", "dropout must be a number"),
    ("dropout=log:0..0.5", "dropout must begin above 0 to be logarithmic, was 'log:0..0.5'"),
    ("dropout=lg:0.1..0.5", r"dropout: 'lg' is no scale: choose log, uniform \(did you mean log\?\)"),
    ("dropout=log:0.1", "dropout must be LOW..HIGH behind a scale"),
    ("cell=gru..lstm", "cell must be a list, for it takes one of"),
    ("cell=gru,lsmt", r"range cell: no cell 'lsmt': .*did you mean lstm\?"),
    ("hidden_size=128", "hidden_size must have two different values or more, was '128'"),
    ("hidden_size=8,8", "hidden_size must have two different values or more"),
    ("hidden_size=", "hidden_size must be a whole number"),
    ("hidden_size=1..", "hidden_size must be a whole number"),
    *((f"{name}=1,2", f"range {name}: it changes nothing that a trial learns") for name in WITHOUT_EFFECT),
    *((f"{name}=1,2", f"range {name}: how long a trial is is set by") for name in ENDS),
]


@pytest.mark.parametrize(("text", "message"), BAD, ids=[text for text, _ in BAD])
def test_a_ranges_mistake_is_named(text, message):
    with pytest.raises(ConfigError, match=message):
        parse_ranges([text])


def test_ranges_are_given_once_and_at_all():
    with pytest.raises(ConfigError, match="range layers is given twice"):
        parse_ranges(["layers=1,2", "layers=3,4"])
    with pytest.raises(ConfigError, match="there is nothing to search: give --range"):
        parse_ranges([])
