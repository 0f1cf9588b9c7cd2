"""The programs of benchmarks/ are run as files: their folder is where they import from."""

import contextlib
import io
import json
import sys
from pathlib import Path

import pytest
import torch

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))


@pytest.fixture
def quick(tmp_path, monkeypatch):
    """Run a program's main as `--quick` does, in turns as short as can be; gives what it printed and wrote."""

    def run(program, *arguments):
        monkeypatch.setenv("CHARLM_CACHE", str(tmp_path / "cache"))
        threads = torch.get_num_threads()
        printed = io.StringIO()
        try:
            with contextlib.redirect_stdout(printed):
                code = program.main(["--quick", "--results", str(tmp_path), "--note", "a test", *arguments])
        finally:
            torch.set_num_threads(threads)
        assert code == 0, printed.getvalue()
        (path,) = tmp_path.glob("*.json")
        return printed.getvalue(), json.loads(path.read_text())

    return run
