"""Numbers as people read them."""

from __future__ import annotations

import math


def duration(seconds: float | None) -> str:
    """``1:05`` for 65 seconds, ``2:03:00`` for hours, ``-`` when unknown."""
    if seconds is None or not math.isfinite(seconds):
        return "-"
    whole = max(0, round(seconds))
    hours, minutes = whole // 3600, whole % 3600 // 60
    return f"{hours}:{minutes:02}:{whole % 60:02}" if hours else f"{minutes}:{whole % 60:02}"


def size(count: float) -> str:
    """Bytes in the unit that fits: ``4.8 MB``."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if count < 999.5 or unit == "GB":
            break
        count /= 1000
    return f"{count:.0f} {unit}" if unit == "bytes" or count >= 100 else f"{count:.1f} {unit}"


def figure(value: float | None, digits: int = 3) -> str:
    """A loss or ratio with `digits` decimals; ``-`` when there is none."""
    if value is None or not math.isfinite(value):
        return "-"
    return f"{value:,.{digits}f}"


def nats_unit(nats: float | None, bits_per_character: float | None) -> str:
    """What a loss is nats of: ``nats``, or ``nats/token`` where a prediction is not just a character."""
    if nats is None or bits_per_character is None or not math.isfinite(nats):
        return "nats"
    return "nats" if math.isclose(nats, bits_per_character * math.log(2), rel_tol=1e-6) else "nats/token"
