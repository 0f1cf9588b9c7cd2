"""Train, measure, write; kill, resume; and all of it again from Python."""

import json
import math
import signal
import time

import numpy as np
import pytest
from safetensors.numpy import load_file

WORDS = {"the", "cat", "sat", "on", "a", "mat", "and", "saw", "that", "rat", "eat", "ham", "at", "dawn"}
pytestmark = pytest.mark.slow  # each command is a process of its own


def records(place, run):
    lines = (place.folder / "checkpoints" / run / "metrics.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def weights(place, run):
    steps = sorted((place.folder / "checkpoints" / run / "steps").glob("step-*"))
    return {**load_file(steps[-1] / "weights.safetensors"), **load_file(steps[-1] / "training.safetensors")}


def test_training_learns_and_says_so(trained):
    evaluations = [record for record in records(trained, "cats") if record["kind"] == "evaluate"]
    assert len(evaluations) == 10
    # one of fourteen words, of four letters with its space: no model has less than some 0.7
    assert evaluations[-1]["validation_nats"] < min(0.8, evaluations[0]["validation_nats"])
    assert evaluations[-1]["perplexity"] == pytest.approx(math.exp(evaluations[-1]["validation_nats"]))


def test_eval_with_no_argument_scores_the_test_split_of_the_latest_run(trained):
    result = trained.json("eval", "--perplexity")
    assert (result["run"], result["split"], result["protocol"]) == ("cats", "test", "stream")
    assert result["tokens"] == result["characters"] == result["bytes"]
    assert 2990 <= result["characters"] <= 3010  # 5 % of 60,000, less the first
    assert result["perplexity"] == pytest.approx(math.exp(result["nats_per_character"]))
    assert result["bits_per_character"] == pytest.approx(result["nats_per_character"] / math.log(2))
    assert set(result["baselines"]) == {"uniform", "unigram", "5-gram", "xz"}
    assert result["nats_per_character"] < result["baselines"]["unigram"]
    low, high = result["interval"]
    assert low < result["nats_per_character"] < high
    assert 0 < result["accuracy"] < 1
    assert result["checkpoint"].startswith("step-")
    assert "note" not in result


def test_eval_of_the_validation_split_is_what_training_reported(trained):
    result = trained.json("eval", "--split", "validation")
    best = min(r["validation_nats"] for r in records(trained, "cats") if r["kind"] == "evaluate")
    # training may evaluate in bfloat16
    assert result["nats_per_character"] == pytest.approx(best, abs=0.01)


def test_eval_of_other_texts_and_protocols(trained):
    other = trained.folder / "other.txt"
    other.write_text("The cat sat on the mat.\n" * 20 + "Ünïcödé?\n")
    stream = trained.json("eval", other)
    assert (stream["split"], stream["characters"]) == ("all", 24 * 20 + 8)
    assert stream["bytes"] > stream["characters"]
    other.write_text("T")
    nothing = trained.json("eval", other)
    assert (nothing["tokens"], nothing["perplexity"], nothing["note"][:13]) == (0, None, "0 predictions")
    windows = trained.json("eval", "--protocol", "windows:16")
    assert windows["protocol"] == "windows:16"
    assert windows["nats_per_character"] > trained.json("eval")["nats_per_character"]


def test_generate_is_repeatable_and_pure(trained):
    arguments = ("generate", "--temperature", "0.8", "--length", 300, "--seed", 7, "--prompt", "The cat")
    text = trained.run(*arguments).decode()
    assert text.startswith("The cat")
    assert len(text) == len("The cat") + 300
    assert text == trained.run(*arguments).decode()
    assert text != trained.run(*arguments[:-3], 8, *arguments[-2:]).decode()
    words = text.lower().replace(".", " ").split()
    assert np.mean([word in WORDS for word in words]) > 0.5


def test_generate_with_no_argument_writes_from_the_latest_run(trained):
    assert len(trained.run("generate").decode()) == 1000


def test_the_prompt_may_come_from_a_pipe(trained):
    text = trained.run("generate", "--prompt", "-", "--length", 20, "--seed", 1, stdin=b"The rat").decode()
    assert text.startswith("The rat")
    assert len(text) == 27


def test_a_killed_training_resumes_to_the_same_numbers(workplace):
    """N steps equal k steps, kill -9, resume and N - k steps: the same weights and moments, bit for bit.

    With the kernels of torch, and all other settings: tests/soak/kill_and_resume.py, of which the suite runs a little.
    """
    settings = ["--steps", 60, "--checkpoint-every", 5, "--dropout", 0.2, "--ema", 0.9, "--window-jitter", 0.2]
    settings += ["--schedule", "plateau", "--patience", 9, "--accumulate", 2, "--dropout-recurrent", 0.1]
    # two trainings left to choose by themselves might choose differently
    settings += ["--dtype", "float32"]
    workplace.train("--run", "whole", *settings)
    process = workplace.start(*workplace.training("--run", "killed", *settings))
    steps = workplace.folder / "checkpoints" / "killed" / "steps"
    deadline = time.monotonic() + 120
    while not (steps.exists() and any(steps.glob("step-????????"))):
        assert time.monotonic() < deadline
        assert process.poll() is None, process.stderr.read().decode()
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert not (steps / "step-00000060").exists()  # it was killed on its way

    workplace.run("train", "--resume", "--run", "killed")
    whole, killed = weights(workplace, "whole"), weights(workplace, "killed")
    assert whole.keys() == killed.keys()
    for name in whole:
        assert np.array_equal(whole[name], killed[name]), name
    steps_told = [r["step"] for r in records(workplace, "killed") if r["kind"] == "evaluate"]
    assert steps_told == sorted(set(steps_told))  # no step is told twice


def test_an_interrupted_training_saves_and_goes_on(workplace):
    process = workplace.start("train", workplace.text, "--hidden-size", 32, "--minutes", 10, "--run", "long")
    metrics = workplace.folder / "checkpoints" / "long" / "metrics.jsonl"
    while not metrics.exists():
        assert process.poll() is None, process.stderr.read().decode()
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert b"charlm train --resume --run long" in err
    assert records(workplace, "long")[-1]["reason"] == "interrupted"
    workplace.run("train", "--resume", "--run", "long", "--steps", 1, code=2)  # already further than that
    assert "is complete" in workplace.errors


def test_a_budget_in_minutes_ends_the_training_and_its_schedule(workplace):
    workplace.train("--minutes", 0.2, "--run", "short", "--learning-rate", 0.01)
    told = records(workplace, "short")
    assert told[-1]["reason"] == "minutes"
    rates = [record["learning_rate"] for record in told if record["kind"] == "train"]
    assert rates[-1] < 0.3 * max(rates)
    workplace.run("train", "--resume", "--run", "short", code=2)
    assert "is complete" in workplace.errors


@pytest.mark.parametrize("tokenizer", ["byte", "bpe:300", "unigram:290"])
def test_other_tokenizers_go_all_the_way(workplace, tokenizer):
    workplace.train("--tokenizer", tokenizer, "--steps", 30, "--run", "other")
    result = workplace.json("eval")
    assert result["characters"] >= result["tokens"]
    assert len(workplace.run("generate", "--length", 50, "--seed", 1).decode()) == 50


@pytest.mark.parametrize("cell", ["elman", "elman-relu", "gru", "gru-reset-before", "lstm"])
def test_every_cell_goes_all_the_way(workplace, cell):
    workplace.train("--cell", cell, "--kernels", "auto", "--steps", 40, "--tie-weights", "--embedding-size", 16)
    assert workplace.json("eval")["perplexity"] < 40
    assert len(workplace.run("generate", "--length", 50, "--greedy").decode()) == 50


def test_a_split_without_a_test_part(workplace):
    workplace.train("--split", "90/10", "--steps", 5, "--run", "two")
    assert workplace.json("eval")["split"] == "validation"
    workplace.run("eval", "--split", "test", code=3)
    assert "has no test split: choose train, validation or all" in workplace.errors


def test_the_plan_leaves_nothing_behind(workplace):
    out = workplace.train("--plan", "--minutes", 1).decode()
    assert "parameters" in out
    assert "characters/s" in out
    assert not list((workplace.folder / "checkpoints").glob("*"))


def test_json_events_are_the_metrics(workplace):
    lines = workplace.train("--steps", 10, "--json", "--run", "j").decode().splitlines()
    told = [json.loads(line) for line in lines]
    assert told[-1]["kind"] == "summary"
    stop = next(event for event in told if event["kind"] == "stop")
    assert stop["reason"] == "steps"
    logged = {(r["kind"], r["step"]) for r in records(workplace, "j")}
    assert logged <= {(event["kind"], event.get("step")) for event in told}


def test_quiet_is_quiet(workplace):
    assert workplace.train("--steps", 2, "--quiet") == b""
    assert workplace.errors == ""


def test_a_reader_that_goes_away_loses_nothing(workplace):
    process = workplace.start("train", workplace.text, "--hidden-size", 16, "--minutes", 10, "--json", "--run", "read")
    assert json.loads(process.stdout.readline())
    process.stdout.close()
    assert process.wait(timeout=60) == 141, process.stderr.read()
    last = records(workplace, "read")[-1]
    assert (last["kind"], last["reason"]) == ("stop", "interrupted")
    assert (workplace.folder / "checkpoints" / "read" / "steps" / f"step-{last['step']:08d}").is_dir()
