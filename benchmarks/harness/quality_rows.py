"""What the trainings of `quality.py` came to: figures of each arm, paired with the default's, and their tables."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from harness.arms import ADDED, ARMS, REFERENCE
from harness.record import Case
from harness.table import Row, markdown

BY_SEED = Mapping[int, Mapping[str, Any]]
HEAD = ("arm", "settings", "steps", "passes", "nats", "its seeds", "beside the default", "its pairs", "better in")
FIVE_GRAM = "5-gram"
# Of the rows that are no training, in place of settings.
BESIDE = {FIVE_GRAM: "modified Kneser-Ney, of the same training text"} | {
    f"{REFERENCE} + {name}": f"`charlm eval {' '.join(flags)}`, test split" for name, (flags, _) in ADDED.items()
}


def add_arm(case: Case, arm: str, found: BY_SEED, reference: BY_SEED) -> None:
    """The figures of an arm: its seeds, and its difference from the default of the same seed."""
    nats = {seed: float(record["nats"]) for seed, record in found.items() if record["nats"] is not None}
    pairs = [nats[seed] - reference[seed]["nats"] for seed in nats if _trained(reference.get(seed))]
    some = next(iter(found.values()))
    case.figures[f"{arm}, steps"] = f"{some['steps']:,}"
    if not nats:
        case.figures[f"{arm}, nats"] = "diverged"
        return
    case.figures[f"{arm}, passes"] = f"{statistics.mean(found[seed]['passes'] for seed in nats):.1f}"
    _add(case, arm, list(nats.values()), [] if arm == REFERENCE else pairs)
    if len(nats) < len(found):
        case.figures[f"{arm}, its seeds"] = f"{case.figures[f'{arm}, its seeds']}, {len(found) - len(nats)} diverged"


def add_beside(case: Case, reference: BY_SEED) -> None:
    """What the default's trainings also gave: the 5-gram, and the model with additions beside itself without."""
    trained = [record for record in reference.values() if _trained(record)]
    baselines = [record["5-gram"] for record in trained if record["5-gram"] is not None]
    if baselines:
        case.figures[f"{FIVE_GRAM}, nats"] = f"{baselines[0]:.4f}"
    for name in ADDED:
        pairs = [record["added"][name] for record in trained if name in record["added"]]
        if pairs:
            gains = [pair["with"] - pair["without"] for pair in pairs]
            _add(case, f"{REFERENCE} + {name}", [pair["with"] for pair in pairs], gains)


def _trained(record: Mapping[str, Any] | None) -> bool:
    return record is not None and record["nats"] is not None


def _add(case: Case, arm: str, nats: Sequence[float], pairs: Sequence[float]) -> None:
    case.figures[f"{arm}, nats"] = f"{statistics.mean(nats):.4f}"
    case.figures[f"{arm}, its seeds"] = f"{min(nats):.4f} to {max(nats):.4f}"
    if pairs:
        case.figures[f"{arm}, beside the default"] = f"{statistics.mean(pairs):+.4f}"
        case.figures[f"{arm}, its pairs"] = f"{min(pairs):+.4f} to {max(pairs):+.4f}"
        case.figures[f"{arm}, better in"] = f"{sum(pair < 0 for pair in pairs)} of {len(pairs)}"


def in_settings(settings: Mapping[str, Any]) -> str:
    """``locked_dropout = true, ema = 0.99``"""
    shown = {name: str(value).lower() if isinstance(value, bool) else str(value) for name, value in settings.items()}
    return ", ".join(f"{name} = {value}" for name, value in shown.items())


def arm_rows(figures: Mapping[str, str], arms: Mapping[str, str]) -> list[Row]:
    """The table of one text, its head first; `arms` are the settings in words, by name, in their order."""
    measured = dict.fromkeys(name.rpartition(", ")[0] for name in figures)
    rows: list[Row] = [HEAD]
    for arm, settings in (arms | BESIDE).items():
        if arm in measured:
            rows.append((arm, settings, *(figures.get(f"{arm}, {column}", "–") for column in HEAD[2:])))
    return rows


def by_arm(found: Mapping[str, Any]) -> list[str]:
    """A table for each text; where there are several, first one of all differences from the default."""
    cases, arms = found["cases"], found["settings"]["arms"]
    column = HEAD.index("beside the default")
    tables = {name: arm_rows(case["figures"], arms) for name, case in cases.items()}
    lines: list[str] = []
    if len(tables) > 1:
        beside = {name: {row[0]: row[column] for row in rows[1:]} for name, rows in tables.items()}
        known = [arm for arm in [*arms, *BESIDE] if any(arm in rows and rows[arm] != "–" for rows in beside.values())]
        overview = [["nats beside the default", *tables]]
        overview += [[arm, *(rows.get(arm, "–") for rows in beside.values())] for arm in known]
        lines += [*markdown(overview), ""]
    for name, rows in tables.items():
        lines += [f"{cases[name]['title']}:", "", *markdown(rows), ""]
    return lines[:-1]


def words_of_arms() -> dict[str, str]:
    """The settings of every arm in words."""
    return {name: in_settings(arm.settings) for name, arm in ARMS.items()}
