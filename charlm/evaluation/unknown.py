"""Characters of a text that a vocabulary has not: left out, so that no figure speaks of them, or spelled in bytes."""

from __future__ import annotations

from charlm.evaluation.predictions import Ids
from charlm.streams import count_symbols
from charlm.tokenizers import Tokenizer

# So large a share of a text is worth a word: it says more of the vocabulary than of the model.
SPELLED = 0.02


def drops(tokenizer: Tokenizer, unknown: str | None) -> bool:
    """Whether any may be left out; `unknown`: what to do with them, None for what the tokenizer does."""
    # bytes leave nothing out, and count no character where they stand for none
    return (unknown or tokenizer.unknown) == "drop" and tokenizer.name != "byte"


def words_of_dropped(whole: int, kept: int) -> str:
    """What to say of a text of `whole` characters of which `kept` are known; empty where all are."""
    if kept == whole:
        return ""
    return f"dropped, as the vocabulary has no such characters: {whole - kept:,} of {whole:,}; no figure speaks of them"


def words_of_spelled(tokenizer: Tokenizer, ids: Ids) -> str:
    """What to say of ids (N,) of which many spell characters byte by byte; empty where few do."""
    counts = count_symbols(ids, tokenizer.vocab_size) * tokenizer.characters_per_id
    spelled, whole = int(counts[tokenizer.spelling].sum()), int(counts.sum())
    if spelled <= SPELLED * whole:
        return ""
    return f"{spelled:,} of {whole:,} characters are not in the vocabulary: each is predicted as its bytes"
