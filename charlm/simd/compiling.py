"""`compiled`: a loop in machine code, kept on disk from one process to the next."""

from __future__ import annotations

import contextlib
import itertools
import os
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar, cast

import numba
from numba import config
from numba.core import event
from numba.core.bytecode import FunctionIdentity
from numba.core.codegen import get_host_cpu_features

from charlm.simd.code_files import code_folder, keep_in_code_files
from charlm.simd.processor import FEATURES
from charlm.timing import go_on, pause

Function = TypeVar("Function", bound=Callable[..., object])


def _number_anew() -> None:
    """Have Numba number functions from a place of this process alone.

    It gives functions of one name, as all implementations of an overload are, a number that every process counts from
    1, and every fork from where its parent was. Code that was kept brings those it calls along: under a number of this
    process another one would be called in their place.
    """
    FunctionIdentity._unique_ids = itertools.count(secrets.randbits(60))


_number_anew()
os.register_at_fork(after_in_child=_number_anew)


class _StopsTheClock(event.Listener):
    """Compiling happens once on a machine: no budget of time counts it."""

    def on_start(self, event: object) -> None:
        pause()

    def on_end(self, event: object) -> None:
        go_on()


event.register("numba:compile", _StopsTheClock())

if (get_host_cpu_features() if config.CPU_FEATURES is None else config.CPU_FEATURES) != FEATURES:
    # else loops might be written for instructions that Numba then refuses to use
    raise ImportError("Numba is set for another processor than it was when charlm began")


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


@contextlib.contextmanager
def _cached_in(folder: Path) -> Iterator[None]:
    """Numba reads its cache folder when a function is defined; elsewhere in this process it stays as it was."""
    before = config.CACHE_DIR
    config.CACHE_DIR = str(folder)
    try:
        yield
    finally:
        config.CACHE_DIR = before
