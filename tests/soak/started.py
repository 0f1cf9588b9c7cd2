"""The installed command, started on a specimen, and what came of it."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from specimen import Specimen

TOO_LONG = 120.0  # seconds
CHECKOUT = str(Path(__file__).parents[2])


@dataclass(frozen=True, kw_only=True)
class Started:
    """A command that has ended: its exit code, what it wrote, and its lines on standard error."""

    code: int
    output: bytes
    errors: str


def charlm(one: Specimen, *arguments: str) -> Started:
    """Run ``charlm ARGUMENTS``; a traceback, or an error of more than one line, is a failure of the attempt."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("CHARLM_")}
    named = {"CHARLM_CACHE": str(one.cache), "CHARLM_CHECKPOINTS": str(one.runs), "PYTHONPATH": CHECKOUT}
    ended = subprocess.run(
        [sys.executable, "-m", "charlm", *arguments],
        cwd=one.folder,
        env=kept | named,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=TOO_LONG,
    )
    errors = ended.stderr.decode("utf-8")
    assert "Traceback" not in errors, errors
    assert "fault of charlm" not in errors, errors
    assert errors.count("charlm: error:") == (ended.returncode != 0), errors
    return Started(code=ended.returncode, output=ended.stdout, errors=errors)
