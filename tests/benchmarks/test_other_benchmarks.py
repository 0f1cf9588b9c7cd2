"""The programs for encoding, whole commands and the machine run, and find what is wrong."""

import commands
import encoding
import machine
import pytest
from harness.limits import FORMATS

from charlm.training.trial import is_emulated


def test_encoding_compares_its_ids(quick, monkeypatch):
    monkeypatch.setattr(encoding, "make_text", lambda characters, share: "some words, and some more\n" * 200)
    printed, found = quick(encoding, "--seconds", "0.001", "--repeats", "1")
    assert found["cases"]["ascii"]["checks"] == {"ids that differ, char against dict loop": [0, 0]}
    assert "windows, B 32, T 64" in printed


def test_encoding_that_differs_is_not_written(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("CHARLM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(encoding, "make_text", lambda characters, share: "some words, and some more\n" * 200)
    right = encoding.dict_loop
    monkeypatch.setattr(encoding, "dict_loop", lambda table, text, dtype: right(table, text, dtype) ^ 1)
    arguments = ["--quick", "--seconds", "0.001", "--repeats", "1", "--results", str(tmp_path)]
    assert encoding.main(arguments) == 1
    assert "ascii: ids that differ" in capsys.readouterr().err
    assert not (tmp_path / "encoding.json").exists()


@pytest.mark.slow
def test_the_machines_limits(quick):
    _, found = quick(machine)
    figures = found["cases"]["threads-1"]["figures"]
    formats = [name for name, dtype in FORMATS.items() if not is_emulated(dtype)]
    assert list(figures)[: len(formats)] == [f"products {name}, GF/s" for name in formats]
    assert len(figures) == len(formats) + 3
    assert all(value > 0 for value in figures.values())


@pytest.mark.slow
def test_whole_commands(quick):
    _, found = quick(commands)
    cases = {name: case["figures"] for name, case in found["cases"].items()}
    wait = float(cases["generate"]["start to first character, s"])
    assert 0 < wait <= float(cases["generate"]["whole command, s"])
    # without torch, as the promise is
    assert float(cases["generate"]["peak memory, MB"]) < float(cases["train"]["peak memory, MB"])
    parts = [value for name, value in cases["overhead"].items() if name.startswith("of which")]
    assert 0 < sum(parts) < cases["overhead"]["overhead, per cent of the steps"]
