"""Ids on disk, and the windows that training reads from them."""

from charlm.streams.lanes import Lanes
from charlm.streams.ngrams import NO_SYMBOL, rows_of_ngrams
from charlm.streams.store import TokenStore, open_store, write_store
from charlm.streams.walking import count_symbols, give_back, stretches

__all__ = [
    "NO_SYMBOL",
    "Lanes",
    "TokenStore",
    "count_symbols",
    "give_back",
    "open_store",
    "rows_of_ngrams",
    "stretches",
    "write_store",
]
