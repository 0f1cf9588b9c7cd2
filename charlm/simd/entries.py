"""Loops whose machine code runs without Numba: to import that takes longer than to write most texts.

Numba makes the code of a loop where there is none yet, an object file of some 90 kB. Later processes read it and have
LLVM link it, which takes milliseconds. It is called as C code is: with the address of one array of words.
"""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
from collections.abc import Callable, Sequence
from typing import Any

import llvmlite.binding as llvm
import numpy as np
import numpy.typing as npt

from charlm.simd.code_files import code_folder, read_code, write_code
from charlm.simd.processor import FEATURES, NAME
from charlm.simd.undisturbed import undisturbed

# Numba's code calls this to free an array of its own; the loops have none, and no code of others is called before it
_FREE = "NRT_MemInfo_call_dtor"
# all else that an object may ask for is in the C library
_KNOWN = {_FREE, "memset", "memcpy", "memmove", "log", "logf", "exp", "expf", "sqrt", "sqrtf", "sincos", "sincosf"}


class Entry:
    """A loop in machine code, called with whole numbers and flat arrays.

    Args:
        name: of the loop, told from all others; a part of a file's name.
        numbers: how many it takes.
        kinds: of its arrays, in their order; code for others would be other code.
        make: gives the function that Numba is to compile, which takes the words; called where no code is kept.
        on_compile: told when that is so, for it takes seconds.

    Raises:
        ImportError: there is no code, and Numba cannot be imported or gives none that runs without it.
    """

    def __init__(
        self,
        name: str,
        numbers: int,
        kinds: Sequence[npt.DTypeLike],
        make: Callable[[], Callable[..., None]],
        on_compile: Callable[[], None],
    ) -> None:
        self._numbers, self._kinds = numbers, [np.dtype(kind) for kind in kinds]
        key = hashlib.sha256(f"{llvm.get_process_triple()} {NAME} {FEATURES}".encode()).hexdigest()[:24]
        path = code_folder() / f"{name}.{key}.o"
        content = read_code(path)
        if content is None:
            function = make()
            on_compile()
            content = _compile(function)
            with contextlib.suppress(OSError):  # then it is compiled in every process
                path.parent.mkdir(parents=True, exist_ok=True)
                write_code(path, content)
        with undisturbed():
            # the engine holds the code
            self._engine, self._call = _link(content)

    def __call__(self, numbers: Sequence[int], arrays: Sequence[npt.NDArray[Any]]) -> None:
        """Run the loop. Other threads run meanwhile.

        Raises:
            ValueError: arrays that it was not compiled for.
        """
        if len(numbers) != self._numbers or [array.dtype for array in arrays] != self._kinds:
            raise ValueError(f"the loop takes {self._numbers} numbers and arrays of {self._kinds}")
        if any(array.ndim != 1 or not array.flags.c_contiguous for array in arrays):
            raise ValueError("the loop takes flat arrays")
        words = [*numbers, *(word for array in arrays for word in (array.ctypes.data, array.size))]
        self._call(np.array(words, dtype=np.int64))


def _compile(function: Callable[..., None]) -> bytes:
    """The symbol of a function of words, a line, and the object file that has it."""
    from charlm.simd.words import compile_words

    try:
        name, content, wanted = compile_words(function)
    except (AttributeError, TypeError, ValueError) as error:  # another Numba, or NUMBA_DISABLE_JIT
        raise ImportError(f"this Numba gives no machine code that runs without it: {error}") from error
    if not wanted <= _KNOWN:
        # LLVM would end the process
        raise ImportError(f"this Numba's machine code needs {', '.join(sorted(wanted - _KNOWN))}")
    return name.encode() + b"\n" + content


def _link(content: bytes) -> tuple[Any, Callable[[npt.NDArray[np.int64]], None]]:
    name, _, code = content.partition(b"\n")
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    if llvm.address_of_symbol(_FREE) is None:
        llvm.add_symbol(_FREE, ctypes.cast(_nothing, ctypes.c_void_p).value)
    machine = llvm.Target.from_triple(llvm.get_process_triple()).create_target_machine()
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), machine)
    engine.add_object_file(llvm.ObjectFileRef.from_data(code))
    engine.finalize_object()
    # Numba's convention: where the result goes, where an exception goes, the arguments; the status, 0 for none
    three = [ctypes.c_void_p] * 3
    call = ctypes.CFUNCTYPE(ctypes.c_int32, *three)(engine.get_function_address(name.decode()))

    def run(words: npt.NDArray[np.int64]) -> None:
        result, exception = ctypes.c_void_p(), ctypes.c_void_p()
        status = call(ctypes.addressof(result), ctypes.addressof(exception), words.ctypes.data)
        if status != 0:
            raise RuntimeError(f"a compiled loop ended with status {status}")

    return engine, run


@ctypes.CFUNCTYPE(None, ctypes.c_void_p)
def _nothing(_: object) -> None:
    """Free an array: there is none."""
