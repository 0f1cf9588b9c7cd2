"""Of a text too long to be scored as a whole: evenly spaced passages of it, the same for whoever is compared."""

from __future__ import annotations

import numpy as np

from charlm.evaluation.predictions import Ids

PASSAGES = 16


def passages(ids: Ids, most: int) -> Ids:
    """All of `ids` (N,) where that is no more than `most`, else `PASSAGES` evenly spaced stretches of it, joined."""
    if len(ids) <= most:
        return np.asarray(ids)
    length = most // PASSAGES
    starts = np.linspace(0, len(ids) - length, PASSAGES).astype(np.int64)
    return np.concatenate([ids[start : start + length] for start in starts])
