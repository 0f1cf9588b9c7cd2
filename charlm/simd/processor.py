"""What the processor's vector unit can do, as far as charlm's loops ask."""

from __future__ import annotations

import llvmlite.binding as llvm

_FEATURES = llvm.get_host_cpu_features()

WIDTH: int = 16 if _FEATURES.get("avx512f") else 8 if _FEATURES.get("avx2") and _FEATURES.get("fma") else 4
"""float32 numbers in one vector: AVX-512 has 16, AVX2 8; every other processor is taken to have 4."""

HAS_BFLOAT16: bool = bool(WIDTH == 16 and _FEATURES.get("avx512bf16"))
"""Whether it multiplies pairs of bfloat16 and adds them up in float32 (AVX512-BF16)."""

HAS_INT8: bool = bool(WIDTH == 16 and _FEATURES.get("avx512vnni"))
"""Whether it adds up products of 8-bit and of 16-bit integers in 32 bits (AVX512-VNNI)."""

REGISTERS: int = 16 if WIDTH == 8 else 32
"""Vector registers."""
