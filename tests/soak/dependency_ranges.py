"""Both ends of the ranges in pyproject.toml: a fresh environment at each, and a part of the suite in it.

    python tests/soak/dependency_ranges.py lowest     every dependency at its lowest version
    python tests/soak/dependency_ranges.py highest    every dependency at the newest version that its range allows
    python tests/soak/dependency_ranges.py audit      known weaknesses of the newest versions, by pip-audit

`--torch 2.13.0` takes that version of torch at either end: the wheels of some ends are gigabytes of a CUDA build, and
`--torch-index` says where else to look for it.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
import venv
from collections.abc import Sequence
from pathlib import Path

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[2]
REQUIREMENT = re.compile(r"^(?P<name>[A-Za-z0-9-]+)>=(?P<lowest>[0-9.]+)(?P<rest>[^;]*)(?:;(?P<marker>.*))?$")
# What runs the tests is not what is tried: it is as it comes.
RUNNERS = ("pytest", "pytest-timeout", "hypothesis")
# Where a dependency's behaviour shows: files, arrays, machine code, gradients, screens, and all of it together.
SMOKE = (
    "tests/tokenizers",
    "tests/streams",
    "tests/runs",
    "tests/runtime",
    "tests/models",
    "tests/kernels",
    "tests/evaluation/test_evaluate.py",
    "tests/cli/test_commands.py",
    "tests/cli/test_help.py",
    "tests/cli/test_views.py",
    "tests/corpora/test_corpus_fetch.py",
    "tests/test_api.py",
)


def requirements(path: Path = ROOT / "pyproject.toml") -> list[str]:
    """The dependencies as they are declared.

    Raises:
        ValueError: one without a lowest version.
    """
    found: list[str] = tomllib.loads(path.read_text(encoding="utf-8"))["project"]["dependencies"]
    for one in found:
        if not REQUIREMENT.match(one):
            raise ValueError(f"{one!r} does not begin with NAME>=VERSION")
    return found


def lowest(declared: Sequence[str]) -> dict[str, str]:
    """The lowest version of each dependency, by name."""
    matches = [REQUIREMENT.match(one) for one in declared]
    return {match["name"]: match["lowest"] for match in matches if match}


def constraints(end: str, torch: str | None) -> list[str]:
    """Lines for pip: which versions to take at an end of the ranges."""
    pins = lowest(requirements()) if end == "lowest" else {}
    if torch is not None:
        pins["torch"] = torch
    return [f"{name}=={version}" for name, version in pins.items()]


def make_environment(folder: Path, pins: Sequence[str], torch_index: str | None) -> Path:
    """An environment with charlm and what runs its tests; returns its Python."""
    venv.create(folder, with_pip=True)
    python = folder / ("Scripts" if sys.platform == "win32" else "bin") / "python"
    file = folder / "constraints.txt"
    file.write_text("\n".join(pins) + "\n")
    install = [str(python), "-m", "pip", "install", "--quiet", "--upgrade", "--constraint", str(file)]
    if torch_index is not None:
        subprocess.run([*install, "--index-url", torch_index, "torch"], check=True)
    subprocess.run([*install, "--upgrade-strategy", "eager", str(ROOT), *RUNNERS], check=True)
    return python


def installed(python: Path) -> str:
    """What is installed in an environment, a line each."""
    return subprocess.run([str(python), "-m", "pip", "freeze"], check=True, capture_output=True, text=True).stdout


def audit(python: Path, folder: Path) -> int:
    """Ask pip-audit, from an environment of its own, about what is installed in another; returns its exit code."""
    venv.create(folder, with_pip=True)
    own = folder / python.relative_to(python.parents[1])
    subprocess.run([str(own), "-m", "pip", "install", "--quiet", "pip-audit"], check=True)
    # charlm itself comes from no index, and a build's name after a + is known to none
    named = [line.partition("+")[0] for line in installed(python).splitlines() if "==" in line]
    file = folder / "installed.txt"
    file.write_text("\n".join(named) + "\n")
    return subprocess.run([str(own), "-m", "pip_audit", "--no-deps", "--requirement", str(file)]).returncode


def main(arguments: list[str] | None = None) -> int:
    """Make the environment, say what is in it, and run what was asked for; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("end", choices=("lowest", "highest", "audit"))
    parser.add_argument("--torch", metavar="VERSION", help="this version of torch, whatever the end is")
    parser.add_argument("--torch-index", metavar="ADDRESS", help="package index that torch is taken from")
    asked = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="charlm-ranges-") as place:
        python = make_environment(Path(place) / "env", constraints(asked.end, asked.torch), asked.torch_index)
        print(installed(python), end="", flush=True)
        if asked.end == "audit":
            return audit(python, Path(place) / "audit")
        command = [str(python), "-m", "pytest", "-m", "not slow", *SMOKE]
        return subprocess.run(command, cwd=ROOT).returncode


if __name__ == "__main__":
    sys.exit(main())
