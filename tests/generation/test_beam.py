"""Beam search against what trying everything finds."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest

from charlm.config import SamplingConfig
from charlm.errors import ConfigError
from charlm.generation import TRANSFORMS, generate
from charlm.tokenizers import CharTokenizer


def random_table(V: int, seed: int) -> np.ndarray:
    return 2 * np.random.default_rng(seed).standard_normal((V, V)).astype(np.float32)


def everything(table: np.ndarray, length: int, stop: str) -> list[tuple[float, str, float]]:
    """(nats per character, text, nats) of all texts over the first letters, after an `a`; best first."""
    wide = table.astype(np.float64)
    nats = np.log(np.exp(wide).sum(axis=1, keepdims=True)) - wide
    found = {}
    for ids in itertools.product(range(len(table)), repeat=length):
        text = "".join("abcdef"[i] for i in ids)
        if stop and stop in text:
            text = text[: text.index(stop) + len(stop)]
        total = sum(nats[a, b] for a, b in itertools.pairwise((0, *ids[: len(text)])))
        found[text] = (total / len(text), text, total)
    return sorted(found.values())


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("stop", ["", "b", "ab", "cc"])
def test_a_beam_wide_enough_finds_what_trying_everything_finds(chain, letters, write, texts, seed, stop):
    V, length = 3, 4
    table = random_table(V, seed)
    pieces = write(
        chain(table), letters(V), prompt="a", length=length, beam=V**length, samples=5, stop=(stop,) if stop else ()
    )
    tried = everything(table, length, stop)
    found = texts(pieces)
    endings = [piece.ending for piece in pieces if piece.ending]
    assert len(set(found)) == 5
    # not text by text: two that take the same steps in another order are equally likely
    means = [ending.nats / ending.characters for ending in endings]
    np.testing.assert_allclose(means, [mean for mean, *_ in tried[:5]], rtol=1e-6)
    nats_of = {text: nats for _, text, nats in tried}
    np.testing.assert_allclose([ending.nats for ending in endings], [nats_of[text] for text in found], rtol=1e-6)
    reasons = ["stop" if stop and text.endswith(stop) else "length" for text in found]
    assert [ending.reason for ending in endings] == reasons


@pytest.mark.parametrize("seed", range(30))
@pytest.mark.parametrize("beam", [1, 2, 3])
def test_a_beam_is_never_worse_than_greedy(chain, letters, write, seed, beam):
    model = chain(random_table(6, seed))
    common = {"prompt": "a", "length": 12, "stop": ("ff",)}
    (searched,) = [p.ending for p in write(model, letters(6), beam=beam, **common) if p.ending]
    (greedy,) = [p.ending for p in write(model, letters(6), greedy=True, **common) if p.ending]
    assert searched.nats / searched.characters <= greedy.nats / greedy.characters + 1e-9
    if beam == 1:
        assert dataclasses.replace(searched, nats=0) == dataclasses.replace(greedy, nats=0)
        assert searched.nats == pytest.approx(greedy.nats)


def test_the_greedy_text_keeps_its_place_when_others_pass_it_for_a_while(chain, letters, write, texts):
    p = np.full((6, 6), 1e-6)
    a, b, c, d, e, f = range(6)
    p[a, [b, c, d]] = 0.4, 0.3, 0.3
    p[b] = 0.15, 0.15, 0.15, 0.15, 0.25, 0.15
    p[c, [c, f]] = p[d, [d, f]] = 0.5
    p[e, e] = 1
    p[f] = 1 / 6
    # be.. is greedy; after two steps cc (0.15) and cf (0.15) are ahead of be (0.1), and in the end it wins
    pieces = write(chain(np.log(p)), letters(6), prompt="a", length=4, beam=2)
    assert texts(pieces) == ["beee"]


def test_the_state_follows_its_text_through_a_real_model(lstm, write):
    (ending,) = [piece.ending for piece in write(*lstm, prompt="ab", length=15, beam=6) if piece.ending]
    model, tokenizer = lstm
    text = "".join(piece.text for piece in write(*lstm, prompt="ab", length=15, beam=6))
    logits, state = model.prime(tokenizer.encode("ab"))
    nats = 0.0
    for chosen in tokenizer.encode(text[2:]):
        wide = logits[0].astype(np.float64)
        nats += np.log(np.exp(wide).sum()) - wide[chosen]
        logits, state = model.step(np.array([chosen]), state)
    assert ending.nats == pytest.approx(nats, rel=1e-9)


def test_ties_go_to_the_lower_ids(chain, letters, write, texts):
    pieces = write(chain(np.zeros((3, 3))), letters(3), length=4, beam=3, samples=3)
    assert texts(pieces) == ["aaaa", "aaab", "aaac"]


def test_seed_and_temperature_play_no_part(lstm, write):
    common = {"beam": 4, "samples": 2, "length": 20}
    first = write(*lstm, seed=1, temperature=0.3, **common)
    assert write(*lstm, seed=2, temperature=1.7, **common) == first


def test_fewer_texts_than_asked_for_are_all_there_are(chain, letters, write, texts):
    assert sorted(texts(write(chain(np.zeros((2, 2))), letters(2), length=1, beam=9, samples=9))) == ["a", "b"]


def test_a_text_spelt_in_several_ways_comes_once(chain, write, texts):
    tokenizer = CharTokenizer("ab")  # a and b as characters and as bytes
    model = chain(np.zeros((tokenizer.vocab_size,) * 2))
    found = texts(write(model, tokenizer, length=1, beam=300, samples=300))
    assert len(found) == len(set(found))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"greedy": True}, "greedy and beam exclude each other"),
        ({"top_k": 3}, "top_k and beam exclude each other"),
        ({"top_p": 0.5}, "top_p and beam exclude each other"),
        ({"min_p": 0.5}, "min_p and beam exclude each other"),
        ({"max_copy": 5}, "max_copy and beam exclude each other"),
        ({"repetition_penalty": 1.5}, "repetition_penalty and beam exclude each other"),
        ({"samples": 4}, r"samples must be at most beam \(3\), was 4"),
        ({"length": 10**12}, "length must be at most 100000 with beam, was 1000000000000"),
    ],
)
def test_settings_that_exclude_each_other_are_refused(lstm, settings, message):
    with pytest.raises(ConfigError, match=message):
        generate(*lstm, SamplingConfig(beam=3, **settings), 1)


@pytest.mark.parametrize("name", [name for name in TRANSFORMS if name != "temperature"])
def test_no_filter_goes_unheard_beside_a_beam(lstm, name):
    sampling = SamplingConfig(beam=3, **{name: 2 if name in ("top_k", "max_copy") else 0.5})
    with pytest.raises(ConfigError, match=f"{name} and beam exclude each other"):
        generate(*lstm, sampling, 1)
