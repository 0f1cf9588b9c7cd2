"""`compiled`: a loop in machine code, kept on disk from one process to the next."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import TypeVar, cast

import numba
from numba import config as numba_config
from numba.core import event

from charlm.config.folders import cache_folder
from charlm.simd.code_files import keep_in_code_files
from charlm.simd.processor import HAS_AMX

Function = TypeVar("Function", bound=Callable[..., object])

PACKAGE = Path(__file__).parent.parent
# Rooms with compiled functions. Numba looks at the file of a function alone, not at those it calls:
# a change in any of these files starts a new cache.
ROOMS = ("simd", "kernels", "runtime", "coding")


def compiled(function: Function) -> Function:
    """Compile `function` when it is first called, and keep the machine code for later processes.

    The compiled function lets other threads run. Division by zero gives inf or nan, as in NumPy.
    """
    options = {"nogil": True, "error_model": "numpy"}
    with _cached_in(code_folder()), contextlib.suppress(RuntimeError):  # raised where no folder can be written
        made = numba.njit(cache=True, **options)(function)
        # in a folder of its own choice Numba would take up code that other files' changes have made stale
        if Path(made.stats.cache_path).is_relative_to(code_folder()):
            keep_in_code_files(made)
            return cast(Function, made)
    return cast(Function, numba.njit(**options)(function))  # compiled in every process


@contextlib.contextmanager
def telling(begun: Callable[[], None]) -> Iterator[None]:
    """Call `begun` when the first function has to be compiled in here, which takes seconds; at most once."""

    class Listener(event.Listener):
        told = False

        def on_start(self, event: object) -> None:
            if not self.told:
                self.told = True
                begun()

        def on_end(self, event: object) -> None:
            pass

    with event.install_listener("numba:compile", Listener()):
        yield


@cache
def code_folder() -> Path:
    """Where machine code is kept: one folder for each state of the loops' source. It need not exist.

    It lies in ``$NUMBA_CACHE_DIR`` where that is set, as all that Numba keeps, else in charlm's cache.
    """
    # Numba's own key has what the processor can do, not what the system lets it
    digest = hashlib.sha256(f"{numba.__version__} {HAS_AMX}".encode())
    for room in ROOMS:
        for path in sorted((PACKAGE / room).glob("*.py")):
            digest.update(path.read_bytes())
    root = Path(numba_config.CACHE_DIR) if numba_config.CACHE_DIR else cache_folder() / "compiled"
    return root / f"charlm-{digest.hexdigest()[:16]}"


@contextlib.contextmanager
def _cached_in(folder: Path) -> Iterator[None]:
    """Numba reads its cache folder when a function is defined; elsewhere in this process it stays as it was."""
    before = numba_config.CACHE_DIR
    numba_config.CACHE_DIR = str(folder)
    try:
        yield
    finally:
        numba_config.CACHE_DIR = before
