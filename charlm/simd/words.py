"""What `charlm.simd.entries` calls a compiled loop with: words, which are numbers, or addresses and sizes of arrays."""

# compiled functions have the types that Numba finds
# mypy: disallow-untyped-defs=False, disallow-untyped-calls=False, disallow-untyped-decorators=False

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
from numba import carray, types
from numba.extending import intrinsic, register_jitable

from charlm.simd import compiling  # noqa: F401 - refuses a Numba that is set for another processor


@register_jitable
def array(words, numbers, place, kind):
    """The array at a place, after so many numbers; `kind` is its NumPy type, a constant."""
    at = numbers + 2 * place
    return carray(_pointer(words[at], kind), words[at + 1])


@intrinsic
def _pointer(typing_context, address, kind):
    pointer = types.CPointer(kind.dtype)

    def generate(context, builder, signature, arguments):
        return builder.inttoptr(arguments[0], context.get_value_type(pointer))

    return pointer(address, kind), generate


def compile_words(function: Callable[..., None]) -> tuple[str, bytes, set[str]]:
    """Machine code of a function of words: its symbol, the object file, and the symbols that this needs."""
    options: dict[str, Any] = {"error_model": "numpy", "no_cpython_wrapper": True, "no_cfunc_wrapper": True}
    made = numba.njit(types.void(types.CPointer(types.int64)), **options)(function)
    (overload,) = made.overloads.values()
    return overload.fndesc.llvm_func_name, overload.library._get_compiled_object(), _wanted(overload.library)


def _wanted(library: Any) -> set[str]:
    declared = (name for name in library._final_module.functions if name.is_declaration)
    return {function.name for function in declared if not function.name.startswith("llvm.")}
