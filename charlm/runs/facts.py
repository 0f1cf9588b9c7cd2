"""What a run notes of its text, held to its types when it is read: those who go by it later need not ask again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from charlm.config.parts import PARTS
from charlm.runs.manifest import is_count

# `charlm.corpora.CorpusFacts` as JSON values.
_COUNTS = ("characters", "bytes", "documents")
_TEXTS = ("sha256", "split")


def checked_facts(facts: Any) -> dict[str, Any]:
    """`facts` as a run has them: whatever is noted of the text is of its type.

    Raises:
        ValueError, TypeError, AttributeError, LookupError: they are not such.
    """
    found: dict[str, Any] = facts
    corpus: Mapping[str, Any] = found.get("corpus", {})
    if not isinstance(found, dict) or not isinstance(corpus, dict):
        raise TypeError
    ends = [end for bounds in corpus.get("parts", {}).values() for end in bounds]
    counts = [*(corpus[name] for name in _COUNTS if name in corpus), *ends]
    if not all(map(is_count, counts)) or not all(isinstance(corpus[name], str) for name in _TEXTS if name in corpus):
        raise TypeError
    if not all(
        name in PARTS and len(bounds) == 2 and bounds[0] <= bounds[1]
        for name, bounds in corpus.get("parts", {}).items()
    ):
        raise ValueError
    return found
