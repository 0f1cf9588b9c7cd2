"""Where recipes lie, and where fetched texts and caches go.

A recipe is `<folder of recipes>/<name>/corpus.toml`. The folders of recipes, first match wins:
``$CHARLM_CORPORA``, ``./corpora``, the `corpora/` of the checkout that charlm runs from, and the recipes
inside the installed package.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from charlm.config.folders import cache_folder

RECIPE_FILE = "corpus.toml"
_PACKAGE = Path(__file__).resolve().parent
_SHIPPED = _PACKAGE / "recipes"
_CHECKOUT = _PACKAGE.parent.parent / "corpora"


def recipe_folders(environment: Mapping[str, str] | None = None) -> list[Path]:
    """The folders that may hold recipes, in order of precedence."""
    environment = os.environ if environment is None else environment
    named = [Path(environment["CHARLM_CORPORA"])] if environment.get("CHARLM_CORPORA") else []
    return [*named, Path("corpora"), _CHECKOUT, _SHIPPED]


def recipe_paths() -> dict[str, Path]:
    """Every recipe's name and `corpus.toml`, sorted by name; nothing is read."""
    found: dict[str, Path] = {}
    for folder in recipe_folders():
        try:
            names = sorted(os.listdir(folder))
        except OSError:
            continue
        for name in names:
            if not name.startswith(".") and os.path.isfile(folder / name / RECIPE_FILE):
                found.setdefault(name, folder / name / RECIPE_FILE)
    return dict(sorted(found.items()))


def text_folder(recipe_file: Path, environment: Mapping[str, str] | None = None) -> Path:
    """Where the text of a recipe is kept: beside it, or in the cache for recipes inside the installed package."""
    if recipe_file.parent.parent == _SHIPPED:
        return cache_folder(environment) / "corpora" / recipe_file.parent.name
    return recipe_file.parent / "text"
