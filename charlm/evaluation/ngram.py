"""Interpolated modified Kneser-Ney n-grams: the strongest model that a few seconds of counting buy.

Chen and Goodman (1999, Computer Speech and Language 13:359-394), section 3, after Kneser and Ney
(1995). With h the context, h' the context without its earliest symbol, c the counts of the highest order
and, below it, the number of different symbols seen before (h, w):

    p(w | h) = (c(h, w) - D(c(h, w))) / c(h) + g(h) p(w | h')       g(h) = sum of D over the w seen after h, / c(h)
    p(w | h) = p(w | h')                                            where h was never seen
    D(1) = 1 - 2 Y n2/n1   D(2) = 2 - 3 Y n3/n2   D(3 and more) = 3 - 4 Y n4/n3   Y = n1 / (n1 + 2 n2)

for the n1, n2, n3, n4 entries of the order that are counted once, twice, three and four times. The lowest
order is smoothed towards the uniform distribution by Witten and Bell's rule (1991), as few counts are small
there: p(w) = (c(w) + S / V) / (sum of c + S) for S different symbols seen. Every p sums to one over all V.

Contexts are numbered: the node of a context is found from the node of the context without its earliest
symbol, so a key fits 64 bits whatever the vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from charlm.evaluation.predictions import Ids
from charlm.streams import count_symbols, give_back

Integers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

PIECE = 2**20
LONGEST_TRAINING = 20_000_000
"""Symbols learnt from, the last ones of a longer text: counts of many more would not fit a laptop's memory."""
MOST_GRAMS = 2_500_000
"""Different rows of symbols that are counted, at some 200 bytes each: of a text with more its second half is learnt."""
SMALLEST_DISCOUNT = 0.1


@dataclass(frozen=True, eq=False)
class _Order:
    """What is known of the contexts of one length: C contexts, G different symbols after them."""

    contexts: Integers  # (C,) ascending keys: node of the shorter context, symbol before it
    grams: Integers  # (G,) ascending keys: node of the context, symbol after it
    share: Floats  # (G,) discounted count / count of the context
    rest: Floats  # (C,) g, what goes to the shorter context


class NGramModel:
    """Counts of `order` symbols in a row (so `order` - 1 of context), smoothed.

    Args:
        ids: (N,) the text to learn from; of a longer one the last LONGEST_TRAINING symbols, and of those half as many
            as long as they hold more than MOST_GRAMS different rows of `order` symbols.
        vocab_size: V; ids never seen share what smoothing leaves.
        order: n of the n-gram.
    """

    def __init__(self, ids: Ids, vocab_size: int, order: int = 5) -> None:
        self.order = order
        self.vocab_size = vocab_size
        ids = ids[-LONGEST_TRAINING:]
        # symbols are numbered by rank among those seen: beginning of the text, and never seen, follow
        self._seen = np.flatnonzero(count_symbols(ids, vocab_size))
        self._beginning = len(self._seen)
        self._never = len(self._seen) + 1
        self._radix = len(self._seen) + 2
        counted = self._count(ids)
        while counted is None:
            ids = ids[len(ids) // 2 :]
            counted = self._count(ids)
        self._orders = self._smooth(*counted) if len(ids) else []

    def nats(self, ids: Ids) -> Floats:
        """(N - 1,) -log p of every symbol but the first, each from up to `order` - 1 symbols before it."""
        return np.concatenate([np.empty(0), *self.pieces(ids)])

    def pieces(self, ids: Ids) -> Iterator[Floats]:
        """`nats` of a text of any length, in pieces."""
        before = self.order - 1
        for start in range(1, len(ids), PIECE):
            targets = self._ranks(ids[start : start + PIECE])
            context = self._ranks(ids[max(0, start - before) : start])
            missing = np.full(before - len(context), self._never)
            text = np.concatenate([missing, context, targets])
            yield -np.log(self._probabilities([text[back : back + len(targets)] for back in range(before, -1, -1)]))
            give_back(ids)

    def nats_at(self, ids: Ids, places: Integers) -> Floats:
        """(n,) -log p of the symbols at some places (n,) of a text, each from up to `order` - 1 symbols before it."""
        rows = [self._ranks(ids[places])]
        for back in range(1, self.order):
            rows.append(np.where(places >= back, self._ranks(ids[np.maximum(places - back, 0)]), self._never))
        return -np.log(self._probabilities(rows))

    def _ranks(self, ids: Ids) -> Integers:
        table = np.full(self.vocab_size, self._never)
        table[self._seen] = np.arange(len(self._seen))
        return table[ids]

    def _count(self, ids: Ids) -> tuple[Integers, Integers] | None:
        """Different rows of `order` symbols (n, G), earliest first, and how often each occurs (G,); None: too many."""
        grams = np.empty((self.order, 0), np.int64)
        counts = np.empty(0, np.int64)
        carried = np.full(self.order - 1, self._beginning)
        for start in range(0, len(ids), PIECE):
            text = np.concatenate([carried, self._ranks(ids[start : start + PIECE])])
            windows = np.lib.stride_tricks.sliding_window_view(text, self.order).T
            found = _distinct(windows, None, self._radix)
            both = np.concatenate([grams, found[0]], axis=1)
            grams, counts = _distinct(both, np.concatenate([counts, found[1]]), self._radix) if start else found
            if len(counts) > MOST_GRAMS:
                return None
            carried = text[len(text) - self.order + 1 :]
        return grams, counts

    def _smooth(self, grams: Integers, counts: Integers) -> list[_Order]:
        nodes, contexts = [np.zeros(len(counts), np.int64)], [np.zeros(1, np.int64)]
        for before in grams[-2::-1]:
            keys, node = np.unique(nodes[-1] * self._radix + before, return_inverse=True)
            contexts.append(keys)
            nodes.append(node)
        orders = []
        rows = np.arange(len(counts))
        for length in range(self.order - 1, -1, -1):
            keys, first, group = np.unique(
                nodes[length][rows] * self._radix + grams[-1][rows], return_index=True, return_inverse=True
            )
            # the highest order adds up occurrences, the others count what goes before
            weights = counts if length == self.order - 1 else np.ones(len(rows))
            count = np.bincount(group, weights).astype(np.float64)
            orders.append(self._discount(contexts[length], keys, count, lowest=length == 0))
            rows = rows[first]
        return orders[::-1]

    def _discount(self, contexts: Integers, grams: Integers, count: Floats, lowest: bool) -> _Order:
        of_context = grams // self._radix
        total = np.bincount(of_context, count, len(contexts))
        different = np.bincount(of_context, minlength=len(contexts))
        if lowest:
            weight = total + different
            return _Order(contexts, grams, count / weight[of_context], different / weight)
        taken = _discounts(count)[np.minimum(count, 3).astype(np.int64)]
        rest = np.bincount(of_context, taken, len(contexts)) / total
        return _Order(contexts, grams, (count - taken) / total[of_context], rest)

    def _probabilities(self, rows: Sequence[Integers]) -> Floats:
        """(P,) probability of P symbols: rows[0] has them, rows[k] what stands k places before each."""
        predictions = len(rows[0])
        p = np.full(predictions, 1.0 / self.vocab_size)
        node = np.zeros(predictions, np.int64)
        known = np.ones(predictions, np.bool_)
        for length, order in enumerate(self._orders):
            if length:
                node, found = _find(order.contexts, node * self._radix + rows[length])
                known &= found
            gram, seen = _find(order.grams, node * self._radix + rows[0])
            share = np.where(seen, order.share[gram], 0.0)
            p = np.where(known, share + order.rest[node] * p, p)
        return p


def _distinct(grams: Integers, counts: Integers | None, radix: int) -> tuple[Integers, Integers]:
    """Different columns of `grams` (n, N), and the sum of `counts` (N,), or their number, for each."""
    keys = _keys(grams, radix)
    if counts is None and _fits(grams, radix):  # the common case: sorting alone is twice as fast
        keys, total = np.unique(keys, return_counts=True)
        return np.stack([keys // radix**place % radix for place in range(len(grams))][::-1]), total
    keys, first, group = np.unique(keys, return_index=True, return_inverse=True)
    total = np.bincount(group, counts, len(keys)).astype(np.int64)
    return np.ascontiguousarray(grams[:, first]), total


def _fits(grams: Integers, radix: int) -> bool:
    return bool(radix ** len(grams) < 2**63)


def _keys(grams: Integers, radix: int) -> Integers:
    """One number for each column, equal where the columns are."""
    if _fits(grams, radix):
        keys = np.zeros(grams.shape[1], np.int64)
        for row in grams:
            keys = keys * radix + row
        return keys
    # too many symbols to spell a column out: number its halves
    half = len(grams) // 2
    early, late = (np.unique(_keys(part, radix), return_inverse=True)[1] for part in (grams[:half], grams[half:]))
    return early * (int(late.max(initial=0)) + 1) + late


def _discounts(count: Floats) -> Floats:
    """D for counts of 0, 1, 2, and 3 or more; kept where a distribution results when the counts are odd."""
    n1, n2, n3, n4 = (max(1, int((count == times).sum())) for times in (1, 2, 3, 4))
    y = n1 / (n1 + 2 * n2)
    found = np.array([0.0, 1 - 2 * y * n2 / n1, 2 - 3 * y * n3 / n2, 3 - 4 * y * n4 / n3])
    lowest = [0.0, SMALLEST_DISCOUNT, SMALLEST_DISCOUNT, SMALLEST_DISCOUNT]
    kept: Floats = np.clip(found, lowest, [0.0, 1.0, 2.0, 3.0])
    return kept


def _find(keys: Integers, wanted: Integers) -> tuple[Integers, npt.NDArray[np.bool_]]:
    """Place of each of `wanted` in ascending `keys`, 0 where it is missing; and whether it is there."""
    place = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    found = keys[place] == wanted
    return np.where(found, place, 0), found
