"""Hostile values, and what is made of sound JSON with them in thousands of ways: text, for some of it is no JSON."""

from __future__ import annotations

import copy
import hashlib
import json
import random
from typing import Any

from charlm.runs import records

# Stands in a text for what no JSON writer writes.
RAW = (
    "NaN",
    "Infinity",
    "-1e400",
    "1e400",
    "9" * 5000,
    "-0.0",
    "1E-400",
    "[" * 3000 + "]" * 3000,
    '{"a":' * 3000 + "1" + "}" * 3000,
)
VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 2, 10**9, 2**31, 2**62, 2**63, 2**70, -(2**63), 10**4000),
    *(0.5, -0.5, 1e-320, 1e308, -1e308, 3.0),
    *("", "x", "\x1b[2J", "a\nb", "\u202e", "\ud800", "../../x", "/etc/passwd", "\0", "x" * 70_000, "1", "true"),
    *([], {}, [[]], {"a": 1}, [1, 2, 3], [0, 0], [None], ["x"] * 1000, [{}] * 1000, {"x" * 300: "y"}),
    *(f"@raw {number}@" for number in range(len(RAW))),
)


def changed(tree: Any, draws: random.Random) -> str:
    """The JSON text of `tree` with one to three of its values, or keys, made into something else."""
    tree = json.loads(json.dumps(tree))
    for _ in range(draws.choice((1, 1, 1, 2, 3))):
        _change(tree, draws)
    text = json.dumps(tree, indent=1)
    for number, raw in enumerate(RAW):
        text = text.replace(f'"@raw {number}@"', raw)
    if draws.random() < 0.03:  # a key twice, which no table in memory has
        first = text.find('"')
        text = f'{text[:first]}"format": 1, {text[first:]}'
    return text


def _change(tree: Any, draws: random.Random) -> None:
    holder, key = draws.choice(_places(tree))
    what = draws.random()
    if what < 0.7:
        holder[key] = copy.deepcopy(draws.choice(VALUES))
    elif what < 0.8:
        del holder[key]
    elif what < 0.9:
        other, from_key = draws.choice(_places(tree) or [(holder, key)])
        holder[key] = json.loads(json.dumps(other[from_key]))
    elif isinstance(holder, dict):
        name = draws.choice(("x", "hiden_size", "__class__", "a\n\x1b[2J", "", "x" * 5000, "checksum"))
        holder[name] = copy.deepcopy(draws.choice(VALUES))
    else:
        holder.append(copy.deepcopy(draws.choice(VALUES)))


def _places(tree: Any) -> list[tuple[Any, Any]]:
    """Every place in a tree of lists and tables that a value stands at."""
    if not isinstance(tree, list | dict):
        return []
    found: list[tuple[Any, Any]] = []
    for key, value in tree.items() if isinstance(tree, dict) else enumerate(tree):
        found += [(tree, key), *_places(value)]
    return found


def sealed(text: str) -> bytes:
    """With the checksum at its end that `records` wants: for the very bytes, whether they are JSON or not."""
    content = (text.removesuffix("\n}") + records.LAST_KEY).encode("utf-8", "surrogatepass")
    return content + hashlib.sha256(content).hexdigest().encode() + records.END
