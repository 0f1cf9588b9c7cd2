"""Machine code on disk: one file for each signature of a function, whole and proven so, or not there.

Numba keeps an index beside its files. Two processes that compile at once may both call their file by the next free
number, and from then on one signature is given the code of another; and a file that was cut short ends every process
that reads it. Here a file's name is its key's, nothing is shared, and a file that is not what was written is no file.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import pickle
import threading
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from charlm.config.folders import cache_folder
from charlm.simd.processor import HAS_AMX

DIGEST = hashlib.sha256().digest_size

PACKAGE = Path(__file__).parent.parent
# Rooms with compiled functions, and with numbers that are compiled into them. Numba looks at the file of a function
# alone, not at those it calls: a change in any of these files starts a new cache.
ROOMS = ("simd", "kernels", "runtime", "coding", "streams")


@cache
def code_folder() -> Path:
    """Where machine code is kept: one folder for each state of the loops' source. It need not exist.

    It lies in ``$NUMBA_CACHE_DIR`` where that is set, as all that Numba keeps, else in charlm's cache.
    """
    # Numba's own key has what the processor can do, not what the system lets it
    digest = hashlib.sha256(f"{version('numba')} {HAS_AMX}".encode())
    for room in ROOMS:
        for path in sorted((PACKAGE / room).glob("*.py")):
            digest.update(path.read_bytes())
    root = Path(os.environ.get("NUMBA_CACHE_DIR") or cache_folder() / "compiled")
    return root / f"charlm-{digest.hexdigest()[:16]}"


def write_code(path: Path, content: bytes) -> None:
    """Write a file in one step. Raises `OSError`."""
    temporary = path.with_suffix(f".{os.getpid()}-{threading.get_ident()}.tmp")
    try:
        temporary.write_bytes(hashlib.sha256(content).digest() + content)
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise


def read_code(path: Path) -> bytes | None:
    """What was written; None where nothing was, or where it is not what was written."""
    try:
        written = path.read_bytes()
    except OSError:
        return None
    digest, content = written[:DIGEST], written[DIGEST:]
    return content if hashlib.sha256(content).digest() == digest else None


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
        from numba.core.serialize import dumps

        write_code(self._path(key), dumps((key, self._stamp, data)))

    def load(self, key: object) -> Any:
        """The code of one signature; None where it has to be compiled."""
        content = read_code(self._path(key))
        if content is None:
            return None
        of, stamp, data = pickle.loads(content)
        # subtle: keys that are not equal may read alike, and then have one name
        return data if (of, stamp) == (key, self._stamp) else None

    def _path(self, key: object) -> Path:
        return self._folder / f"{self._stem}.{hashlib.sha256(repr(key).encode()).hexdigest()[:24]}.nbc"


def keep_in_code_files(dispatcher: Any) -> None:
    """Have `dispatcher`, made by Numba with ``cache=True``, keep its machine code in `CodeFiles`.

    Code that cannot be written is compiled in every process: a full disk ends nothing that does not need it.
    """
    cache = dispatcher._cache
    stamp = cache._impl.locator.get_source_stamp()
    cache._cache_file = CodeFiles(Path(cache.cache_path), cache._impl.filename_base, stamp)
    save = cache.save_overload

    def save_if_possible(*arguments: object) -> None:
        with contextlib.suppress(OSError):
            save(*arguments)

    cache.save_overload = save_if_possible
