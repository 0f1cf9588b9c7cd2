"""What the processor's vector unit can do, as far as charlm's loops ask."""

from __future__ import annotations

from numba import config
from numba.core.codegen import get_host_cpu_features

# subtle: not what the processor has but what Numba compiles for: NUMBA_CPU_FEATURES and NUMBA_ENABLE_AVX may say less
_LISTED: str = get_host_cpu_features() if config.CPU_FEATURES is None else config.CPU_FEATURES
_FEATURES = {feature.strip().removeprefix("+") for feature in _LISTED.split(",")}

WIDTH: int = 16 if "avx512f" in _FEATURES else 8 if {"avx2", "fma"} <= _FEATURES else 4
"""float32 numbers in one vector: AVX-512 has 16, AVX2 8; every other processor is taken to have 4."""

HAS_BFLOAT16: bool = WIDTH == 16 and "avx512bf16" in _FEATURES
"""Whether it multiplies pairs of bfloat16 and adds them up in float32 (AVX512-BF16)."""

HAS_INT8: bool = WIDTH == 16 and "avx512vnni" in _FEATURES
"""Whether it adds up products of 8-bit and of 16-bit integers in 32 bits (AVX512-VNNI)."""

REGISTERS: int = 16 if WIDTH == 8 else 32
"""Vector registers."""
