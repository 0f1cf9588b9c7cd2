"""Baselines are the same for every run on a text: computed once, kept beside the ids."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
from pathlib import Path

from charlm.config.folders import cache_folder
from charlm.errors import RunError
from charlm.evaluation.baselines import BASELINES, baseline_scores
from charlm.evaluation.passages import passages
from charlm.evaluation.score import Score
from charlm.runs import Data, records
from charlm.runs.data import store_key
from charlm.streams.replacement import replacing

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
        path = _path(store_key(data.facts, data.tokenizer.fingerprint), part)
        with path.open("rb") as file:
            record = records.load(file.read(records.LARGEST + 1), path.name)
        return {name: Score(**score) for name, score in record.items()}
    except (OSError, RunError, TypeError):
        return None


def remember(key: str, part: str, scores: dict[str, Score]) -> None:
    """Keep the baselines of a part of the text whose ids are kept under `key`."""
    path = _path(key, part)
    # a memory that cannot be written costs time, never the result
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as file:
            file.write(records.dump({name: dataclasses.asdict(score) for name, score in scores.items()}))


def _path(key: str, part: str) -> Path:
    return cache_folder() / FOLDER / f"{key}-{part}-{_definition()}.json"


def _definition() -> str:
    """Changes when a baseline is another: what was computed before is then no longer it."""
    words = json.dumps({name: [baseline.words, baseline.version] for name, baseline in BASELINES.items()})
    return hashlib.sha256(words.encode()).hexdigest()[:8]
