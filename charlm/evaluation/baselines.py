"""What costs seconds and no training: a model that does not beat these has learned little.

Each baseline learns from the training split and is scored on the same symbols as a model, every one but the
first, so that all figures have the same denominators.
"""

from __future__ import annotations

import itertools
import lzma
import math
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from dataclasses import dataclass

import numpy as np

from charlm.evaluation.ngram import NGramModel
from charlm.evaluation.predictions import Ids
from charlm.evaluation.score import Score
from charlm.evaluation.tally import score_of_total
from charlm.registry import lookup
from charlm.streams import count_symbols, stretches
from charlm.tokenizers import Tokenizer

PIECE = 2**20
XZ_PRESET = 6
XZ_DICTIONARY = 2**23
"""Bytes that xz looks back over with this preset."""


@dataclass(frozen=True)
class Baseline:
    """Something to compare a model with.

    Attributes:
        total_nats: of training ids, scored ids (N,), tokenizer: the loss of all scored ids but the first, in nats.
        words: what it is, for a reader.
        version: raised when its figures change, so that those of before are not used again.
    """

    total_nats: Callable[[Ids, Ids, Tokenizer], float]
    words: str
    version: int = 1


def baseline_scores(
    train_ids: Ids, ids: Ids, tokenizer: Tokenizer, names: Iterable[str] | None = None
) -> dict[str, Score]:
    """Scores of the baselines on `ids` (N,), learnt from `train_ids`; of all of BASELINES, or of `names`.

    Raises:
        UnknownNameError: a name that is not in BASELINES.
    """
    chosen = {name: lookup(BASELINES, name, "baseline") for name in (BASELINES if names is None else names)}
    if len(ids) < 2:
        return {name: score_of_total(0.0, ids, tokenizer) for name in chosen}
    totals = {name: baseline.total_nats(train_ids, ids, tokenizer) for name, baseline in chosen.items()}
    return {name: score_of_total(total, ids, tokenizer) for name, total in totals.items()}


def uniform_nats(train_ids: Ids, ids: Ids, tokenizer: Tokenizer) -> float:
    """Every symbol seen in training is equally likely: log S nats for S of them, plus next to nothing.

    So that others are possible at all they share S / (n + S), for n training symbols: Witten and Bell's
    estimate of the chance of something new. With no training text every symbol of the vocabulary is as likely.
    """
    seen = count_symbols(train_ids, tokenizer.vocab_size) > 0
    return _fixed_nats(ids, seen.astype(np.float64), _Novelty(len(train_ids), seen))


def unigram_nats(train_ids: Ids, ids: Ids, tokenizer: Tokenizer) -> float:
    """Symbols as likely as they were frequent in training; others share S / (n + S), as for `uniform_nats`."""
    counts = count_symbols(train_ids, tokenizer.vocab_size)
    return _fixed_nats(ids, counts.astype(np.float64), _Novelty(len(train_ids), counts > 0))


def five_gram_nats(train_ids: Ids, ids: Ids, tokenizer: Tokenizer) -> float:
    """Four symbols of context: `NGramModel` of order 5."""
    model = NGramModel(train_ids, tokenizer.vocab_size, order=5)
    return math.fsum(float(piece.sum()) for piece in model.pieces(ids))


def xz_nats(train_ids: Ids, ids: Ids, tokenizer: Tokenizer) -> float:
    """By how many bits the text makes an xz file longer that holds the end of the training split already.

    size(xz(tail + text)) - size(xz(tail)), at xz's usual preset 6, for a tail of the 8 MiB that it can look
    back on. The first symbol of the text belongs to the tail.
    """
    tail = b"".join(_last_bytes(train_ids, tokenizer))[-XZ_DICTIONARY:] + tokenizer.decode_bytes(ids[:1])
    text = map(tokenizer.decode_bytes, stretches(ids, PIECE, 1))
    before = _beside(lambda: _xz_size(tail, ()))
    after = _xz_size(tail, text)
    return max(0, after - before.result()) * 8 * math.log(2)


BASELINES: dict[str, Baseline] = {
    "uniform": Baseline(uniform_nats, "every symbol seen in training equally likely"),
    "unigram": Baseline(unigram_nats, "symbols as likely as in training, whatever comes before"),
    "5-gram": Baseline(five_gram_nats, "4 symbols of context, interpolated modified Kneser-Ney", version=2),
    "xz": Baseline(xz_nats, "bytes that the text adds to an xz file of the training split's last 8 MiB"),
}


class _Novelty:
    """How much probability symbols get that training never showed.

    Attributes:
        share: of them all together.
        each: of one of them.
    """

    def __init__(self, symbols: int, seen: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> None:
        S, V = int(seen.sum()), len(seen)
        # nothing is left to be new where everything was seen
        self.share = 0.0 if S == V else S / (symbols + S) if S else 1.0
        self.each = self.share / (V - S) if S < V else 0.0


def _fixed_nats(ids: Ids, weights: np.ndarray[tuple[int], np.dtype[np.float64]], novelty: _Novelty) -> float:
    """Loss of all ids but the first where p(w) goes by weights (V,), whatever comes before."""
    seen = weights > 0
    p = np.where(seen, weights / max(weights.sum(), 1.0) * (1 - novelty.share), novelty.each)
    counts = count_symbols(ids[1:], len(weights))
    used = counts > 0
    return float(-(counts[used] * np.log(p[used])).sum())


def _last_bytes(ids: Ids, tokenizer: Tokenizer) -> list[bytes]:
    """The end of a text, in pieces, at least XZ_DICTIONARY bytes of it where it has as many."""
    pieces: list[bytes] = []
    end, size = len(ids), 0
    while end > 0 and size < XZ_DICTIONARY:
        start = max(0, end - PIECE)
        pieces.insert(0, tokenizer.decode_bytes(ids[start:end]))
        end, size = start, size + len(pieces[0])
    return pieces


def _xz_size(tail: bytes, text: Iterable[bytes]) -> int:
    compressor = lzma.LZMACompressor(lzma.FORMAT_XZ, preset=XZ_PRESET)
    # in pieces, so that a signal does not wait for all of it
    pieces = (tail[start : start + PIECE] for start in range(0, len(tail), PIECE))
    size = sum(len(compressor.compress(piece)) for piece in itertools.chain(pieces, text))
    return size + len(compressor.flush())


def _beside(work: Callable[[], int]) -> Future[int]:
    """`work` in a thread of its own, which a process that ends does not wait for, as it does for those of a pool."""
    found: Future[int] = Future()

    def run() -> None:
        try:
            found.set_result(work())
        except BaseException as error:
            found.set_exception(error)

    threading.Thread(target=run, name="charlm-xz", daemon=True).start()  # lzma lets go of the interpreter
    return found
