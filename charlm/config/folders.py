"""Where charlm keeps what it can make again."""

from __future__ import annotations

import os
import pwd
from collections.abc import Mapping
from pathlib import Path


def cache_folder(environment: Mapping[str, str] | None = None) -> Path:
    """``$CHARLM_CACHE``, ``$XDG_CACHE_HOME/charlm`` or ``~/.cache/charlm``; it need not exist."""
    environment = os.environ if environment is None else environment
    if environment.get("CHARLM_CACHE"):
        return Path(environment["CHARLM_CACHE"])
    if environment.get("XDG_CACHE_HOME"):
        return Path(environment["XDG_CACHE_HOME"]) / "charlm"
    return Path(environment.get("HOME") or pwd.getpwuid(os.getuid()).pw_dir) / ".cache" / "charlm"
