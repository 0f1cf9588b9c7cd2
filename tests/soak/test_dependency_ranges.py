"""Ranges of dependencies: each has a lowest version, and what pip is told to take is that."""

import re
from pathlib import Path

import pytest
from dependency_ranges import ROOT, SMOKE, constraints, lowest, requirements

TESTED = re.compile(r"^\| `([a-z-]+)` \| `>=[^|]*\| ([0-9.]+)", re.MULTILINE)


def test_the_lowest_version_of_each_is_the_lowest_tested():
    page = (ROOT / "docs" / "dependencies.md").read_text(encoding="utf-8")
    tested = {name: version for name, version in TESTED.findall(page) if name in lowest(requirements())}
    found = {name: version.split(".") for name, version in lowest(requirements()).items()}
    # 2.6 in a range is the 2.6.0 that was tested; a first release that was skipped may be followed by its repair
    assert {name: version.split(".")[:2] for name, version in tested.items()} == {
        name: [*version, "0"][:2] for name, version in found.items()
    }


def test_pip_is_told_of_every_dependency():
    pins = constraints("lowest", None)
    assert len(pins) == len(requirements())
    assert "numpy==1.26" in pins
    assert "torch==2.9" in constraints("lowest", "2.9")
    assert constraints("highest", "2.9") == ["torch==2.9"]
    assert constraints("highest", None) == []


def test_a_range_without_a_lowest_version_is_refused(tmp_path):
    path = tmp_path / "pyproject.toml"
    path.write_text('[project]\ndependencies = ["torch>=2.6", "numpy<3"]\n')
    with pytest.raises(ValueError, match="'numpy<3' does not begin with NAME>=VERSION"):
        requirements(path)


def test_what_is_run_is_there():
    assert [name for name in SMOKE if not (Path(ROOT) / name).exists()] == []
