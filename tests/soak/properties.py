"""The properties of the test suite with many more examples: the same definitions, another profile.

`make test` tries a hundred examples of each or so, always the same; here thousands are drawn anew with each --seed.
"""

from __future__ import annotations

import contextlib
import io
import re
import sys
from pathlib import Path

import pytest
from counting import Asked, Count, main

TESTS = Path(__file__).parents[1]
# Rooms, and what is promised of each for every input.
ROOMS = {
    "tokenizers": "any text comes back from its ids, or an error names the place",
    "streams": "every id is read, in order, and resumed at the exact place",
    "corpora": "every character of any files arrives, whatever blocks they are read in",
    "runs": "what was read is what lanes give",
    "generation": "no filter brings back one, none but --max-copy loses the best; the same text in any batch",
    "config": "every configuration survives every form; nothing else gets in",
}
STATISTICS = re.compile(r"(\d+) passing, (\d+) failing")


class Listener:
    """Hears how each property ended."""

    def __init__(self) -> None:
        self.held = 0
        self.failures: list[str] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Called by pytest."""
        if report.failed:
            self.failures.append(f"{report.nodeid}: {' '.join(report.longreprtext.split())[-400:]}")
        self.held += report.when == "call" and report.passed


def room(name: str, asked: Asked) -> Count:
    """All properties of one room."""
    count = Count(what=f"properties of {name}, each for many inputs", promise=ROOMS[name])
    files = [str(path) for path in (TESTS / name).glob("test_*.py") if "@given" in path.read_text(encoding="utf-8")]
    listener, shown = Listener(), io.StringIO()
    profile = f"--hypothesis-profile={'few' if asked.quick else 'many'}"
    with count.attempt(name), contextlib.redirect_stdout(shown):
        options = ["-m", "hypothesis", profile, f"--hypothesis-seed={asked.seed}", "--hypothesis-show-statistics"]
        ended = pytest.main([*files, *options, f"--basetemp={asked.folder / 'made'}"], plugins=[listener])
        assert ended in (0, 1), shown.getvalue()[-400:]
    count.failures += listener.failures
    count.tried = sum(int(passing) + int(failing) for passing, failing in STATISTICS.findall(shown.getvalue()))
    count.notes["properties"] = listener.held
    return count


PARTS = {name: lambda asked, name=name: room(name, asked) for name in ROOMS}

if __name__ == "__main__":
    sys.exit(main("properties", PARTS, __doc__))
