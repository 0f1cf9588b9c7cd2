"""Which text an addition's numbers are tuned on: some of the run's own, none of it scored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from charlm.errors import ConfigError
from charlm.evaluation.familiar import NOT_AT_ALL, Familiar
from charlm.evaluation.predictions import Ids
from charlm.runs import Data

TUNED_ON = 50_000
"""Symbols, at most: more take longer and choose the same."""

Bounds = tuple[int, int]


@dataclass(frozen=True, kw_only=True, eq=False)
class TuningText:
    """What additions learn from; what is scored is not among it.

    Attributes:
        train_ids: what the model was trained on.
        ids: what is tuned on.
        before_ids: `train_ids` without `ids`.
        words: what `ids` are, for a reader.
    """

    train_ids: Ids
    ids: Ids
    before_ids: Ids
    words: str


def choose_tuning_text(run: Data, scored: Data, split: str, known: Familiar = NOT_AT_ALL) -> TuningText:
    """The beginning of the run's validation split; where that is scored itself, the end of the training split.

    Args:
        run: the run's own text.
        scored: the text that is scored; of another run, or the same.
        split: which part of it.
        known: how much of it is in the run's own text, where it is another one.

    Raises:
        ConfigError: what is scored is part of the training text, or there is nothing else to tune on.
    """
    taken = _bounds(scored.facts, split) if scored.facts["sha256"] == run.facts["sha256"] else (0, 0)
    if _overlap(taken, _bounds(run.facts, "train")):
        raise ConfigError(
            f"split {split} has text in it that the run was trained on, and additions learn from that: "
            "choose --split test or validation"
        )
    if known.is_training_text:
        raise ConfigError(
            f"{100 * known.train:.0f} % of this text stands word for word in what the run was trained on, "
            "and additions learn from that: choose another text"
        )
    train, validation = (run.store.part(part) for part in ("train", "validation"))
    scored_itself = _overlap(taken, _bounds(run.facts, "validation")) or known.is_validation_text
    if len(validation) > 1 and not scored_itself:
        ids = validation[:TUNED_ON]
        words = f"the first {len(ids):,} symbols of the validation split"
        return TuningText(train_ids=train, ids=ids, before_ids=train, words=words)
    count = min(TUNED_ON, len(train) // 2)
    if count < 2:
        raise ConfigError("the run has no text beside what is scored, so there is nothing to tune additions on")
    words = f"the last {count:,} symbols of the training split, which the model knows: validation text is scored"
    return TuningText(train_ids=train, ids=train[-count:], before_ids=train[:-count], words=words)


def _bounds(facts: Mapping[str, Any], part: str) -> Bounds:
    first, end = (0, facts["characters"]) if part == "all" else facts["parts"].get(part, (0, 0))
    return int(first), int(end)


def _overlap(one: Bounds, other: Bounds) -> bool:
    return max(one[0], other[0]) < min(one[1], other[1])
