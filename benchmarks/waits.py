"""Everything that a user waits for, command by command: now, and in another checkout of charlm.

    git clone . ../charlm-before && git -C ../charlm-before checkout 96bd110
    python benchmarks/waits.py --before ../charlm-before     about 5 minutes
    python benchmarks/waits.py --quick                       small texts, one side, a minute
    python benchmarks/waits.py --cases help,check-5mb

Both sides take turns. Each has a folder, a cache and runs of its own, made by its own code; both run with this
interpreter. Every wait was waited for once before, so that what is compiled or kept on first use is there. `cold`
waits begin without the ids or baselines of the text; machine code, which belongs to no text, is always there.
Waits within a process (encoding, baselines, tokenizers) are counted without its start, and what they give must be
the same on both sides.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from harness.program import finish, options, show
from harness.record import Case
from harness.texts import made_up_text
from harness.timing import Rates
from harness.user_waits import CASES, RUNS, Wait
from harness.waiting import Checkout

NOW, BEFORE = "now", "before"
ROOT = Path(__file__).resolve().parent.parent


class World:
    """Texts for both sides, and each side with its runs."""

    def __init__(self, folder: Path, sides: Mapping[str, Path], scale: float) -> None:
        self.texts: dict[str, str] = {}
        self.folder, self.scale = folder, scale
        self.sides = {name: Checkout(code=code, folder=folder / name) for name, code in sides.items()}
        self.ready: set[str] = set()
        for side in self.sides.values():
            side.folder.mkdir()

    def words(self, arguments: tuple[str, ...]) -> list[str]:
        """Arguments with the paths of texts in them; a text is made when it is first asked for."""
        for word in arguments:
            if word.startswith("TEXT") and word not in self.texts:
                path = self.folder / f"{word.lower()}.txt"
                characters = int(float(word.removeprefix("TEXT")) * 1e6 * self.scale)
                path.write_text(made_up_text(characters), encoding="utf-8", newline="")
                self.texts[word] = str(path)
        known = {**self.texts, "MINUTES": "0.02" if self.scale < 1 else "0.16667"}
        return [known.get(word, word) for word in arguments]

    def need(self, wait: Wait) -> None:
        """Make the runs that a wait is about, where they are not there yet."""
        command = wait.arguments
        if {"tokenize", "runs"} & set(command[:1]):
            self._train("small", "TEXT0.1", "--hidden-size", "16")
        if command[:2] == ("runs", "list"):
            self._multiply("small")
        if {"writer", "MINUTES"} & set(command):
            self._train("writer", "TEXT5")
        if "large" in command:
            self._train("large", "TEXT100", "--hidden-size", "32")

    def _train(self, run: str, *arguments: str) -> None:
        if run in self.ready:
            return
        self.ready.add(run)
        for side in self.sides.values():
            words = self.words(("-m", "charlm", "train", *arguments, "--steps", "1", "--quiet", "--run", run))
            side.seconds(words)
            shutil.copytree(side.folder / "checkpoints" / run, side.folder / "kept" / run)

    def _multiply(self, run: str) -> None:
        for side in self.sides.values():
            for number in range(RUNS - 1):
                copy = side.folder / "checkpoints" / f"{run}-{number}"
                if not copy.exists():
                    shutil.copytree(side.folder / "kept" / run, copy)

    def wait(self, side: Checkout, wait: Wait) -> tuple[float, str]:
        """Wait once; seconds, and what a snippet found."""
        for name in wait.cold:
            shutil.rmtree(side.folder / "cache" / name, ignore_errors=True)
        for run in wait.fresh:
            shutil.rmtree(side.folder / "checkpoints" / run, ignore_errors=True)
            if (side.folder / "kept" / run).exists():
                shutil.copytree(side.folder / "kept" / run, side.folder / "checkpoints" / run)
        words = self.words(wait.arguments)
        if wait.snippet:
            return side.snippet(wait.snippet, *words)
        told = dict(wait.environment)
        return side.seconds(["-m", "charlm", *words], until=wait.until, after=wait.after, **told), ""


def measured(world: World, wait: Wait, repeats: int) -> Case:
    """One wait on all sides, in turns."""
    world.need(wait)
    found: dict[str, list[float]] = {name: [] for name in world.sides}
    gave: dict[str, str] = {}
    names = list(world.sides)
    first = 0 if wait.practise else 1
    for turn in range(first, min(repeats, wait.repeats) + 1):
        for name in names if turn % 2 else reversed(names):
            seconds, gave[name] = world.wait(world.sides[name], wait)
            if turn:
                found[name].append(seconds)
    case = Case(title=wait.title, unit="s", reference=BEFORE if BEFORE in found else "")
    case.sides = {name: Rates(tuple(values)) for name, values in found.items()}
    if wait.snippet and len(gave) > 1:
        case.checks["results that differ"] = (float(len(set(gave.values())) - 1), 0)
    return case


def main(arguments: list[str] | None = None) -> int:
    """Measure the waits asked for; returns the exit code."""
    parser = options(__doc__, CASES)
    parser.add_argument("--before", type=Path, help="another checkout of charlm to compare with")
    asked = parser.parse_args(arguments)
    repeats = asked.repeats or (1 if asked.quick else 5)
    sides = {NOW: ROOT}
    if asked.before is not None:
        sides = {BEFORE: asked.before.resolve(), **sides}
    cases = {}
    with tempfile.TemporaryDirectory() as name:
        world = World(Path(name), sides, 0.02 if asked.quick else 1.0)
        for case in asked.cases:
            cases[case] = measured(world, CASES[case], repeats)
            show(cases[case])
    return finish("waits", cases, asked, {"before": str(asked.before.name) if asked.before else ""})


if __name__ == "__main__":
    sys.exit(main())
