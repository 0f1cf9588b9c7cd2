"""What the literature found, each alone beside charlm's default, at equal cost: nats per character after training.

    python benchmarks/quality.py                          hours: every arm, three seeds, one text
    python benchmarks/quality.py --steps 1500 --jobs 2
    python benchmarks/quality.py --hidden-size 128        a smaller default, a table of its own
    python benchmarks/quality.py --texts latex,notes.txt --only gru,plain-dropout
    python benchmarks/quality.py --quick                  half a minute

Before anything is trained, steps of every arm take turns with steps of the default in this process, in processor time.
The default is trained for --steps steps, an arm for as many as cost as much by that ratio: what the host was busy with
meanwhile changes nothing. Each training is `charlm train` in a process of its own on one thread. What is trained is
kept in quality-trainings.jsonl beside the results: the same command goes on where it was stopped.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.arm_training import MACHINE, TRAINED, Text, arm_config, cost_of_arm, machine_for, trained_arm
from harness.arms import ADDED, ARMS, REFERENCE
from harness.kept_records import KeptRecords
from harness.program import finish, options
from harness.quality_rows import add_arm, add_beside, arm_rows, words_of_arms
from harness.record import RESULTS, Case
from harness.table import aligned
from harness.texts import write_text

from charlm.config import Layer, resolve

KEPT = "quality-trainings.jsonl"
# To be counted up when the same settings train otherwise: what is kept is then of before. 2: output layers without the
# symbols that a text never has. 3: n-grams that lead to the logits.
VERSION = 3
# --quick: a model of a moment, for every arm
TINY = {"layers": 1, "hidden_size": 16, "batch_size": 4, "window_length": 16, "kernels": "torch", "dtype": "float32"}
QUICK_ARMS = (REFERENCE, "gru", "rate-0.015")
QUICK_CHARACTERS = 20_000


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is trained on one text.

    Attributes:
        steps: of the default.
        units: of a layer, where they were asked for.
        common: settings of every arm, the default too.
    """

    text: Text
    steps: int
    units: int | None
    common: Mapping[str, Any]

    @property
    def name(self) -> str:
        """Tells its table from others."""
        return self.text.name if self.units is None else f"{self.text.name}-{self.units}"

    def settings(self, arm: str) -> dict[str, Any]:
        """All that differ from charlm's defaults."""
        return {**self.common, **ARMS[arm].settings}

    def key(self, arm: str, seed: int | None = None) -> dict[str, Any]:
        """What a record is of: all that decides its figures, so that another default is another key."""
        config = arm_config(self.text, self.settings(arm), self.steps).to_json()
        training = config["training"] | {"seed": seed}
        text = {"text": self.text.name, "digest": self.text.digest}
        return {"version": VERSION, **text, "model": config["model"], "training": training}


class Bench:
    """Trains what is not kept yet."""

    def __init__(self, asked: argparse.Namespace, kept: KeptRecords, folder: Path) -> None:
        self.asked, self.kept, self.folder = asked, kept, folder
        self.troubles: list[str] = []
        self._lock = threading.Lock()

    def measure_costs(self, plan: Plan) -> None:
        """What a step of each arm costs beside one of the default, which comes first."""
        for arm in self.asked.only:
            if self.kept.get(plan.key(arm)) is None:
                found = self._cost(plan, arm)
                self.kept.add(plan.key(arm), found)
                machine = f"{found['kernels']}, {found['dtype']}"
                print(
                    f"{plan.name}, {arm}: {found['times']:.2f} steps for one of the default ({machine})",
                    flush=True,
                )

    def _cost(self, plan: Plan, arm: str) -> dict[str, Any]:
        if arm == REFERENCE:
            return {
                "times": 1.0,
                **machine_for(arm_config(plan.text, plan.settings(arm), plan.steps), plan.text.vocabulary),
            }
        default = self.kept.get(plan.key(REFERENCE))
        assert default is not None, "it is the first of the arms"
        if ARMS[arm].as_dear:
            return default
        reference = {**plan.settings(REFERENCE), **{name: default[name] for name in MACHINE}}
        turns = {"repeats": self.asked.repeats, "seconds": self.asked.seconds}
        return cost_of_arm(plan.text, plan.settings(arm), reference, plan.steps, **turns)

    def train(self, plans: Sequence[Plan]) -> None:
        """Every arm on every text with one seed, then with the next one."""
        jobs: dict[str, tuple[Plan, str, int]] = {}
        for seed, plan, arm in itertools.product(range(1, self.asked.seeds + 1), plans, self.asked.only):
            if not self._is_there(plan, arm, seed):
                # an arm may be the default itself, such as the dropout of its rule: it is trained once, as the default
                jobs.setdefault(str(plan.key(arm, seed)), (plan, arm, seed))
        begun = time.monotonic()
        with ThreadPoolExecutor(self.asked.jobs) as pool:
            waiting = {pool.submit(self._train, *job): job for job in jobs.values()}
            try:
                for done, future in enumerate(as_completed(waiting), 1):
                    plan, arm, seed = waiting[future]
                    left = (time.monotonic() - begun) / done * (len(jobs) - done)
                    said = f"{plan.name}, {arm}, seed {seed}: {self._outcome(future.exception(), plan, arm, seed)}"
                    print(f"{done} of {len(jobs)}, about {left / 60:.0f} minutes left: {said}", flush=True)
            except KeyboardInterrupt:
                pool.shutdown(cancel_futures=True)
                self.troubles.append("stopped: the same command goes on")

    def _is_there(self, plan: Plan, arm: str, seed: int) -> bool:
        record = self.kept.get(plan.key(arm, seed))
        if record is None or arm != REFERENCE or record["nats"] is None:
            return record is not None
        return set(self.asked.added) <= set(record["added"])

    def _train(self, plan: Plan, arm: str, seed: int) -> None:
        cost = self.kept.get(plan.key(arm))
        assert cost is not None, "all costs are measured before anything is trained"
        settings = {**plan.settings(arm), **{name: cost[name] for name in MACHINE}}
        steps = max(1, round(plan.steps * cost["times"]))
        folder = self.folder / f"{plan.text.name}-{arm}-{seed}"
        added = self.asked.added if arm == REFERENCE else ()
        record = trained_arm(plan.text, settings, steps, seed, folder, added)
        with self._lock:
            self.kept.add(plan.key(arm, seed), dict(record))

    def _outcome(self, error: BaseException | None, plan: Plan, arm: str, seed: int) -> str:
        """How a training ended, in words; what went wrong is told again at the end."""
        if error is not None:
            self.troubles.append(f"{plan.name}, {arm}, seed {seed}: {error}")
            return str(error)
        record = self.kept.get(plan.key(arm, seed))
        assert record is not None
        return "diverged" if record["nats"] is None else f"{record['nats']:.4f} nats"


def case_of(plan: Plan, kept: KeptRecords, seeds: int) -> Case:
    """All that is kept of a text, whichever arms were asked for this time."""
    title = f"{plan.text.name}, the first {plan.text.characters:,} characters, {plan.steps:,} steps of the default"
    if plan.units is not None:
        title += f", {plan.units} units"
    case = Case(title=title)
    found = {
        arm: {seed: record for seed in range(1, seeds + 1) if (record := kept.get(plan.key(arm, seed))) is not None}
        for arm in ARMS
    }
    for arm, records in found.items():
        if records:
            add_arm(case, arm, records, found[REFERENCE])
    add_beside(case, found[REFERENCE])
    return case


def named(known: Sequence[str], text: str) -> tuple[str, ...]:
    """Names cut at commas, each of which is known."""
    names = tuple(text.split(","))
    unknown = [name for name in names if name not in known]
    if unknown:
        raise argparse.ArgumentTypeError(f"{', '.join(unknown)}: choose of {', '.join(known)}")
    return names


def units(text: str) -> int:
    """A number of units."""
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"a whole number of units, at least 1, was {text!r}")
    return int(text)


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """The options, with what --quick makes of those that were not given."""
    parser = options(__doc__)
    parser.add_argument("--texts", type=lambda text: text.split(","), help="named corpora or files [shakespeare]")
    parser.add_argument("--only", type=lambda text: named(list(ARMS), text), help="arms; the default is always there")
    parser.add_argument("--steps", type=int, help="of the default [2640]")
    parser.add_argument("--hidden-size", type=units, help="units of a layer but of arms that name some [256]")
    parser.add_argument("--passes", type=float, default=6.0, help="that these make: the text is cut so [6]")
    parser.add_argument("--seeds", type=int, help="trainings of an arm [3]")
    parser.add_argument("--jobs", type=int, default=2, help="trainings side by side [2]")
    parser.add_argument(
        "--added",
        type=lambda text: named(list(ADDED), text),
        default=("ngram",),
        help="put on the default by charlm eval, of which dynamic takes minutes [ngram]",
    )
    asked = parser.parse_args(arguments)
    asked.only = tuple(dict.fromkeys((REFERENCE, *(asked.only or (QUICK_ARMS if asked.quick else ARMS)))))
    asked.steps = asked.steps or (20 if asked.quick else 2640)
    asked.seeds = asked.seeds or (2 if asked.quick else 3)
    asked.repeats = asked.repeats or (2 if asked.quick else 5)
    asked.seconds = asked.seconds or (0.02 if asked.quick else 0.6)
    return asked


def plans_of(asked: argparse.Namespace, folder: Path) -> list[Plan]:
    """The texts, cut to what the steps of the default read so often."""
    common = (TINY if asked.quick else {}) | ({"hidden_size": asked.hidden_size} if asked.hidden_size else {})
    training = resolve([Layer(origin="common", values=common)]).config.training
    characters = round(asked.steps * training.batch_size * training.window_length / asked.passes / TRAINED)
    names = asked.texts or [str(write_text(folder, QUICK_CHARACTERS)) if asked.quick else "shakespeare"]
    cut = folder / "cut"
    cut.mkdir()
    texts = [Text.of(name, cut, QUICK_CHARACTERS if asked.quick else characters) for name in names]
    if len({text.name for text in texts}) < len(texts):
        raise SystemExit(f"texts of one name cannot be told apart: {', '.join(text.name for text in texts)}")
    return [Plan(text=text, steps=asked.steps, units=asked.hidden_size, common=common) for text in texts]


def main(arguments: list[str] | None = None) -> int:
    """Train what was asked for and is not there yet; returns the exit code."""
    asked = parse(arguments)
    results = asked.results or (None if asked.quick else RESULTS)
    kept = KeptRecords(results / KEPT if results else None)
    cases = {}
    with tempfile.TemporaryDirectory() as name:
        plans = plans_of(asked, Path(name))
        bench = Bench(asked, kept, Path(name) / "runs")
        for plan in plans:
            bench.measure_costs(plan)
        bench.train(plans)
        for plan in plans:
            case = cases[plan.name] = case_of(plan, kept, asked.seeds)
            figures = {name: str(value) for name, value in case.figures.items()}
            print("", f"{case.title}:", *aligned(arm_rows(figures, words_of_arms())), sep="\n")
    print(*bench.troubles, sep="\n", file=sys.stderr, end="\n" if bench.troubles else "")
    settings = {name: getattr(asked, name) for name in ("steps", "passes", "seeds", "hidden_size")}
    return finish("quality", cases, asked, {**settings, "arms": words_of_arms()}) or (1 if bench.troubles else 0)


if __name__ == "__main__":
    sys.exit(main())
