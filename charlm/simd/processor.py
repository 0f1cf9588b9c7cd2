"""What the processor's vector unit can do, as far as charlm's loops ask.

Numba takes longer to import than to write a text, so it is asked only where its answer may differ from LLVM's.
"""

from __future__ import annotations

import ctypes
import os
import platform
import sys
from pathlib import Path

from llvmlite.binding import get_host_cpu_features, get_host_cpu_name

# by which a user tells Numba to compile for another processor; its file can say the same
_SETTINGS = {"NUMBA_CPU_NAME", "NUMBA_CPU_FEATURES", "NUMBA_ENABLE_AVX"}
_FILE = Path(".numba_config.yaml")


def _compiled_for() -> tuple[str, str]:
    """Name and features of the processor that Numba compiles for, as LLVM lists them: ``+avx2,-sse4a,...``."""
    if not _SETTINGS & os.environ.keys() and not _FILE.exists():
        name = str(get_host_cpu_name())
        try:
            features = get_host_cpu_features()
        except RuntimeError:  # of a processor that LLVM knows nothing of
            features = {}
        # of some old or emulated processors it does not use AVX
        if features and name != "nocona" and (features.get("avx2") or not features.get("avx")):
            return name, str(features.flatten())
    from numba import config
    from numba.core import codegen

    listed = codegen.get_host_cpu_features() if config.CPU_FEATURES is None else config.CPU_FEATURES
    return config.CPU_NAME or str(get_host_cpu_name()), listed


NAME, FEATURES = _compiled_for()

_FEATURES = {feature.strip().removeprefix("+") for feature in FEATURES.split(",")}

WIDTH: int = 16 if "avx512f" in _FEATURES else 8 if {"avx2", "fma"} <= _FEATURES else 4
"""float32 numbers in one vector: AVX-512 has 16, AVX2 8; every other processor is taken to have 4."""

HAS_BFLOAT16: bool = WIDTH == 16 and "avx512bf16" in _FEATURES
"""Whether it multiplies pairs of bfloat16 and adds them up in float32 (AVX512-BF16)."""

HAS_INT8: bool = WIDTH == 16 and "avx512vnni" in _FEATURES
"""Whether it adds up products of 8-bit and of 16-bit integers in 32 bits (AVX512-VNNI)."""

REGISTERS: int = 16 if WIDTH < 16 and platform.machine() in ("x86_64", "AMD64") else 32
"""Vector registers."""

PANEL = 4
"""Vectors across a panel of weights, where a cell's gates ask for no other number."""

TILE_DEPTH = 32
"""Numbers of bfloat16 in the row of a matrix tile: depths that one instruction multiplies and adds up."""

MOST_ROWS: int = 6
"""Rows of one tile of float32."""


def vectors_at_once(rows: int, vectors: int) -> int:
    """Of so many vectors across a panel, how many are multiplied by so many rows at once: sums, weights and a row's
    number must fit into the registers, and of bytes nearly do. The rest of the panel is read afterwards."""
    while vectors > 1 and (rows + 1) * vectors + 1 > REGISTERS:
        vectors = (vectors + 1) // 2
    return vectors


# arch_prctl's number, and what is asked of it
_ARCH_PRCTL, _REQUEST_PERMISSION, _TILE_DATA = 158, 0x1023, 18


def _may_use_tiles() -> bool:
    """Ask Linux for the registers of AMX, which a process has to; every thread of it has them from then on."""
    if sys.platform != "linux" or platform.machine() != "x86_64":
        return False
    numbers = (ctypes.c_long(number) for number in (_ARCH_PRCTL, _REQUEST_PERMISSION, _TILE_DATA))
    try:
        return bool(ctypes.CDLL(None).syscall(*numbers) == 0)
    except (OSError, AttributeError):  # a system without a C library to ask through
        return False


HAS_AMX: bool = HAS_BFLOAT16 and {"amx-tile", "amx-bf16"} <= _FEATURES and _may_use_tiles()
"""Whether it multiplies whole tiles of bfloat16 and adds them up in float32 (AMX-BF16), and Linux lets it."""

BFLOAT16_PAYS: bool = HAS_AMX or (HAS_BFLOAT16 and NAME.startswith("znver"))
"""Whether products of bfloat16 are known to take half the time of float32, or less.

Intel's processors take as long for a vector of pairs as for two of float32; their tiles are what is fast.
"""
