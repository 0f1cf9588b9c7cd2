"""Baselines are the same for every run on a text: computed once, kept beside the ids."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from pathlib import Path

from charlm.config.folders import cache_folder
from charlm.evaluation.baselines import BASELINES, baseline_scores
from charlm.evaluation.passages import passages
from charlm.evaluation.score import Score
from charlm.runs import Data
from charlm.runs.data import store_key

FOLDER = "baselines"


def remembered_baselines(data: Data, part: str, most: int | None = None) -> dict[str, Score]:
    """Scores of all baselines on a part of `data`, learnt from its training part; none for an empty part.

    Args:
        most: symbols; of a longer part, passages of so many are scored.
    """
    ids = data.store.part(part)
    if len(ids) < 2:
        return {}
    if most is not None and len(ids) > most:
        ids, part = passages(ids, most), f"{part}-{most}"
    known = known_baselines(data, part)
    if known is not None:
        return known
    scores = baseline_scores(data.store.part("train"), ids, data.tokenizer)
    remember(store_key(data.facts, data.tokenizer.fingerprint), part, scores)
    return scores


def known_baselines(data: Data, part: str) -> dict[str, Score] | None:
    """What `remember` wrote for this text and part; None where there is nothing of use."""
    try:
        content = json.loads(_path(store_key(data.facts, data.tokenizer.fingerprint), part).read_text(encoding="utf-8"))
        return {name: Score(**score) for name, score in content.items()}
    except (OSError, ValueError, TypeError, AttributeError, RecursionError):
        return None


def remember(key: str, part: str, scores: dict[str, Score]) -> None:
    """Keep the baselines of a part of the text whose ids are kept under `key`."""
    path = _path(key, part)
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(json.dumps({name: dataclasses.asdict(score) for name, score in scores.items()}))
        temporary.replace(path)
    except OSError:
        # a memory that cannot be written costs time, never the result
        temporary.unlink(missing_ok=True)


def _path(key: str, part: str) -> Path:
    return cache_folder() / FOLDER / f"{key}-{part}-{_definition()}.json"


def _definition() -> str:
    """Changes when a baseline is another: what was computed before is then no longer it."""
    words = json.dumps({name: [baseline.words, baseline.version] for name, baseline in BASELINES.items()})
    return hashlib.sha256(words.encode()).hexdigest()[:8]
