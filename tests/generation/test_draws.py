"""Draws: the right probabilities, the right seeds."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from charlm.config import SamplingConfig
from charlm.errors import ConfigError, RunError
from charlm.generation import generate, notices
from charlm.generation.sampler import Sampler, invert
from charlm.generation.transforms import transforms_of

LOGITS = np.array([1.0, 0.2, -0.7, 2.1, 0.0, -3.0])
P = np.exp(LOGITS) / np.exp(LOGITS).sum()
TEMPERED = P**2 / (P**2).sum()

# settings -> the exact distribution, by the definitions and not by the code
EXACT = [
    ({"temperature": 1}, P),
    ({"temperature": 0.5}, TEMPERED),
    ({"temperature": 1, "top_k": 3}, P * (np.sort(P)[-3] <= P)),
    # the likeliest three hold 0.89 and the likeliest two 0.80
    ({"temperature": 1, "top_p": 0.85}, P * (np.sort(P)[-3] <= P)),
    ({"temperature": 1, "min_p": 0.1}, P * (0.1 * P.max() <= P)),
    ({"temperature": 0.5, "min_p": 0.1}, TEMPERED * (0.1 * TEMPERED.max() <= TEMPERED)),
]
# the 0.999 quantiles of chi-square for 1, 2, ... degrees of freedom
CRITICAL = [10.83, 13.82, 16.27, 18.47, 20.52]


@pytest.mark.parametrize(("settings", "exact"), EXACT, ids=lambda value: str(value) if isinstance(value, dict) else "")
def test_draws_follow_the_exact_probabilities(chain, letters, write, texts, settings, exact):
    model = chain(np.tile(LOGITS, (6, 1)))
    (text,) = texts(write(model, letters(6), seed=7, length=10_000, **settings))
    exact = exact / exact.sum()
    counts = np.array([text.count(letter) for letter in "abcdef"])
    assert (counts[exact == 0] == 0).all()
    expected = 10_000 * exact[exact > 0]
    statistic = ((counts[exact > 0] - expected) ** 2 / expected).sum()
    assert statistic < CRITICAL[len(expected) - 2]


@given(st.lists(st.one_of(st.floats(-800, 800), st.just(-math.inf)), min_size=1, max_size=30), st.floats(0, 1))
def test_a_draw_has_probability_and_is_where_the_uniform_falls(row, uniform):
    logits = np.array([*row, 0.0])
    uniform = min(uniform, math.nextafter(1, 0))
    drawn = invert(logits, uniform)
    p = np.exp(logits - logits.max())
    assert p[drawn] > 0
    assert p[:drawn].sum() <= uniform * p.sum() * (1 + 1e-12)
    assert p[: drawn + 1].sum() >= uniform * p.sum() * (1 - 1e-12)


def test_the_last_uniform_draws_the_last_possible_id():
    assert invert(np.array([0.0, 0.0, -math.inf]), math.nextafter(1, 0)) == 1
    assert invert(np.array([-math.inf, 0.0, -math.inf]), 0.0) == 1


def test_a_draw_takes_one_uniform_whatever_the_transforms():
    # numbers of the generator that the documentation names, so that texts stay the same over versions
    random = np.random.Generator(np.random.PCG64(np.random.SeedSequence(3, spawn_key=(2,))))
    plain = Sampler(transforms_of(SamplingConfig(temperature=1)), 3, 2, [])
    drawn = [plain.draw(LOGITS.astype(np.float32))[0] for _ in range(50)]
    assert drawn == [invert(LOGITS.astype(np.float32).astype(np.float64), random.random()) for _ in range(50)]


def test_nats_are_those_of_the_model_before_temperature_and_filters():
    sampler = Sampler(transforms_of(SamplingConfig(temperature=0.1, top_k=2)), 1, 0, [])
    for _ in range(20):
        drawn, nats = sampler.draw(LOGITS.astype(np.float32))
        assert nats == pytest.approx(-math.log(P[drawn]), abs=1e-6)


SETTINGS = [
    {},
    {"temperature": 1.5, "top_k": 20, "top_p": 0.95, "min_p": 0.001, "repetition_penalty": 1.3},
    {"stop": ("a", "bc"), "temperature": 1.2},
    {"greedy": True},
    {"max_copy": 2},
]


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_a_sample_is_the_same_whatever_runs_beside_it(lstm, write, texts, settings):
    model, tokenizer = lstm
    common = {"length": 40, "prompt": "abba", **settings}
    together = texts(write(model, tokenizer, samples=7, **common))
    if "greedy" not in settings:
        assert len(set(together)) == 7
    for batch_size in range(1, 7):
        assert texts(write(model, tokenizer, samples=7, batch_size=batch_size, **common)) == together
    for samples in (1, 3):
        assert texts(write(model, tokenizer, samples=samples, **common)) == together[:samples]


def test_the_same_seed_the_same_pieces_another_seed_another_text(lstm, write, texts):
    first = write(*lstm, seed=5, length=50)
    assert write(*lstm, seed=5, length=50) == first
    assert texts(write(*lstm, seed=6, length=50)) != texts(first)
    assert len(texts(write(*lstm, seed=2**63 - 1, length=50))[0]) == 50


def test_a_negative_seed_is_refused(lstm):
    model, tokenizer = lstm
    with pytest.raises(ConfigError, match="seed must be a whole number >= 0, was -1"):
        next(generate(model, tokenizer, SamplingConfig(), -1))


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_model_that_exploded_is_named_not_drawn_from(chain, letters, value):
    model = chain([[0.0, value], [0.0, 0.0]])
    for settings in ({}, {"beam": 2}):
        with pytest.raises(RunError, match="state has exploded: its output is not finite"):
            list(generate(model, letters(2), SamplingConfig(length=5, prompt="a", **settings), 1))


def test_notices_name_what_is_taken_otherwise():
    assert notices(SamplingConfig(top_k=96), 95) == ["top_k 96 is above the vocabulary of 95: all symbols are kept"]
    assert notices(SamplingConfig(top_k=95), 95) == []


@pytest.mark.parametrize("how", [{"beam": 4}, {"greedy": True}])
def test_what_chance_has_no_part_in_is_told_where_it_was_asked_for(how):
    assert notices(SamplingConfig(**how), 95) == []
    told = notices(SamplingConfig(temperature=0.5, seed=3, **how), 95)
    assert told == [f"{name} plays no part where the likeliest text is looked for" for name in ("temperature", "seed")]
    assert notices(SamplingConfig(temperature=0.5, seed=3), 95) == []
