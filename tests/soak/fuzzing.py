"""Coverage-guided fuzzing of everything that charlm parses (atheris, on libFuzzer), an hour each.

An input that reaches a line or a branch that none before it did is kept, and changed further. Only a `CharlmError` of
one short line may come out of any of them; what else does is written down, once for each place, and the search goes on.

    python tests/soak/fuzzing.py                       an hour for each parser, one after the other
    python tests/soak/fuzzing.py --minutes 5 --parts arrays,run
    python tests/soak/fuzzing.py --keep FOLDER         begin with the inputs kept there, and keep what is found
    python tests/soak/fuzzing.py --quick               seeds and some changes of them, without atheris
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import random
import re
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from counting import Asked, Count, Part, main

MISSING = "fuzzing needs atheris, which is not here: pip install -e '.[soak]' (make soak does), or give --quick"
PROMISE = "taken, or a CharlmError of one short line; nothing else, and no crash"
LONGEST_INPUT = 1 << 16
# Of the process that fuzzes, which keeps every input that reached something new: what a parser may take itself is
# measured by `hostile`.
MOST_MEMORY = 1024  # MB
SLOWEST_INPUT = 60  # seconds: processes may be held up for a while
# Then a process of its own goes on from the inputs that were kept: what atheris counts branches with leaks, 20 kB for
# each compressed text that is tried.
SITTING = 300  # seconds
DONE = re.compile(r"stat::number_of_executed_units:\s*(\d+)")
REACHED = re.compile(r"\bcov: (\d+) .*?\bcorp: (\d+)/")
# Read line by line with the parsers, so that their branches count too.
READERS = ("charlm", "tomllib", "zipfile", "tarfile", "gzip", "json.decoder")

NAMES = (
    *("arrays", "manifest", "run", "pointers", "progress", "tokenizer", "sentencepiece", "metrics", "lock", "sweep"),
    *("settings", "recipe", "documents", "store", "compressed", "archive", "text"),
)


class Tried:
    """One parser: what came out of it that must not, once for each kind and place."""

    def __init__(self, name: str, folder: Path) -> None:
        # imported here, so that a process that fuzzes can have the lines of these modules counted
        import specimen
        from judging import judge
        from parsers_of_runs import OF_RUNS
        from parsers_of_texts import OF_TEXTS

        one = specimen.make(folder / "specimen", steps=(100,), characters=2000)
        place = folder / name
        place.mkdir()
        with one.settings():
            self.parser = (OF_RUNS | OF_TEXTS)[name](one, place)
        self._judge, self._one = judge, one
        self.taken = 0
        self.found: dict[str, str] = {}
        self.told: Callable[[str], None] = lambda line: None

    def __call__(self, content: bytes) -> None:
        """Try one input."""
        try:
            with self._one.settings():
                self.taken += self._judge(self.parser, content)
        except Exception as error:
            frame = traceback.extract_tb(error.__traceback__)[-1]
            place = f"{type(error).__name__} in {Path(frame.filename).name}, line {frame.lineno}"
            if place not in self.found:
                self.found[place] = f"{place}: {str(error)[:200]!r} for {_shown(content)}"
                self.told(self.found[place])


def _shown(content: bytes) -> str:
    return repr(content) if len(content) <= 200 else f"{content[:100]!r}... ({len(content)} bytes)"


def fuzz(name: str, asked: Asked, *, minutes: float = 60.0, keep: Path | None = None) -> Count:
    """Try one parser."""
    count = Count(what="", promise=PROMISE)
    if asked.quick:
        _simply(name, asked, count)
        return count
    if importlib.util.find_spec("atheris") is None:
        raise SystemExit(MISSING)
    corpus = asked.folder / "corpus" if keep is None else keep / name
    corpus.mkdir(parents=True, exist_ok=True)
    started, left, sitting = time.monotonic(), round(60 * minutes), 0
    while left > 0:
        _sit(name, corpus, min(left, SITTING), asked.seed + sitting, count)
        left, sitting = left - SITTING, sitting + 1
    count.seconds = time.monotonic() - started
    count.notes = {"minutes": minutes, **count.notes}
    return count


def _sit(name: str, corpus: Path, seconds: int, seed: int, count: Count) -> None:
    """Search in a process of its own, which goes on from the inputs in `corpus` and keeps what it finds there."""
    command = [sys.executable, __file__, "--search", name, "--corpus", str(corpus), "--seed", str(seed)]
    ended = subprocess.run([*command, "--seconds", str(seconds)], capture_output=True, text=True, errors="replace")
    told = [json.loads(line) for line in ended.stdout.splitlines() if line.startswith('{"')]
    count.what = next((one["what"] for one in told if "what" in one), name)
    # each place once, whatever it was found for
    places = [failure.partition(": ")[0] for failure in count.failures]
    count.failures += [
        one["failure"] for one in told if "failure" in one and one["failure"].partition(": ")[0] not in places
    ]
    done, reached = DONE.search(ended.stderr), REACHED.findall(ended.stderr)
    if ended.returncode or done is None or not reached:
        kept = Path(tempfile.mkdtemp(prefix=f"charlm-fuzzing-{name}-"))
        (kept / "log").write_text(ended.stderr)
        for artifact in corpus.parent.glob("*-*"):  # crash-, timeout- and oom- with a checksum
            if artifact.is_file():
                artifact.rename(kept / artifact.name)
        count.failures.append(f"the search ended with {ended.returncode}: {ended.stderr[-300:]!r}, all of it in {kept}")
    count.tried += int(done[1]) if done else 0
    if reached:
        count.notes |= {"branches reached": int(reached[-1][0]), "inputs kept": int(reached[-1][1])}


def _simply(name: str, asked: Asked, count: Count) -> None:
    """Seeds, and a few changes of them that nothing guides."""
    tried, draws = Tried(name, asked.folder), random.Random(asked.seed)
    count.what = tried.parser.what
    for seed in tried.parser.seeds:
        with count.attempt(f"seed {_shown(seed)}"):
            tried(seed)
    assert tried.taken == len(tried.parser.seeds), f"{name}: a seed was not taken: {tried.found}"
    for _ in range(8):
        content = bytearray(draws.choice(tried.parser.seeds))
        for _ in range(draws.randint(1, 4)):
            place = draws.randrange(len(content) + 1)
            content[place : place + draws.choice((0, 1, 1, 9))] = draws.randbytes(draws.choice((0, 1, 1, 5)))
        with count.attempt(_shown(bytes(content))):
            tried(bytes(content))
    count.failures += tried.found.values()


def search(name: str, corpus: Path, seconds: int, seed: int) -> None:
    """Fuzz, in a process of its own, which this ends; tells what it finds in lines of JSON."""
    import atheris

    with atheris.instrument_imports(include=list(READERS)), tempfile.TemporaryDirectory() as folder:
        tried = Tried(name, Path(folder))
        _tell(what=tried.parser.what)
        tried.told = lambda line: _tell(failure=line)
        for number, content in enumerate(tried.parser.seeds):
            (corpus / f"seed-{number}").write_bytes(content)
        # subtle: libFuzzer reads a seed of 0 as "take one of your own"
        options = [f"-max_total_time={seconds}", f"-seed={seed + 1}", f"-max_len={LONGEST_INPUT}"]
        limits = [f"-rss_limit_mb={MOST_MEMORY}", f"-timeout={SLOWEST_INPUT}", f"-artifact_prefix={corpus.parent}/"]
        atheris.Setup([name, *options, *limits, "-print_final_stats=1", str(corpus)], tried)
        atheris.Fuzz()


def _tell(**what: Any) -> None:
    print(json.dumps(what), flush=True)


PARTS: dict[str, Part] = {name: partial(fuzz, name) for name in NAMES}


def _own(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--search", choices=NAMES)
    parser.add_argument("--corpus", type=Path)
    parser.add_argument("--seconds", type=int)
    mine, others = parser.parse_known_args(arguments)
    if mine.search:
        search(mine.search, mine.corpus, mine.seconds, int(others[others.index("--seed") + 1]))
    parts = {name: partial(fuzz, name, minutes=mine.minutes, keep=mine.keep) for name in NAMES}
    return main("fuzzing", parts, __doc__, others)


if __name__ == "__main__":
    sys.exit(_own(sys.argv[1:]))
