"""What the processor's vector unit can do, as far as charlm's loops ask.

Nothing here imports Numba, which takes longer than to write a text: `charlm.simd.compiling` looks whether it agrees.
"""

from __future__ import annotations

import ctypes
import os
import platform
import sys

from llvmlite.binding import get_host_cpu_features, get_host_cpu_name

# before these Numba does not use AVX by itself: it slowed them
_WITHOUT_AVX = {"corei7-avx", "core-avx-i", "sandybridge", "ivybridge"}

NAME: str = os.environ.get("NUMBA_CPU_NAME") or get_host_cpu_name()
"""The processor that Numba compiles for, as LLVM calls it."""


def _features() -> str:
    """What Numba compiles for, which may be less than what the processor has: the user's variables say so."""
    named = os.environ.get("NUMBA_CPU_FEATURES", "" if NAME.lower() == "generic" else None)
    if named is not None:
        return named
    features = get_host_cpu_features()
    asked = os.environ.get("NUMBA_ENABLE_AVX")
    if not (NAME not in _WITHOUT_AVX if asked is None else int(asked)):
        for name in features:
            features[name] = features[name] and not name.startswith("avx")
    return str(features.flatten())


FEATURES: str = _features()
"""Its instructions, as LLVM lists them: ``+avx2,-sse4a,...``."""

_FEATURES = {feature.strip().removeprefix("+") for feature in FEATURES.split(",")}

WIDTH: int = 16 if "avx512f" in _FEATURES else 8 if {"avx2", "fma"} <= _FEATURES else 4
"""float32 numbers in one vector: AVX-512 has 16, AVX2 8; every other processor is taken to have 4."""

HAS_BFLOAT16: bool = WIDTH == 16 and "avx512bf16" in _FEATURES
"""Whether it multiplies pairs of bfloat16 and adds them up in float32 (AVX512-BF16)."""

HAS_INT8: bool = WIDTH == 16 and "avx512vnni" in _FEATURES
"""Whether it adds up products of 8-bit and of 16-bit integers in 32 bits (AVX512-VNNI)."""

REGISTERS: int = 16 if WIDTH == 8 else 32
"""Vector registers."""

PANEL = 4
"""Vectors across a panel of weights, where a cell's gates ask for no other number."""

# sums of 4 columns of vectors, 4 vectors of weights and one of a row must fit into the registers
MOST_ROWS: int = 6 if REGISTERS == 32 else 2
"""Rows of one tile of float32."""

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
