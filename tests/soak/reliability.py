"""The table of all counts: printed, and put into docs/reliability.md.

python tests/soak/reliability.py            print the table and write the page anew
python tests/soak/reliability.py --check    only say whether the page is out of date
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

from counting import RESULTS

PAGE = Path(__file__).parents[2] / "docs" / "reliability.md"
MARKED = re.compile(r"(<!-- counts -->\n).*?(<!-- end of counts -->)", re.DOTALL)


def found(folder: Path = RESULTS) -> dict[str, dict[str, Any]]:
    """What every program kept, by program and part."""
    return {path.stem: json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))}


def rows(counts: dict[str, dict[str, Any]]) -> list[list[str]]:
    """A row for each part, the sum below."""
    parts = [(program, name, part) for program, named in counts.items() for name, part in named.items()]
    body = [
        [
            f"`{program}` {name}",
            part["what"],
            part["promise"],
            f"{part['tried']:,}",
            str(len(part["failures"])),
            "; ".join(f"{note} {value}" for note, value in part["notes"].items()),
        ]
        for program, name, part in parts
    ]
    tried, failed = sum(part["tried"] for *_, part in parts), sum(len(part["failures"]) for *_, part in parts)
    head = ["program, part", "tried", "must hold", "attempts", "failures", "also found"]
    return [head, *body, ["all", "", "", f"{tried:,}", str(failed), ""]]


def table(counts: dict[str, dict[str, Any]]) -> str:
    """In Markdown."""
    head, *body = [f"| {' | '.join(row)} |" for row in rows(counts)]
    return "\n".join([head, "|---|---|---|---:|---:|---|", *body])


def page(counts: dict[str, dict[str, Any]], text: str) -> str:
    """The page with its table made anew."""
    return MARKED.sub(lambda match: f"{match[1]}\n{table(counts)}\n\n{match[2]}", text)


def main(arguments: list[str]) -> int:
    """Print the table; write or check the page. The exit code says whether anything failed or is out of date."""
    counts, before = found(), PAGE.read_text(encoding="utf-8")
    after = page(counts, before)
    if "--check" in arguments:
        return int(after != before)
    print(table(counts))
    PAGE.write_text(after, encoding="utf-8")
    return int(any(part["failures"] for named in counts.values() for part in named.values()))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
