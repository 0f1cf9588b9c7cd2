"""The machine's limits: matrix products in fp32 and bf16, and reading memory, by thread count.

    python benchmarks/machine.py            half a minute
    python benchmarks/machine.py --quick    a few seconds

The other programs measure the limits that they need themselves, in the same process, by the same functions.
"""

from __future__ import annotations

import argparse
import sys

import torch
from harness.limits import product_peaks, read_bandwidth
from harness.program import finish, options, show
from harness.record import Case

# What is read again and again while a text is written: the weights of 2 x 128, 2 x 512 and 3 x 512, and an
# array that fits into no cache.
SIZES = {"2 x 128 LSTM": 2**20, "2 x 512 LSTM": 14 * 2**20, "memory": 2**28}


def limits(asked: argparse.Namespace, threads: int) -> Case:
    """The limits of so many threads."""
    case = Case(title=f"{threads} thread{'s' * (threads != 1)}")
    for name, peak in product_peaks(threads, quick=asked.quick).items():
        case.figures[f"products {name}, GF/s"] = peak / 1e9
    for name, size in SIZES.items():
        size = size // 16 if asked.quick else size
        case.figures[f"reading {size / 2**20:,.0f} MB ({name}), GB/s"] = read_bandwidth(size, threads) / 1e9
    return case


def main(arguments: list[str] | None = None) -> int:
    """Measure and print; returns the exit code."""
    asked = options(__doc__).parse_args(arguments)
    cases = {}
    for threads in sorted({1, torch.get_num_threads()}):
        cases[f"threads-{threads}"] = limits(asked, threads)
        show(cases[f"threads-{threads}"])
    return finish("machine", cases, asked, {})


if __name__ == "__main__":
    sys.exit(main())
