"""Lesser processors, emulated: Numba compiles for fewer instructions, and all loops must compute the same there.

An attempt is a file of the suite's own tests on one processor, in a process and with machine code of its own.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from functools import partial
from pathlib import Path

import counting
import llvmlite.binding as llvm
from counting import Asked, Count, NotHereError, Part

from charlm.simd.processor import FEATURES, HAS_AMX, HAS_INT8, NAME, WIDTH

ROOT = Path(__file__).parents[2]
TESTS = ROOT / "tests"


def without(beginning: str) -> tuple[str, str]:
    """This processor with none of the features that begin so."""
    left_out = [feature for feature in llvm.get_host_cpu_features() if feature.startswith(beginning)]
    kept = [feature for feature in FEATURES.split(",") if feature[1:] not in left_out]
    return NAME, ",".join([*kept, *(f"-{feature}" for feature in left_out)])


def lesser() -> dict[str, tuple[str, str]]:
    """What NUMBA_CPU_NAME and NUMBA_CPU_FEATURES are set to, least first; the whole suite runs on what this one has."""
    found = {"neither AVX nor FMA": ("x86-64", "")}
    if WIDTH > 8:
        found["AVX2"] = ("x86-64-v3", "+avx,+avx2,+fma")
    if HAS_INT8:
        found["AVX-512 without VNNI"] = without("avx512vnni")
    if HAS_AMX:
        found["AVX-512 without AMX"] = without("amx")
    return found if WIDTH > 4 else {}


def run(files: str, asked: Asked, *, what: str, quick: str) -> Count:
    """The tests of some files on every lesser processor; `quick` of them on the least, where a few are enough."""
    count = Count(what=f"{what} on lesser processors", promise="the same numbers, as the suite's own tests ask")
    if not (kinds := lesser()):
        raise NotHereError("this processor has no instructions that could be left out")
    tried = [str(path.relative_to(TESTS)) for path in sorted(TESTS.glob(files))]
    if asked.quick:
        tried = [quick] if quick else []
    tests = 0
    for kind in list(kinds)[: asked.of(len(kinds), 1)]:
        name, features = kinds[kind]
        settings = {"NUMBA_CPU_NAME": name, "NUMBA_CPU_FEATURES": features}
        settings["NUMBA_CACHE_DIR"] = str(asked.folder / kind)
        if asked.quick:
            settings["NUMBA_OPT"] = "0"  # compiling takes most of the time
        for one in tried:
            with count.attempt(f"{kind}: {one}"):
                command = [sys.executable, "-m", "pytest", str(TESTS / one)]
                done = subprocess.run(command, cwd=ROOT, env=os.environ | settings, capture_output=True, text=True)
                assert done.returncode == 0, done.stdout[-400:]
                tests += int(re.findall(r"(\d+) passed", done.stdout)[-1])
    count.notes = {"processors": ", ".join(kinds), "tests": tests}
    return count


PARTS: dict[str, Part] = {
    "vectors": partial(
        run,
        "simd/test_simd_[avt]*.py",
        what="vectors and tiles",
        quick="simd/test_simd_tiles.py::test_a_tile_adds_the_product_to_what_was_there",
    ),
    "kernels": partial(run, "kernels/test_[ckpw]*.py", what="kernels of training", quick=""),
    "windows": partial(run, "models/test_joined_window.py", what="windows of all layers", quick=""),
    "engine": partial(
        run,
        "runtime/test_numba_model.py",
        what="the compiled engine",
        quick="runtime/test_numba_model.py::test_texts_of_one_symbol_and_of_two",
    ),
    "coding": partial(run, "coding/test_coding_arithmetic.py", what="the coder's whole numbers", quick=""),
}

if __name__ == "__main__":
    sys.exit(counting.main("processors", PARTS, __doc__))
