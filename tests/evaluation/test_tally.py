"""Totals carry their denominators: tokens, characters and bytes of what was predicted."""

import itertools
import math

import numpy as np
import pytest

from charlm.config import TokenizerConfig
from charlm.evaluation import Predictions, Score, score_of
from charlm.evaluation.bootstrap import bootstrap_interval
from charlm.evaluation.tally import Tally, score_of_total
from charlm.tokenizers import ByteTokenizer, train_tokenizer


def predictions_of(nats) -> Predictions:
    nats = np.asarray(nats, np.float32)
    return Predictions(nats=nats, correct=nats < 1)


def test_characters_written_as_bytes_count_once():
    tokenizer = train_tokenizer(TokenizerConfig(), ["abc"])
    ids = tokenizer.encode("aé€b")  # a, 2 bytes, 3 bytes, b
    score = score_of(predictions_of([1, 1, 1, 1, 1, 1]), ids[1:], tokenizer)
    assert score == Score(total_nats=6.0, tokens=6, characters=3, bytes=6)
    assert score.perplexity == pytest.approx(math.e)
    assert score.perplexity_per_character == pytest.approx(math.e**2)
    assert score.bits_per_character == pytest.approx(2 / math.log(2))
    assert score.bits_per_byte == pytest.approx(1 / math.log(2))


@pytest.mark.parametrize("family", ["char", "byte"])
def test_denominators_are_those_of_the_text(family, text):
    sample = text[:5000] + " naïve façade, 東京, 🙂 "
    tokenizer = train_tokenizer(TokenizerConfig(tokenizer=family, min_count=2), [sample])
    ids = tokenizer.encode(sample)
    score = score_of_total(1.0, ids, tokenizer)
    assert score.characters == len(sample) - 1
    assert score.bytes == len(sample.encode()) - 1
    assert score.tokens == len(ids) - 1 > score.characters  # min_count 2 made bytes of 🙂


def test_piece_by_piece_is_the_whole(tokenizer, ids):
    nats = np.random.default_rng(0).exponential(1.5, len(ids) - 1)
    whole = predictions_of(nats)
    tally = Tally(tokenizer, len(nats))
    cuts = [0, 1, 999, 1000, 1001, 5000, len(nats)]
    for start, end in itertools.pairwise(cuts):
        tally.add(predictions_of(nats[start:end]), ids[1 + start : 1 + end])
    assert tally.score.total_nats == pytest.approx(whole.nats.sum(dtype=np.float64), rel=1e-12)
    assert tally.score == score_of(whole, ids[1:], tokenizer)
    assert tally.accuracy == pytest.approx((whole.nats < 1).mean())
    # blocks are of the text, not of the pieces
    starts = np.arange(0, len(nats) - 999, 1000)  # what is left belongs to the last one
    sizes = np.diff([*starts, len(nats)])
    blocks = np.add.reduceat(whole.nats.astype(np.float64), starts)
    assert tally.interval == pytest.approx(bootstrap_interval(blocks, sizes))


@pytest.mark.parametrize("behind", range(5))
def test_a_text_that_ends_within_a_character_has_an_interval(behind):
    """Bytes left over behind the last block may begin no character, whatever the text's length."""
    tokenizer = ByteTokenizer()
    ids = np.frombuffer(b"x" + b"abcde" * 600 + b"\x80" * behind, np.uint8)
    tally = Tally(tokenizer, len(ids) - 1)
    tally.add(predictions_of(np.random.default_rng(0).exponential(1.5, len(ids) - 1)), ids[1:])
    low, high = tally.interval
    assert low < tally.score.nats_per_character < high


@pytest.mark.parametrize(("predictions", "there"), [(2499, False), (2500, True), (2501, True)])
def test_an_interval_needs_ten_blocks(tokenizer, predictions, there):
    tally = Tally(tokenizer, predictions)
    nats = np.random.default_rng(0).exponential(1.5, predictions)
    tally.add(predictions_of(nats), np.zeros(predictions, np.uint8))
    assert (tally.interval is not None) == there


def test_nothing_predicted(tokenizer):
    tally = Tally(tokenizer, 0)
    tally.add(predictions_of([]), np.empty(0, np.uint8))
    assert tally.score == Score(total_nats=0.0, tokens=0, characters=0, bytes=0)
    assert tally.accuracy is None
    assert tally.interval is None
    score = tally.score
    figures = (score.nats_per_token, score.nats_per_character, score.perplexity, score.perplexity_per_character)
    assert (*figures, score.bits_per_character, score.bits_per_byte) == (None,) * 6


def test_totals_are_summed_in_float64(tokenizer):
    n = 2**17
    ids = np.zeros(n + 1, np.uint8)
    score = score_of(predictions_of(np.full(n, 1.1)), ids[1:], tokenizer)
    assert score.total_nats == pytest.approx(n * float(np.float32(1.1)), rel=1e-12)


def test_scores_add_up():
    one = Score(total_nats=2.0, tokens=1, characters=2, bytes=3)
    assert one + one == Score(total_nats=4.0, tokens=2, characters=4, bytes=6)


def test_hopeless_perplexity_is_infinite_not_an_overflow():
    assert Score(total_nats=1e6, tokens=1, characters=1, bytes=1).perplexity == math.inf
