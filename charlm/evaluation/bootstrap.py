"""How far a figure would move on another stretch of text of the same kind.

Neighbouring symbols are hard or easy together, so not they but blocks of them are drawn with replacement
(the block bootstrap: Carlstein, 1986, Annals of Statistics 14:1171-1179; Künsch, 1989, 17:1217-1241). With
few blocks a bootstrap interval is too narrow; its percentiles are moved out as a t interval's would be (the
expanded percentile interval: Hesterberg, 2015, The American Statistician 69:371-386, section 5.3). Where a subject
lasts longer than a block, neighbouring blocks are hard or easy together as well, and drawn singly they would move less
than the text does (the bias that Künsch, 1989, gives); the interval is widened by what their correlation adds to the
variance of a sum.

What it does not cover: other seeds, other trainings, texts of another kind.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

LONGEST_BLOCK = 1000
SHORTEST_BLOCK = 250
USUAL_BLOCKS = 30
MOST_BLOCKS = 2000
FEWEST_BLOCKS = 10
# Of neighbouring blocks; a higher one is a text's single change of subject, which no interval is for.
HIGHEST_CORRELATION = 0.5
RESAMPLES = 2000
SEED = 20_170_601
_Z = 1.959964  # the normal distribution's 97.5 % point
_AT_ONCE = 2**20

Numbers = npt.NDArray[np.floating] | npt.NDArray[np.integer]


def block_length(predictions: int) -> int:
    """Predictions in a block: 1,000; fewer in short texts, more where that would make over MOST_BLOCKS blocks."""
    short = min(LONGEST_BLOCK, max(SHORTEST_BLOCK, predictions // USUAL_BLOCKS))
    return max(short, -(-predictions // MOST_BLOCKS))


def block_starts(predictions: int) -> npt.NDArray[np.int64]:
    """Where the blocks of so many predictions begin; what is left behind the last one, alone too little, belongs to it.

    Else a block of one byte might be drawn as often as others, or have no character to be an average of.
    """
    length = block_length(predictions)
    return np.arange(max(min(predictions, 1), predictions // length), dtype=np.int64) * length


def bootstrap_interval(nats: Numbers, characters: Numbers) -> tuple[float, float] | None:
    """95 % interval of nats per character.

    Args:
        nats: (n,) sums of the losses of blocks of text, in nats, in the order of the text.
        characters: (n,) what the blocks amount to.

    Returns:
        Its ends, the same at every call; None for fewer than FEWEST_BLOCKS blocks, no characters or infinite losses.
    """
    n = len(nats)
    if n < FEWEST_BLOCKS or not np.all(characters > 0) or not np.all(np.isfinite(nats)):
        return None
    rng = np.random.Generator(np.random.PCG64(SEED))
    ratios = []
    rows = max(1, _AT_ONCE // n)
    for start in range(0, RESAMPLES, rows):
        drawn = rng.integers(0, n, size=(min(rows, RESAMPLES - start), n))
        ratios.append(nats[drawn].sum(axis=1, dtype=np.float64) / characters[drawn].sum(axis=1, dtype=np.float64))
    tail = _expanded_tail(n)
    low, high = np.quantile(np.concatenate(ratios), [tail, 1 - tail])
    figure, wider = nats.sum() / characters.sum(), _widening(nats, characters)
    # no text of such blocks has less than the easiest, or more than the hardest
    blocks = nats / characters
    wide = figure + wider * (np.array([low, high]) - figure)
    low, high = np.clip(wide, blocks.min(), blocks.max())
    return float(low), float(high)


def _widening(nats: Numbers, characters: Numbers) -> float:
    """How many times wider than of blocks drawn singly: 1 where neighbours have nothing in common."""
    off = nats - nats.sum() / characters.sum() * characters
    squares = float((off * off).sum())
    if squares == 0:
        return 1.0
    # 1 / n is what the correlation of so many is too low by (Kendall, 1954, Biometrika 41:403-404)
    correlation = float((off[1:] * off[:-1]).sum()) / squares + 1 / len(off)
    return math.sqrt(1 + 2 * min(max(correlation, 0.0), HIGHEST_CORRELATION))


def _expanded_tail(n: int) -> float:
    """Share of the resamples to leave out at each end: 2.5 %, less the fewer the blocks."""
    freedom = n - 1
    # Student's t at 97.5 % by its expansion in 1 / freedom (Abramowitz and Stegun, 26.7.5)
    t = _Z + (_Z**3 + _Z) / (4 * freedom) + (5 * _Z**5 + 16 * _Z**3 + 3 * _Z) / (96 * freedom**2)
    return 0.5 * math.erfc(t * math.sqrt(n / freedom) / math.sqrt(2))
