"""Lesser processors, emulated: Numba is told to use fewer instructions, and charlm's loops follow."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import charlm

ROOT = Path(charlm.__file__).parent.parent
TESTS = Path(__file__).parent.parent
# what NUMBA_CPU_NAME and NUMBA_CPU_FEATURES are set to, and the width of a vector that follows
PROCESSORS = {
    "AVX2": ("x86-64-v3", "+avx,+avx2,+fma", 8),
    "neither AVX nor FMA": ("x86-64", "", 4),
    "anything": ("generic", None, 4),
}
LOOK = """
from charlm.simd.processor import HAS_BFLOAT16, HAS_INT8, WIDTH
print(WIDTH, HAS_BFLOAT16, HAS_INT8)
"""
# all of vectors and tiles; of the kernels every cell, with inputs given and looked up, and tiles of several heights
EQUALITY = "test_simd or (test_fast_path_equals_readable_cell and compiled and float32 and masked and 13)"


def python(*arguments, **environment):
    kept = {name: value for name, value in os.environ.items() if name not in ("NUMBA_CPU_NAME", "NUMBA_CPU_FEATURES")}
    given = {name: value for name, value in environment.items() if value is not None}
    command = [sys.executable, *arguments]
    done = subprocess.run(command, cwd=ROOT, env=kept | given, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("processor", PROCESSORS)
def test_loops_use_no_more_than_numba_compiles_for(processor):
    name, features, width = PROCESSORS[processor]
    found = python("-c", LOOK, NUMBA_CPU_NAME=name, NUMBA_CPU_FEATURES=features).split()
    assert found == [str(width), "False", "False"]


def test_without_avx_there_are_narrow_vectors():
    assert python("-c", LOOK, NUMBA_ENABLE_AVX="0").split()[0] == "4"


@pytest.mark.slow
@pytest.mark.parametrize("processor", ["AVX2", "neither AVX nor FMA"])
def test_vectors_tiles_and_kernels_are_right_there_too(processor):
    name, features, _ = PROCESSORS[processor]
    settings = {"NUMBA_CPU_NAME": name, "NUMBA_CPU_FEATURES": features}
    simd = [str(TESTS / "simd" / f"test_simd_{part}.py") for part in ("vectors", "activations", "tiles")]
    python("-m", "pytest", *simd, str(TESTS / "kernels" / "test_kernels.py"), "-k", EQUALITY, **settings)
