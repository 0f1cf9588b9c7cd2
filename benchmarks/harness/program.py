"""What every benchmark program has: its options, what it prints, what it writes, how it ends."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from harness.record import RESULTS, Case, save
from harness.table import case_lines


def options(description: str | None, cases: Iterable[str] = ()) -> argparse.ArgumentParser:
    """The parser with the options that all programs share; `cases` are the names that ``--cases`` takes."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="small sizes, to see that it works; nothing is written")
    parser.add_argument("--repeats", type=int, help="rounds in which the sides take turns")
    parser.add_argument("--seconds", type=float, help="length of one turn")
    parser.add_argument("--note", default="", help="conditions, kept and shown with the results")
    parser.add_argument(
        "--results", type=Path, help="folder for the JSON file [benchmarks/results, or none with --quick]"
    )
    names = tuple(cases)
    if names:
        parser.add_argument("--cases", type=lambda text: text.split(","), default=names, help=", ".join(names))
    return parser


def show(case: Case) -> None:
    """Print one case as soon as it is done."""
    print("\n".join(case_lines(case)), end="\n\n", flush=True)


def finish(program: str, cases: Mapping[str, Case], asked: argparse.Namespace, settings: Mapping[str, object]) -> int:
    """Write the results, say which checks failed; returns the exit code."""
    folder = asked.results or (None if asked.quick else RESULTS)
    failed = [f"{name}: {check}" for name, case in cases.items() for check in case.failed()]
    if failed:
        # what does not compute the same is no comparison
        print("not the same on both sides, nothing written:", *failed, sep="\n  ", file=sys.stderr)
        return 1
    if folder is not None:
        try:
            print(f"written: {save(folder, program, cases, settings=settings, note=asked.note)}")
        except ValueError as error:
            print(f"nothing written: {error}", file=sys.stderr)
            return 1
    return 0
