"""Characters that a vocabulary without bytes leaves out of a text, which no figure speaks of."""

from __future__ import annotations

from charlm.tokenizers import Tokenizer


def drops(tokenizer: Tokenizer, unknown: str | None) -> bool:
    """Whether any may be left out; `unknown`: what to do with them, None for what the tokenizer does."""
    # bytes leave nothing out, and count no character where they stand for none
    return (unknown or tokenizer.unknown) == "drop" and tokenizer.name != "byte"


def words_of_dropped(whole: int, kept: int) -> str:
    """What to say of a text of `whole` characters of which `kept` are known; empty where all are."""
    if kept == whole:
        return ""
    return f"dropped, as the vocabulary has no such characters: {whole - kept:,} of {whole:,}; no figure speaks of them"
