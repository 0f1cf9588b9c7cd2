"""Ids on disk, and the windows that training reads from them."""

from charlm.streams.lanes import Lanes
from charlm.streams.store import TokenStore, open_store, write_store

__all__ = ["Lanes", "TokenStore", "open_store", "write_store"]
