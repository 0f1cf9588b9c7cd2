"""What the trials of system_calls.py have in common: an act, how it is prepared, and what must be true afterwards."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from traced import KILL, Act, Ended

# What a save, an encoding, a fetch or a command writes before it gives it its name.
TEMPORARY = (".tmp", ".old", ".fetching", ".charlm-tmp")


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One kind of act.

    Attributes:
        prepare: puts everything back as it was before the act.
        act: what is done, and said.
        check: raises where what must be true after the act is not.
        codes: the exit codes that a failing call may lead to.
    """

    prepare: Callable[[], object]
    act: Act
    check: Callable[[Ended], None]
    codes: tuple[int, ...] = (0, 5)

    def hold(self, name: str, ended: Ended) -> None:
        """Check what is true of every act, then what is true of this one."""
        if KILL in name and ended.call:
            assert ended.code is None, f"ended with {ended.code} although it was killed"
        else:
            assert ended.code in self.codes, f"exit code {ended.code}: {ended.error or ended.printed}"
            assert "Traceback" not in ended.error + ended.printed, ended.error + ended.printed
            assert "\n" not in ended.error
        self.check(ended)


def digest(path: Path) -> str | None:
    """SHA-256 of a file; None where there is none."""
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else None


def tree(folder: Path) -> dict[str, str | None]:
    """Every file and folder below `folder`, and what the files hold."""
    return {str(path.relative_to(folder)): digest(path) for path in sorted(folder.rglob("*"))}


def leftovers(folder: Path) -> list[str]:
    """What lies below `folder` under a name that is for a while only."""
    return [name for name in tree(folder) if any(mark in name.rpartition("/")[2] for mark in TEMPORARY)]


def anew(folder: Path, master: Path | None = None) -> None:
    """Make `folder` a copy of `master`, or empty."""
    shutil.rmtree(folder, ignore_errors=True)
    if master is None:
        folder.mkdir(parents=True)
    else:
        shutil.copytree(master, folder)
