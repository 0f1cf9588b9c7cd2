"""What a program found, as JSON: `benchmarks/results/PROGRAM.json`."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from harness.timing import Rates, rounded

RESULTS = Path(__file__).parent.parent / "results"
FEATURES = ("avx2", "avx512f", "avx512_bf16", "avx512_vnni", "amx_bf16", "asimd", "bf16")
PACKAGES = ("torch", "numpy", "numba", "onnxruntime")


@dataclass(kw_only=True)
class Case:
    """One comparison.

    Attributes:
        title: what is compared, in words.
        unit: of the sides' rates.
        sides: their rates, by name.
        reference: the side that the others are given as multiples of.
        figures: further numbers, by what they say.
        checks: what proves that the sides do the same: what was found, and the most that is allowed.
    """

    title: str
    unit: str = "characters/s"
    sides: dict[str, Rates] = field(default_factory=dict)
    reference: str = ""
    figures: dict[str, float | str] = field(default_factory=dict)
    checks: dict[str, tuple[float, float]] = field(default_factory=dict)

    def failed(self) -> list[str]:
        """The checks that did not hold. A nan holds nothing."""
        return [name for name, (found, allowed) in self.checks.items() if not found <= allowed]

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        sides: dict[str, Any] = {}
        for name, rates in self.sides.items():
            sides[name] = rates.to_json()
            if self.reference:
                sides[name]["times"] = rounded(rates.over(self.sides[self.reference]).median)
        return {
            "title": self.title,
            "unit": self.unit,
            "reference": self.reference,
            "sides": sides,
            "figures": {name: _plain(value) for name, value in self.figures.items()},
            "checks": {name: [rounded(found), allowed] for name, (found, allowed) in self.checks.items()},
        }


def _plain(value: float | str) -> float | str:
    return value if isinstance(value, str) else rounded(value)


def save(folder: Path, program: str, cases: Mapping[str, Case], *, settings: Mapping[str, Any], note: str) -> Path:
    """Write the cases into the program's file; cases that are there and were not measured now stay.

    Raises:
        ValueError: those are of another processor or of other packages; nothing is written.
    """
    path = folder / f"{program}.json"
    there, machine = load(path), machine_facts()
    before = there.get("cases", {})
    others = sorted(set(before) - set(cases))
    if others and there["machine"] != machine:
        raise ValueError(f"{path} has cases of another machine ({', '.join(others)}): measure all, or give --results")
    notes = dict.fromkeys([there["note"], note] if others else [note])
    content = {
        "program": program,
        "note": "; ".join(one for one in notes if one),
        "machine": machine,
        "settings": dict(settings),
        "cases": before | {name: case.to_json() for name, case in cases.items()},
    }
    folder.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n")
    return path


def load(path: Path) -> dict[str, Any]:
    """What `save` wrote; empty where nothing was measured yet."""
    if not path.exists():
        return {}
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def machine_facts() -> dict[str, Any]:
    """What the figures are of: processor, cores, memory, versions."""
    fields = _processor()
    flags = (fields.get("flags") or fields.get("Features") or "").split()
    return {
        "processor": fields.get("model name") or platform.processor() or platform.machine(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "features": [name for name in FEATURES if name in flags],
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "packages": {name: found for name in PACKAGES if (found := _version(name))},
    }


def _processor() -> dict[str, str]:
    """The first processor's entry of Linux' list; empty elsewhere."""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return {}
    lines = [line.partition(":") for line in text.split("\n\n")[0].splitlines()]
    return {name.strip(): value.strip() for name, _, value in lines}


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
