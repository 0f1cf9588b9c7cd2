"""Ids on disk, and the windows that training reads from them."""

from charlm.streams.lanes import Lanes
from charlm.streams.ngrams import NONE, ngram_rows
from charlm.streams.store import TokenStore, open_store, write_store
from charlm.streams.walking import count_symbols, give_back, stretches

__all__ = [
    "NONE",
    "Lanes",
    "TokenStore",
    "count_symbols",
    "give_back",
    "ngram_rows",
    "open_store",
    "stretches",
    "write_store",
]
