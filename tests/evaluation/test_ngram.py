"""Kneser-Ney: every distribution sums to one, and equals the same equations written with dictionaries."""

import math
from collections import Counter, defaultdict

import numpy as np
import pytest

from charlm.evaluation import ngram
from charlm.evaluation.ngram import NGramModel

BEGINNING = -1


class DictionaryModel:
    """The equations of the module's docstring, one context and one symbol at a time."""

    def __init__(self, ids, V: int, order: int) -> None:
        self.V, self.order = V, order
        text = [BEGINNING] * (order - 1) + list(ids)
        grams = Counter(tuple(text[i : i + order]) for i in range(len(text) - order + 1))
        self.levels = []
        for length in range(order, 0, -1):
            of_context = defaultdict(dict)
            for gram, count in grams.items():
                of_context[gram[:-1]][gram[-1]] = count
            counts = Counter(grams.values())
            n1, n2, n3, n4 = (max(1, counts[times]) for times in (1, 2, 3, 4))
            y = n1 / (n1 + 2 * n2)
            d = [1 - 2 * y * n2 / n1, 2 - 3 * y * n3 / n2, 3 - 4 * y * n4 / n3]
            d = [min(max(value, 0.1), most) for value, most in zip(d, (1, 2, 3), strict=True)]
            self.levels.insert(0, (of_context, d))
            grams = Counter({gram[1:] for gram in grams}) if length == 1 else Counter(gram[1:] for gram in grams)

    def p(self, context: tuple[int, ...], w: int) -> float:
        after = self.levels[0][0].get((), {})
        total, S = sum(after.values()), len(after)
        p = (after.get(w, 0) + S / self.V) / (total + S) if S else 1 / self.V
        for length in range(1, self.order):
            of_context, d = self.levels[length]
            after = of_context.get(context[len(context) - length :]) if len(context) >= length else None
            if after is None:
                break
            taken = {symbol: d[min(count, 3) - 1] for symbol, count in after.items()}
            rest = sum(taken.values()) * p
            p = (after.get(w, 0) - taken.get(w, 0) + rest) / sum(after.values())
        return p


def slow_nats(train, ids, V: int, order: int) -> list[float]:
    model = DictionaryModel(train.tolist(), V, order)
    text = ids.tolist()
    return [-math.log(model.p(tuple(text[max(0, i - order + 1) : i]), text[i])) for i in range(1, len(text))]


@pytest.mark.parametrize("order", [1, 2, 3, 5, 6])
def test_equals_dictionaries_on_real_text(ids, tokenizer, order):
    train, held = ids[:20_000], ids[20_000:24_000]
    fast = NGramModel(train, tokenizer.vocab_size, order).nats(held)
    np.testing.assert_allclose(fast, slow_nats(train, held, tokenizer.vocab_size, order), rtol=1e-9)


@pytest.mark.parametrize("vocab_size", [9_000, 50_000, 3_000_000])
def test_equals_dictionaries_where_five_symbols_do_not_fit_64_bits(vocab_size):
    symbols = np.random.default_rng(0).permutation(vocab_size)[:8000]
    train = np.concatenate([symbols, symbols[1000:3000], symbols[500:4000], symbols[600:500:-1]])
    held = np.concatenate([symbols[2000:3000], symbols[520:510:-1], np.arange(vocab_size - 50, vocab_size)])
    assert len(np.unique(train)) ** 5 > 2**63
    fast = NGramModel(train, vocab_size).nats(held)
    np.testing.assert_allclose(fast, slow_nats(train, held, vocab_size, 5), rtol=1e-9)


@pytest.mark.parametrize("order", [1, 2, 4])
@pytest.mark.parametrize(
    "train", [[], [0], [0, 0, 0, 0], [0, 1] * 50, [0, 1, 2, 0, 1, 1, 0, 2, 2, 0, 1, 2, 3], list(range(5)) * 2]
)
def test_sums_to_one_after_every_context(order, train):
    V = 6  # id 5 is never seen
    model = NGramModel(np.array(train, np.int64), V, order)
    for context in np.ndindex(*(V,) * (order - 1)):
        p = [math.exp(-model.nats(np.array([0, *context, w]))[-1]) for w in range(V)]
        assert math.fsum(p) == pytest.approx(1, abs=1e-12)
        assert min(p) > 0


def test_sums_to_one_on_real_text(ids, tokenizer):
    V = tokenizer.vocab_size
    model = NGramModel(ids[:20_000], V)
    for start in range(20_000, 20_010):
        ends = np.stack([np.append(ids[start : start + 4], w) for w in range(V)])
        assert math.fsum(math.exp(-model.nats(end)[-1]) for end in ends) == pytest.approx(1, abs=1e-10)


def test_by_hand():
    """Order 1 on 0 0 1, V = 3: (c + S / V) / (n + S) with S = 2, n = 3."""
    nats = NGramModel(np.array([0, 0, 1]), 3, order=1).nats(np.array([2, 0, 1, 2]))
    np.testing.assert_allclose(np.exp(-nats), [(2 + 2 / 3) / 5, (1 + 2 / 3) / 5, (2 / 3) / 5])


def test_pieces_change_nothing(ids, tokenizer, monkeypatch):
    train, held = ids[:20_000], ids[20_000:24_000]
    whole = NGramModel(train, tokenizer.vocab_size).nats(held)
    monkeypatch.setattr(ngram, "PIECE", 777)
    np.testing.assert_array_equal(NGramModel(train, tokenizer.vocab_size).nats(held), whole)


def test_learns_from_the_end_of_a_text_that_is_too_long(ids, tokenizer, monkeypatch):
    monkeypatch.setattr(ngram, "LONGEST_TRAINING", 5000)
    cut = NGramModel(ids[:20_000], tokenizer.vocab_size).nats(ids[20_000:])
    np.testing.assert_array_equal(cut, NGramModel(ids[15_000:20_000], tokenizer.vocab_size).nats(ids[20_000:]))


def test_of_a_text_that_never_repeats_itself_half_is_learnt_until_the_rows_are_few_enough(monkeypatch):
    """What is counted bounds the memory; the symbols that went stay known as never seen."""
    draws = np.random.default_rng(3)
    rich, plain = draws.integers(0, 900, 8000), np.tile(draws.integers(0, 30, 50), 160)
    monkeypatch.setattr(ngram, "MOST_GRAMS", 1500)
    monkeypatch.setattr(ngram, "PIECE", 700)
    cut, whole = NGramModel(rich, 1000), NGramModel(plain, 1000)
    monkeypatch.setattr(ngram, "MOST_GRAMS", 10**9)
    held = np.concatenate([rich[:200], rich[-200:], plain[:200]])
    np.testing.assert_array_equal(cut.nats(held), NGramModel(rich[-1000:], 1000).nats(held))
    np.testing.assert_array_equal(whole.nats(held), NGramModel(plain, 1000).nats(held))


def test_of_a_text_on_disk_no_more_than_a_piece_is_kept(ids, tokenizer, monkeypatch):
    given_back = []
    monkeypatch.setattr(ngram, "give_back", given_back.append)
    monkeypatch.setattr(ngram, "PIECE", 1000)
    model = NGramModel(ids[:5000], tokenizer.vocab_size)
    for done, _ in enumerate(model.pieces(ids[:7000])):
        assert len(given_back) == done


@pytest.mark.parametrize("length", [0, 1, 2, 3, 6])
def test_short_texts(ids, tokenizer, length):
    nats = NGramModel(ids[:1000], tokenizer.vocab_size).nats(ids[:length])
    assert len(nats) == max(0, length - 1)
    assert (nats > 0).all()


def test_more_context_predicts_better(ids, tokenizer):
    losses = [NGramModel(ids[:30_000], tokenizer.vocab_size, order).nats(ids[30_000:]).mean() for order in (1, 2, 3)]
    assert losses[0] > losses[1] + 0.5 > losses[2] + 0.7
