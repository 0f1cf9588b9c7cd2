"""The built wheel, installed in another place and run from an empty folder."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True, text=True)
    (path,) = folder.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    site = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(site), str(wheel)]
    subprocess.run(command, check=True, capture_output=True, text=True)
    return site


def run(site, folder, *command):
    kept = {name: value for name, value in os.environ.items() if not name.startswith("CHARLM_")}
    environment = kept | {"PYTHONPATH": str(site), "CHARLM_CACHE": str(folder / "cache")}
    # machine code of its own, as a user's first time has; compiled in haste
    environment |= {"NUMBA_CACHE_DIR": str(folder / "compiled"), "NUMBA_OPT": "0"}
    return subprocess.run(
        [sys.executable, *map(str, command)], cwd=folder, env=environment, check=True, capture_output=True, text=True
    ).stdout


def test_the_wheel_holds_the_package_the_recipes_and_nothing_else(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    assert wheel.name.startswith("charlm_cli-")
    recipes = {path.parent.name for path in (ROOT / "corpora").glob("*/corpus.toml")}
    assert {name.split("/")[3] for name in names if name.startswith("charlm/corpora/recipes/")} == recipes
    assert {name.split("/")[0].partition("-")[0] for name in names} == {"charlm", "charlm_cli"}
    assert not [name for name in names if name.endswith((".txt", ".bin", ".safetensors")) and "dist-info" not in name]


def test_the_installed_command_trains_measures_and_writes(installed, tmp_path):
    where = run(installed, tmp_path, "-c", "import charlm; print(charlm.__file__)").strip()
    assert Path(where).is_relative_to(installed)
    script = installed / "bin" / "charlm"
    assert run(installed, tmp_path, script, "--version").startswith("charlm ")
    assert "shakespeare" in run(installed, tmp_path, script, "corpora", "list")
    (tmp_path / "a.txt").write_text("one two three four five six seven.\n" * 60)
    run(installed, tmp_path, script, "train", "a.txt", "--steps", 5, "--hidden-size", 8, "--batch-size", 4)
    assert "perplexity" in run(installed, tmp_path, script, "eval", "--perplexity")
    assert len(run(installed, tmp_path, script, "generate", "--length", 30, "--seed", 1)) == 30
