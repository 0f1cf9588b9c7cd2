"""Damaged files, one after the other: cut short, and with a bit flipped."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

CUT = 4096

Damaged = tuple[str, Path, bytes]
"""How to do it again, the file, and its content now."""


def cuts(files: list[Path], every: int = CUT) -> Iterator[Damaged]:
    """Every file cut at every 4 KB, by its last byte, and to nothing."""
    for path in files:
        whole = path.read_bytes()
        places = {*range(0, len(whole), every), max(len(whole) - 1, 0)} - {len(whole)}
        for place in sorted(places):
            yield f"{path.name} cut to {place} of {len(whole)} bytes", path, whole[:place]


def flips(files: list[Path], draws: random.Random) -> Iterator[Damaged]:
    """A bit of a file, again and again: each file as often as any other, and each bit of it."""
    whole = {path: path.read_bytes() for path in files}
    while True:
        path = draws.choice(files)
        place = draws.randrange(8 * len(whole[path]))
        changed = bytearray(whole[path])
        changed[place // 8] ^= 1 << place % 8
        yield f"bit {place % 8} of byte {place // 8} of {path.parent.name}/{path.name}", path, bytes(changed)
