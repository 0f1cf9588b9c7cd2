"""Numba is told to use fewer instructions, and charlm's loops follow; `tests/soak/processors.py` holds what they
compute then to the tests of this processor.
"""

import ctypes
import os
import subprocess
import sys
from pathlib import Path

import llvmlite.binding
import pytest
from numba.core.codegen import get_host_cpu_features

import charlm
from charlm.simd import HAS_AMX, processor

ROOT = Path(charlm.__file__).parent.parent
# what NUMBA_CPU_NAME and NUMBA_CPU_FEATURES are set to, and the width of a vector that follows
PROCESSORS = {
    "AVX2": ("x86-64-v3", "+avx,+avx2,+fma", 8),
    "neither AVX nor FMA": ("x86-64", "", 4),
    "anything": ("generic", None, 4),
}
if HAS_AMX:
    with_vectors_alone = ",".join(part for part in get_host_cpu_features().split(",") if not part.startswith("+amx"))
    PROCESSORS["AVX-512 without AMX"] = (llvmlite.binding.get_host_cpu_name(), with_vectors_alone, 16)
LOOK = """
from charlm.simd.processor import HAS_AMX, HAS_BFLOAT16, HAS_INT8, WIDTH
print(WIDTH, HAS_BFLOAT16, HAS_INT8, HAS_AMX)
"""


def python(*arguments, **environment):
    kept = {name: value for name, value in os.environ.items() if name not in ("NUMBA_CPU_NAME", "NUMBA_CPU_FEATURES")}
    given = {name: value for name, value in environment.items() if value is not None}
    command = [sys.executable, *arguments]
    done = subprocess.run(command, cwd=ROOT, env=kept | given, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("kind", PROCESSORS)
def test_loops_use_no_more_than_numba_compiles_for(kind):
    name, features, width = PROCESSORS[kind]
    found = python("-c", LOOK, NUMBA_CPU_NAME=name, NUMBA_CPU_FEATURES=features).split()
    assert found == [str(width), str(width == 16), str(width == 16), "False"]


def test_matrix_tiles_are_used_only_where_the_system_grants_them(monkeypatch):
    """A kernel, or a sandbox, may refuse what the processor has: to use it all the same would end the process."""

    class Refusing:
        def __init__(self, name):
            assert name is None

        def syscall(self, *numbers):
            asked.append([number.value for number in numbers])
            return answer

    def missing(name):
        raise OSError("no C library")

    asked, answer = [], -1
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    monkeypatch.setattr(ctypes, "CDLL", Refusing)
    assert not processor._may_use_tiles()
    answer = 0
    assert processor._may_use_tiles()
    assert asked == [[158, 0x1023, 18]] * 2
    monkeypatch.setattr(ctypes, "CDLL", missing)
    assert not processor._may_use_tiles()
    monkeypatch.setattr(ctypes, "CDLL", Refusing)
    monkeypatch.setattr("sys.platform", "darwin")
    assert not processor._may_use_tiles()


def test_without_avx_there_are_narrow_vectors():
    assert python("-c", LOOK, NUMBA_ENABLE_AVX="0").split()[0] == "4"
