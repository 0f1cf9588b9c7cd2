"""Machine code on disk: one file for each signature of a function, whole and proven so, or not there.

Numba keeps an index beside its files. Two processes that compile at once may both call their file by the next free
number, and from then on one signature is given the code of another; and a file that was cut short ends every process
that reads it. Here a file's name is its key's, nothing is shared, and a file that is not what was written is no file.
"""

from __future__ import annotations

import hashlib
import os
import pickle
import threading
from pathlib import Path
from typing import Any

from numba.core.serialize import dumps

DIGEST = hashlib.sha256().digest_size


class CodeFiles:
    """The files of one function. To Numba it is what its own `IndexDataCacheFile` is.

    Args:
        stem: of their names.
        stamp: of the function's source; code of another is no code.
    """

    def __init__(self, folder: Path, stem: str, stamp: object) -> None:
        self._folder, self._stem, self._stamp = folder, stem, stamp

    def flush(self) -> None:
        """Remove all of them."""
        for path in self._folder.glob(f"{self._stem}.*.nbc"):
            path.unlink(missing_ok=True)

    def save(self, key: object, data: object) -> None:
        """Write the code of one signature, in one step."""
        content, path = dumps((key, self._stamp, data)), self._path(key)
        temporary = path.with_suffix(f".{os.getpid()}-{threading.get_ident()}.tmp")
        try:
            temporary.write_bytes(hashlib.sha256(content).digest() + content)
            temporary.replace(path)
        except OSError:
            temporary.unlink(missing_ok=True)
            raise

    def load(self, key: object) -> Any:
        """The code of one signature; None where it has to be compiled."""
        try:
            written = self._path(key).read_bytes()
        except OSError:
            return None
        digest, content = written[:DIGEST], written[DIGEST:]
        if hashlib.sha256(content).digest() != digest:
            return None
        of, stamp, data = pickle.loads(content)
        # subtle: keys that are not equal may read alike, and then have one name
        return data if (of, stamp) == (key, self._stamp) else None

    def _path(self, key: object) -> Path:
        return self._folder / f"{self._stem}.{hashlib.sha256(repr(key).encode()).hexdigest()[:24]}.nbc"


def keep_in_code_files(dispatcher: Any) -> None:
    """Have `dispatcher`, made by Numba with ``cache=True``, keep its machine code in `CodeFiles`."""
    cache = dispatcher._cache
    stamp = cache._impl.locator.get_source_stamp()
    cache._cache_file = CodeFiles(Path(cache.cache_path), cache._impl.filename_base, stamp)
