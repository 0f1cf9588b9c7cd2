"""Put what was measured into the pages: tables between markers, and charts.

    python benchmarks/report.py            write docs/benchmarks.md, docs/recipes.md, README.md and the charts
    python benchmarks/report.py --check    say what is out of date; nothing is written

A page has a table between the lines `<!-- results: NAME -->` and `<!-- end of results -->`, NAME being a line of
`TABLES`.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from harness.chart import bars
from harness.quality_rows import by_arm
from harness.record import RESULTS, load
from harness.structure_rows import by_measure
from harness.table import markdown, number
from harness.waits_rows import slowest_first

ROOT = Path(__file__).parent.parent
PAGES = ("docs/benchmarks.md", "docs/recipes.md", "README.md")
MARKED = re.compile(r"(<!-- results: ([\w-]+) -->\n).*?(<!-- end of results -->)", re.DOTALL)
NOT_MEASURED = "Not measured yet."

Results = Mapping[str, Any]


def conditions(found: Results) -> list[str]:
    """What the figures are of, in a line, and the note that they were measured with."""
    machine = found["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in machine["packages"].items())
    features = f" ({', '.join(machine['features'])})" if machine["features"] else ""
    cores = machine["cores"]
    line = f"{cores} core{'s' * (cores != 1)} of {machine['processor']}{features}, {machine['system']}; {versions}."
    return [*([f"**{found['note']}**", ""] if found["note"] else []), line]


def by_side(found: Results) -> list[str]:
    """A row for each side, a column for each case: the median, and how many times the reference."""
    cases = [case for case in found["cases"].values() if case["sides"]]
    names = list(dict.fromkeys(name for case in cases for name in case["sides"]))
    rows = [[cases[0]["unit"], *(case["title"].replace(", ", "<br>", 1) for case in cases)]]
    rows += [[name, *(_rate(case["sides"].get(name)) for case in cases)] for name in names]
    return markdown(rows)


def _rate(side: Mapping[str, Any] | None) -> str:
    if side is None:
        return "–"
    times = f" ({side['times']:.2f}x)" if "times" in side else ""
    return f"{number(side['median'])}{times}"


def by_figure(found: Results) -> list[str]:
    """A row for each figure, a column for each case."""
    cases = [case for case in found["cases"].values() if case["figures"]]
    names = list(dict.fromkeys(name for case in cases for name in case["figures"]))
    rows = [["", *(case["title"].replace(", ", "<br>", 1) for case in cases)]]
    rows += [[name, *(number(case["figures"].get(name, "–")) for case in cases)] for name in names]
    return markdown(rows)


def one_by_one(found: Results) -> list[str]:
    """Every case with its figures, one below the other: for cases that have little in common."""
    rows = [["what", "", "found"]]
    for case in found["cases"].values():
        for at, (name, value) in enumerate(case["figures"].items()):
            rows.append(["" if at else case["title"], name, number(value)])
    return markdown(rows)


def only(found: Results, timed: bool) -> Results:
    """The cases that have sides, or those that have none."""
    return {**found, "cases": {name: case for name, case in found["cases"].items() if bool(case["sides"]) == timed}}


def spread(found: Results) -> list[str]:
    """How far the repeats of a side lay apart, at most and usually."""
    apart = sorted(
        (side["highest"] - side["lowest"]) / side["median"]
        for case in found["cases"].values()
        for side in case["sides"].values()
    )
    if not apart:
        return []
    middle, most = apart[len(apart) // 2], apart[-1]
    return [
        f"Highest and lowest repeat of a side differ by {middle:.0%} of its median in the middle, {most:.0%} at most."
    ]


def checks(found: Results) -> list[str]:
    """The largest of the differences between sides, and what was allowed."""
    kinds: dict[float, list[float]] = {}
    for case in found["cases"].values():
        for gap, allowed in case["checks"].values():
            kinds.setdefault(allowed, []).append(gap)
    parts = [f"{max(gaps):.2g} where {allowed:g} is allowed" for allowed, gaps in sorted(kinds.items())]
    return [f"Largest differences found between the sides: {'; '.join(parts)}."] if parts else []


def training(results: Mapping[str, Results]) -> list[str]:
    """Rates and shares; below them what was learnt after equal steps, where that was measured."""
    found = results["training"]
    timed, equal = only(found, True), only(found, False)
    lines = [*conditions(found), ""]
    if timed["cases"]:
        lines += [*by_side(timed), "", *by_figure(timed), "", *spread(timed)]
    if equal["cases"]:
        lines += ["", *by_figure(equal)]
    return [*lines, "", *checks(found)]


def sampling(results: Mapping[str, Results]) -> list[str]:
    """Rates and shares."""
    found = results["sampling"]
    return [*conditions(found), "", *by_side(found), "", *by_figure(found), "", *spread(found), *checks(found)]


def encoding(results: Mapping[str, Results]) -> list[str]:
    """Rates of the texts, then those of reading."""
    found = results["encoding"]
    texts = {**found, "cases": {name: case for name, case in found["cases"].items() if case["reference"]}}
    windows = {**found, "cases": {name: case for name, case in found["cases"].items() if not case["reference"]}}
    return [*conditions(found), "", *by_side(texts), "", *by_side(windows), "", *spread(found)]


def gpu(results: Mapping[str, Results]) -> list[str]:
    """Training, then text; the device stands in the settings."""
    found = results["gpu"]
    trained = {**found, "cases": {name: case for name, case in found["cases"].items() if case["reference"]}}
    written = {**found, "cases": {name: case for name, case in found["cases"].items() if not case["reference"]}}
    device = ", ".join(f"{name} {value}" for name, value in found["settings"].items())
    lines = [*conditions(found), "", f"{device}."]
    if trained["cases"]:
        lines += ["", *by_side(trained), "", *by_figure(trained)]
    if written["cases"]:
        lines += ["", *by_side(written)]
    return [*lines, "", *spread(found)]


def figures_of(program: str, table: Callable[[Results], list[str]]) -> Callable[[Mapping[str, Results]], list[str]]:
    """A table of figures alone."""
    return lambda results: [*conditions(results[program]), "", *table(results[program])]


def summary(results: Mapping[str, Results]) -> list[str]:
    """The README's table: charlm's fastest side, the usual loop, and the fastest of all others."""
    found = {name: results[name] for name in ("training", "sampling") if results[name]}
    rows = [
        [
            "characters/s",
            "torch's layers, fp32",
            "the fastest other",
            "charlm, fp32",
            "charlm",
            "times the one, the other",
        ]
    ]
    for program, result in found.items():
        for case in only(result, True)["cases"].values():
            which, best = fastest({n: s for n, s in case["sides"].items() if n.startswith("charlm")})
            name, other = fastest({n: s for n, s in case["sides"].items() if not n.startswith("charlm")})
            usual = case["sides"][case["reference"]]
            engine = f" ({which.removeprefix('charlm ')})" if which != "charlm" else ""
            rates = (
                number(usual["median"]),
                f"{number(other['median'])} ({name})",
                next((number(case["sides"][one]["median"]) for one in EXACT if one in case["sides"]), "–"),
                f"{number(best['median'])}{engine}",
            )
            times = f"{best['times']:.1f}, {best['median'] / other['median']:.1f}"
            rows.append([f"{program}, {case['title']}", *rates, times])
    notes = {result["note"] for result in found.values() if result["note"]}
    return [*(f"**{note}**\n" for note in sorted(notes)), *markdown(rows)]


# charlm's sides that compute in float32 throughout, as most of the others do.
EXACT = ("charlm fp32", "charlm numba")


def fastest(sides: Mapping[str, Any]) -> tuple[str, Any]:
    """The side with the highest median."""
    return max(sides.items(), key=lambda side: float(side[1]["median"]))


# What a page may ask for by name, and which programs' results it needs.
TABLES: dict[str, tuple[tuple[str, ...], Callable[[Mapping[str, Results]], list[str]]]] = {
    "machine": (("machine",), figures_of("machine", by_figure)),
    "training": (("training",), training),
    "sampling": (("sampling",), sampling),
    "commands": (("commands",), figures_of("commands", one_by_one)),
    "transformer": (("transformer",), figures_of("transformer", one_by_one)),
    "structure": (("structure",), figures_of("structure", by_measure)),
    "encoding": (("encoding",), encoding),
    "quality": (("quality",), figures_of("quality", by_arm)),
    "gpu": (("gpu",), gpu),
    "waits": (
        ("waits",),
        figures_of("waits", lambda found: [*slowest_first(found), "", *spread(found), *checks(found)]),
    ),
    "summary": (("training", "sampling"), summary),
}
CHARTS = {
    "docs/benchmarks-training.svg": ("training", "Characters a second in training, charlm and others"),
    "docs/benchmarks-sampling.svg": ("sampling", "Characters a second in sampling, charlm and others"),
}


def rendered(page: str, results: Mapping[str, Results]) -> str:
    """The page with its tables made anew. Raises `KeyError` for a marker with a name that is none."""

    def table(match: re.Match[str]) -> str:
        needed, make = TABLES[match[2]]
        lines = make(results) if all(results[name] for name in needed) else [NOT_MEASURED]
        return "\n".join([f"{match[1]}", *lines, "", match[3]])

    return MARKED.sub(table, page)


def files(results: Mapping[str, Results], root: Path = ROOT) -> dict[Path, str]:
    """All files that this program writes, as they should be."""
    found = {root / page: rendered((root / page).read_text(encoding="utf-8"), results) for page in PAGES}
    return found | {root / path: bars(results[program], what) for path, (program, what) in CHARTS.items()}


def read_results(folder: Path = RESULTS) -> dict[str, Results]:
    """Every program's results; empty where it was not measured."""
    programs = {program for needed, _ in TABLES.values() for program in needed}
    return {program: load(folder / f"{program}.json") for program in sorted(programs)}


def out_of_date(results: Mapping[str, Results], root: Path = ROOT) -> list[Path]:
    """Files that do not say what the results say."""
    return [
        path
        for path, text in files(results, root).items()
        if not path.exists() or path.read_text(encoding="utf-8") != text
    ]


def main(arguments: list[str] | None = None) -> int:
    """Write the pages, or only look; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="only say what is out of date")
    asked = parser.parse_args(arguments)
    results = read_results()
    stale = out_of_date(results)
    for path in stale:
        print(f"{'out of date' if asked.check else 'written'}: {path.relative_to(ROOT)}")
    if asked.check:
        return 1 if stale else 0
    for path, text in files(results).items():
        path.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
