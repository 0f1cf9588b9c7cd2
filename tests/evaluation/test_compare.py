"""Two runs on one text: losses on characters, the paired difference, kinds of characters, passages."""

import math

import numpy as np
import pytest

from charlm.config import TokenizerConfig
from charlm.errors import CorpusError
from charlm.evaluation.compare import CLASSES, PASSAGE, compare_losses, per_character
from charlm.tokenizers import train_tokenizer

NAMES = {"runs": ("a", "b"), "checkpoints": ("step-1", "step-2"), "name": "t", "split": "test"}


def test_losses_are_put_on_characters():
    """By hand: a piece of three characters shares its loss, the bytes of a character are added up."""
    tokenizer = train_tokenizer(TokenizerConfig(tokenizer="byte"), ["a"])
    ids = tokenizer.encode("aé☃b")
    found = per_character(tokenizer, ids, np.array([1.0, 2.0, 4.0, 8.0, 16.0, 32.0]), 4)
    np.testing.assert_array_equal(found, [np.nan, 3.0, 28.0, 32.0])
    ids = tokenizer.encode("☃b")  # the rest of the first character is read with it
    np.testing.assert_array_equal(per_character(tokenizer, ids, np.array([1.0, 2.0, 4.0]), 2), [np.nan, 4.0])


class Pieces:
    """Ids 0, 1, 2 of one, two and three characters."""

    characters_per_id = np.array([1, 2, 3])


def test_a_piece_shares_its_loss_evenly():
    ids = np.array([1, 2, 0, 1])
    found = per_character(Pieces(), ids, np.array([6.0, 5.0, 3.0]), 8)
    np.testing.assert_array_equal(found, [np.nan, np.nan, 2.0, 2.0, 2.0, 5.0, 1.5, 1.5])


def test_ids_that_are_no_whole_characters_are_refused():
    tokenizer = train_tokenizer(TokenizerConfig(tokenizer="byte"), ["a"])
    with pytest.raises(CorpusError, match="not UTF-8 throughout"):
        per_character(tokenizer, np.array([97, 0xA9, 98]), np.ones(2), 3)


def test_the_figures_by_hand():
    text = "Ab1 .\n\x07" * 800
    bits = dict(zip("Ab1 .\n\x07", [1.0, 2.0, 4.0, 0.5, 3.0, 0.25, 8.0], strict=True))
    one = np.array([bits[character] for character in text]) * math.log(2)
    other = one.copy()
    other[np.array(list(text)) == "1"] = 2 * math.log(2)  # the second knows digits better
    other[500 : 500 + PASSAGE] += 3 * math.log(2)
    one[:1], other[:3] = np.nan, np.nan  # only what both predicted counts
    found = compare_losses(text, one, other, **NAMES)
    count = len(text) - 3
    assert found.characters == count
    first = {one.name: one for one in found.classes}
    assert list(first) == list(CLASSES)
    # "Ab1" went with the start
    assert [kind.characters for kind in found.classes] == [1598, 799, 800, 800, 800, 800]
    assert first["digits"].bits[0] == pytest.approx(4.0)
    assert first["digits"].bits[1] == pytest.approx(2.0, abs=0.1)
    assert sum(kind.characters for kind in found.classes) == count
    for side in (0, 1):
        total = sum(kind.characters * kind.bits[side] for kind in found.classes)
        assert total / count == pytest.approx(found.bits[side])
    assert found.difference == pytest.approx(found.bits[1] - found.bits[0])
    assert found.difference == pytest.approx((3 * PASSAGE - 2 * 799) / count)
    low, high = found.interval
    assert low < found.difference < high < 0
    best = found.gains[0][0]
    assert 500 - PASSAGE < best.position < 500 + PASSAGE
    assert best.text == text[best.position : best.position + PASSAGE]
    assert best.bits_gained > PASSAGE
    assert len(found.gains[1]) == 3
    turned = compare_losses(text, other, one, **NAMES)
    assert turned.difference == pytest.approx(-found.difference)
    assert turned.gains == found.gains[::-1]
    assert turned.interval == pytest.approx((-high, -low), abs=0.02)


def test_equal_losses_are_no_difference():
    nats = np.random.default_rng(0).exponential(1.0, 9000)
    found = compare_losses("x" * 9000, nats, nats.copy(), **NAMES)
    assert (found.difference, found.interval, found.gains) == (0.0, (0.0, 0.0), ((), ()))


def test_nothing_to_compare_is_told():
    with pytest.raises(CorpusError, match="0 predictions"):
        compare_losses("x", np.array([np.nan]), np.array([np.nan]), **NAMES)
