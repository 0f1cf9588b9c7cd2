"""The import direction of the rooms, read from the source, lazy imports included."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "charlm"

# A room may import rooms of lower levels and itself; rooms of one level are strangers.
LEVELS = [
    {"errors", "plurals", "timing"},
    {"registry", "config"},
    {"corpora", "tokenizers", "streams", "simd"},
    {"runs", "kernels"},
    {"models", "runtime"},
    {"evaluation", "generation"},
    {"training", "coding"},
    {"sweeps"},
    {"api"},
    {"cli"},
]
LEVEL_OF = {room: level for level, rooms in enumerate(LEVELS) for room in rooms}
# The entry points: they open any room, and no room imports them.
DOORS = {"__init__", "__main__"}

TORCH_FREE = {
    "simd",
    "errors",
    "plurals",
    "timing",
    "registry",
    "config",
    "corpora",
    "tokenizers",
    "streams",
    "runs",
    "runtime",
    "generation",
    "coding",
}
TERMINAL = {"cli"}
MODULES = sorted(PACKAGE.rglob("*.py"))


def room_of(path: Path) -> str:
    first = path.relative_to(PACKAGE).parts[0]
    return first.removesuffix(".py")


def imported_names(path: Path) -> set[str]:
    """Dotted names of everything a file imports, at any depth."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def imported_rooms(path: Path) -> set[str]:
    dotted = (name.split(".") for name in imported_names(path))
    return {parts[1] for parts in dotted if parts[0] == "charlm" and len(parts) > 1 and parts[1] != "__version__"}


def test_every_room_has_a_level():
    rooms = {room_of(path) for path in MODULES} - DOORS
    assert rooms == set(LEVEL_OF), f"without a level in LEVELS, or gone: {rooms ^ set(LEVEL_OF)}"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_rooms_import_only_what_lies_below(path):
    room = room_of(path)
    if room in DOORS:
        return
    for other in imported_rooms(path) - {room}:
        below = other in LEVEL_OF and LEVEL_OF[other] < LEVEL_OF[room]
        # config and registry are one level, and config may look names up
        assert below or (room, other) == ("config", "registry"), f"{path} imports {other}"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_heavy_and_terminal_packages_stay_in_their_rooms(path):
    packages = {name.split(".")[0] for name in imported_names(path)}
    room = room_of(path)
    if room in TORCH_FREE:
        assert "torch" not in packages
    if room not in TERMINAL and room not in DOORS:
        assert not packages & {"click", "rich"}


def test_no_room_of_leftovers():
    assert not {room_of(path) for path in MODULES} & {"utils", "common", "helpers"}
