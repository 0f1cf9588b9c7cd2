"""The program for GPUs: what it says where there is none, and that all of it runs, on a CPU."""

import json

import gpu
import pytest
import torch
from opponents import gpu_checks


def test_without_a_device_it_says_so_in_one_line(monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert gpu.main([]) == 0
    assert capsys.readouterr() == ("gpu: no CUDA device here, nothing measured\n", "")
    assert gpu.main(["--check"]) == 2
    assert capsys.readouterr() == ("", "gpu: no CUDA device here, nothing measured\n")


@pytest.mark.slow
def test_all_cases_run_and_are_written(tmp_path, capsys):
    arguments = ["--quick", "--device", "cpu", "--repeats", "1", "--seconds", "0.01", "--results", str(tmp_path)]
    assert gpu.main(arguments) == 0
    found = json.loads((tmp_path / "gpu.json").read_text())
    assert set(found["cases"]) == set(gpu.CASES)
    training = found["cases"]["train-3x512"]
    assert training["reference"] == "cuDNN alone, one call"
    assert training["sides"]["charlm"]["median"] > 0
    assert training["figures"]["charlm, per cent of cuDNN alone"] > 0
    assert "per cent of cuDNN alone" in capsys.readouterr().out


@pytest.mark.slow
def test_a_number_that_is_not_the_cpu_s_fails_the_check(monkeypatch, capsys):
    monkeypatch.setattr(gpu_checks, "STEPS", 2)
    monkeypatch.setattr(gpu, "T", 16)  # a CPU may have to emulate bfloat16
    monkeypatch.setattr(gpu_checks, "SAMPLINGS", gpu_checks.SAMPLINGS[-1:])
    monkeypatch.setattr(gpu_checks, "WIDTHS", (16,))
    some = {name: gpu_checks.CHECKS[name] for name in ("gradients", "resume", "text")}
    monkeypatch.setattr(gpu, "CHECKS", some)
    assert gpu.main(["--check", "--device", "cpu"]) == 0
    assert capsys.readouterr().out.endswith("all of it holds\n")
    write = gpu_checks.TorchModel.prime

    def off(self, ids, n=1):
        logits, state = write(self, ids, n)
        return logits + 0.01, state

    monkeypatch.setattr(gpu_checks.TorchModel, "prime", off)
    monkeypatch.setattr(gpu, "CHECKS", {"text": gpu_checks.check_text})
    assert gpu.main(["--check", "--device", "cpu"]) == 1
    assert "text: lstm: logits after 64 symbols" in capsys.readouterr().out
