"""The machine's limits, measured where the sides run: matrix products, and reading memory.

Each limit is the best of several ways to reach it: a limit that one library misses is not the machine's.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from charlm.runtime.packing import aligned
from charlm.training.trial import is_emulated
from harness.tile_product import tile_product
from harness.timing import Side, measure

# (M, K, N) of M x K times K x N: those of a training step, and large square ones.
SHAPES = ((64, 128, 512), (64, 512, 2048), (4096, 512, 2048), (1024, 1024, 1024), (2048, 2048, 2048))
QUICK_SHAPES = ((64, 128, 512), (64, 512, 2048))
FORMATS = {"fp32": torch.float32, "bf16": torch.bfloat16}

Shape = tuple[int, int, int]
Product = Callable[[torch.dtype, Shape], "Callable[[int], object] | None"]


def torch_product(dtype: torch.dtype, shape: Shape) -> Callable[[int], object]:
    """torch's own, weights packed as it likes."""
    M, K, N = shape
    left, right = torch.ones(M, K, dtype=dtype), torch.ones(K, N, dtype=dtype)
    out = torch.empty(M, N, dtype=dtype)

    def run(count: int) -> None:
        for _ in range(count):
            torch.mm(left, right, out=out)

    return run


def torch_linear(dtype: torch.dtype, shape: Shape) -> Callable[[int], object]:
    """The same with the right factor transposed in memory, as layers hold their weights."""
    M, K, N = shape
    left, weight = torch.ones(M, K, dtype=dtype), torch.ones(N, K, dtype=dtype)

    def run(count: int) -> None:
        with torch.inference_mode():
            for _ in range(count):
                torch.nn.functional.linear(left, weight)

    return run


# To add a way: (format, shape) -> a function that does so many products, or None where it cannot.
PRODUCTS: dict[str, Product] = {"torch mm": torch_product, "torch linear": torch_linear, "charlm tiles": tile_product}


def product_peaks(threads: int, *, quick: bool = False, repeats: int = 3, seconds: float = 0.1) -> dict[str, float]:
    """Operations a second of the best product found, by format: a multiplication and an addition are two.

    Of formats that the processor has instructions for: others take so long that they are nobody's limit.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        sides = _product_sides(QUICK_SHAPES if quick else SHAPES)
        rates = measure(sides, repeats=repeats, seconds=seconds)
    finally:
        torch.set_num_threads(before)
    best: dict[str, float] = {}
    for side, found in rates.items():
        name = side.partition(" ")[0]
        best[name] = max(best.get(name, 0.0), *found.values)
    return best


def _product_sides(shapes: tuple[Shape, ...]) -> dict[str, Side]:
    sides = {}
    for name, dtype in FORMATS.items():
        if dtype != torch.float32 and is_emulated(dtype):
            continue
        for shape in shapes:
            for way, make in PRODUCTS.items():
                run = make(dtype, shape)
                if run is not None:
                    sides[f"{name} {way} {shape}"] = Side(run, 2.0 * shape[0] * shape[1] * shape[2])
    return sides


def read_bandwidth(size: int, threads: int, *, repeats: int = 5, seconds: float = 0.1) -> float:
    """Bytes a second that so many threads read of an fp32 array of `size` bytes, again and again, at their best."""
    # where charlm's weights begin, with a line of the cache: elsewhere loads read two lines
    array = aligned(max(size // 4, 1024), np.float32)
    array.fill(1.0)  # subtle: zeros would be one page of memory, read from the nearest cache
    parts = np.array_split(array, threads)
    with ThreadPoolExecutor(threads) as pool:
        sides = {
            name: Side(partial(_read_all, read, parts, pool), float(array.nbytes)) for name, read in readers().items()
        }
        rates = measure(sides, repeats=repeats, seconds=seconds)
    return max(max(found.values) for found in rates.values())


def _read_all(
    read: Callable[[npt.NDArray[Any], int], object], parts: list[npt.NDArray[Any]], pool: ThreadPoolExecutor, count: int
) -> None:
    """Every thread reads its own part `count` times, without meeting the others in between."""
    list(pool.map(lambda part: read(part, count), parts))


@cache
def readers() -> dict[str, Callable[[npt.NDArray[Any], int], object]]:
    """Ways to read an array so many times. Those in machine code let other threads run meanwhile."""
    found: dict[str, Callable[[npt.NDArray[Any], int], object]] = {"numpy": _numpy_sum}
    try:
        import numba
    except ImportError:
        return found
    fast = numba.njit(nogil=True, fastmath=True)
    return found | {"numba, sum": fast(_float_sum), "numba, bits": fast(_bits)}


def _numpy_sum(array: npt.NDArray[Any], times: int) -> float:
    return sum(float(array.sum()) for _ in range(times))


def _float_sum(array: npt.NDArray[Any], times: int) -> float:
    total = np.float32(0)
    for time in range(times):
        part = np.float32(time)  # subtle: differs from time to time, so that no pass can be left out
        for index in range(len(array)):
            part += array[index]
        total += part
    return total


def _bits(array: npt.NDArray[Any], times: int) -> int:
    # subtle: integers have no order of addition, so the loop has as many sums side by side as the compiler likes
    words = array.view(np.int32)
    total = 0
    for time in range(times):
        part = np.int32(time)
        for index in range(len(words)):
            part ^= words[index]
        total += part
    return total
