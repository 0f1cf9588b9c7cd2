"""What every soak program has: attempts that are counted, what it prints and keeps, how it ends.

A soak program tries one kind of harm very often. Each attempt either holds or is a failure; a failure is written down
and the next attempt follows, so that one night's run says all there is to say. What a part lacks on a machine is told;
with `--quick` that is no failure.

    python tests/soak/PROGRAM.py            all of it
    python tests/soak/PROGRAM.py --quick    a few attempts of each part, to see that it works; nothing is kept
"""

from __future__ import annotations

import argparse
import contextlib
import json
import resource
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

RESULTS = Path(__file__).parent / "results"
PROC = Path("/proc")
PAGE = resource.getpagesize()
NAMED = 600  # characters of an attempt and of what went wrong, in the line of a failure


class NotHereError(Exception):
    """This machine lacks what a part needs: a program, a right, a file system. It says what."""


def resident(process: int | str = "self") -> int:
    """Bytes of memory that a process holds. Raises `NotHereError` where the system does not say so in /proc."""
    if not (PROC / "self" / "statm").exists():
        raise NotHereError("this reads in /proc, which Linux has, how much memory a process holds")
    return int((PROC / str(process) / "statm").read_text().split()[1]) * PAGE


@dataclass(kw_only=True)
class Count:
    """Attempts of one kind.

    Attributes:
        what: what was tried, in words.
        promise: what has to be true after each attempt, in words.
        tried: how many attempts there were.
        failures: what was found in those that did not hold, a line each.
        notes: further numbers worth keeping, by what they say.
    """

    what: str
    promise: str
    tried: int = 0
    seconds: float = 0.0
    failures: list[str] = field(default_factory=list)
    notes: dict[str, float | str] = field(default_factory=dict)

    @contextlib.contextmanager
    def attempt(self, name: str) -> Iterator[None]:
        """One attempt; `name` says in a failure's line how to do it again. Whatever is raised inside is a failure."""
        self.tried += 1
        started = time.monotonic()
        try:
            yield
        except NotHereError:
            self.tried -= 1
            raise
        except Exception as error:
            place = traceback.extract_tb(error.__traceback__)[-1]
            words = f"{type(error).__name__} in line {place.lineno}: {error}"
            self.failures.append(f"{name[:NAMED]}: {words[:NAMED]}")
        finally:
            self.seconds += time.monotonic() - started

    def line(self) -> str:
        """As it is printed."""
        verdict = f"{len(self.failures)} FAILED" if self.failures else "all held" if self.tried else "none"
        notes = "".join(f"; {name} {value}" for name, value in self.notes.items())
        return f"{self.what}: {self.tried:,} tried, {verdict}, {self.seconds:.0f} s{notes}"


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What a part is given: whether a few attempts are enough, what random choices start from, an empty folder."""

    quick: bool
    seed: int
    folder: Path

    def of(self, many: int, few: int) -> int:
        """How many attempts to make: `many`, or `few` with ``--quick``."""
        return few if self.quick else many


Part = Callable[[Asked], Count]


def main(program: str, parts: Mapping[str, Part], description: str | None, arguments: list[str] | None = None) -> int:
    """Run the parts that are asked for; print each as it ends; keep all of them. Returns the exit code.

    Args:
        program: names the file in `results/`.
    """
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a few attempts of each part; nothing is kept")
    parser.add_argument("--seed", type=int, default=0, help="of all random choices [0]")
    parser.add_argument("--parts", type=lambda text: text.split(","), default=list(parts), help=", ".join(parts))
    asked = parser.parse_args(arguments)
    if unknown := set(asked.parts) - set(parts):
        parser.error(f"no part {', '.join(sorted(unknown))}: choose {', '.join(parts)}")
    # subtle: what a shell starts in the background is told to ignore Ctrl-C, and so would be all that is started here
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    failed = False
    for name in asked.parts:
        count = _count(name, parts[name], asked)
        if not (asked.quick or count.tried or count.failures):
            count.failures.append("nothing was tried")
        failed = failed or bool(count.failures)
        print(count.line(), *count.failures, sep="\n  ", flush=True)
        if not asked.quick:
            keep(program, {name: count})
    return 1 if failed else 0


def _count(name: str, part: Part, asked: argparse.Namespace) -> Count:
    """What a part found, or that it could not be tried here, or that it broke off."""
    with tempfile.TemporaryDirectory(prefix=f"charlm-soak-{name}-") as folder:
        try:
            return part(Asked(quick=asked.quick, seed=asked.seed, folder=Path(folder)))
        except NotHereError as lacking:
            # a few attempts are to show that the program works, and here they cannot
            failures = [] if asked.quick else [f"not tried: {lacking}"]
            return Count(what=f"{name}, not tried here: {lacking}", promise="", failures=failures)
        except Exception as error:
            traceback.print_exc()
            return Count(what=name, promise="", failures=[f"it broke off: {type(error).__name__}: {error}"[:500]])


def keep(program: str, counts: Mapping[str, Count]) -> None:
    """Write what was found; parts that are there and were not run now stay."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{program}.json"
    before = json.loads(path.read_text()) if path.exists() else {}
    found = {name: asdict(count) for name, count in counts.items()}
    path.write_text(json.dumps(before | found, indent=1, ensure_ascii=False) + "\n")
    print(f"kept: {path}", file=sys.stderr)
