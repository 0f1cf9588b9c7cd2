"""Where charlm keeps what it can make again."""

from __future__ import annotations

import os
import pwd
from collections.abc import Mapping
from pathlib import Path

from charlm.errors import ConfigError


def cache_folder(environment: Mapping[str, str] | None = None) -> Path:
    """``$CHARLM_CACHE``, ``$XDG_CACHE_HOME/charlm`` or ``~/.cache/charlm``; it need not exist."""
    environment = os.environ if environment is None else environment
    if environment.get("CHARLM_CACHE"):
        return Path(environment["CHARLM_CACHE"])
    if environment.get("XDG_CACHE_HOME"):
        return Path(environment["XDG_CACHE_HOME"]) / "charlm"
    return Path(environment.get("HOME") or _home()) / ".cache" / "charlm"


def _home() -> str:
    """What the system has of the user. Raises `ConfigError` where it knows none."""
    try:
        return pwd.getpwuid(os.getuid()).pw_dir
    except KeyError:
        raise ConfigError("there is no home folder to keep a cache in: set HOME or CHARLM_CACHE") from None
