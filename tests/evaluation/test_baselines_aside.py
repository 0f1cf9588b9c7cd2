"""Baselines computed by another process are those that this one would compute, and are there whatever happens to it."""

import os
import random
import subprocess
import sys

import pytest

from charlm.config import CorpusConfig, TokenizerConfig
from charlm.evaluation import aside, remembered
from charlm.evaluation.aside import BaselinesAside
from charlm.evaluation.baselines import baseline_scores
from charlm.runs import prepare

LETTERS = "etaoin shrdlu\n"


@pytest.fixture
def text(tmp_path, monkeypatch):
    """The ids of a text with three parts, and the folder of its tokenizer; the cache is empty of baselines."""
    monkeypatch.setenv("CHARLM_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "text.txt"
    path.write_text("".join(random.Random(1).choices(LETTERS, k=20_000)))
    data = prepare(CorpusConfig(corpus=(str(path),), split="80/10/10"), TokenizerConfig())
    data.tokenizer.save(tmp_path)
    return data, tmp_path


@pytest.fixture
def any_length(monkeypatch):
    monkeypatch.setattr(aside, "FEWEST", 0)


def expected(data, part):
    return baseline_scores(data.store.part("train"), data.store.part(part), data.tokenizer)


def test_the_other_process_has_them_for_all_parts(text, any_length):
    data, folder = text
    BaselinesAside(data, "validation", folder)._process.wait()
    for part in ("validation", "test"):
        assert remembered.known_baselines(data, part) == expected(data, part)
        assert list(remembered.known_baselines(data, part)) == list(expected(data, part))


def test_they_are_waited_for(text, any_length, monkeypatch):
    data, folder = text
    coming = BaselinesAside(data, "validation", folder)
    monkeypatch.setattr(remembered, "baseline_scores", None)  # nothing is computed here
    assert coming.scores() == expected(data, "validation")


@pytest.mark.parametrize("broken", ["stopped", "failed", "not started"])
def test_they_are_there_without_the_other_process(text, any_length, monkeypatch, broken):
    data, folder = text
    if broken == "failed":
        monkeypatch.setattr(aside, "START", "raise SystemExit(3)")
    if broken == "not started":
        monkeypatch.setattr(sys, "executable", str(folder / "none"))
    coming = BaselinesAside(data, "validation", folder)
    if broken == "stopped":
        coming.stop()
    assert (coming._process is None) == (broken == "not started")
    assert coming.scores() == expected(data, "validation")


def test_no_process_for_short_texts_and_for_what_is_known(text, monkeypatch):
    data, folder = text
    assert BaselinesAside(data, "validation", folder)._process is None
    monkeypatch.setattr(aside, "FEWEST", 0)
    remembered.remembered_baselines(data, "validation")
    assert BaselinesAside(data, "validation", folder)._process is None


@pytest.mark.parametrize("forks", [True, False])
def test_xz_reads_the_training_text_once_and_counts_as_before(text, forks):
    code = f"""
import os, sys
from pathlib import Path
from charlm.evaluation.aside import scores_of_parts
from charlm.evaluation.baselines import baseline_scores
from charlm.tokenizers import load_tokenizer
if not {forks}:
    del os.fork
tokenizer = load_tokenizer(Path(sys.argv[1]))
ids = tokenizer.encode(Path(sys.argv[1], "text.txt").read_text())
train, texts = ids[:15_000], {{0: ids[15_000:], 1: ids[:3000], 2: ids[:1], 3: ids[:0]}}
found = dict(scores_of_parts(train, texts, tokenizer))
assert found == {{part: baseline_scores(train, ids, tokenizer) for part, ids in texts.items()}}, found
assert found[0]["xz"].total_nats > 0
"""
    alone = os.environ | {"OPENBLAS_NUM_THREADS": "1"}
    subprocess.run([sys.executable, "-c", code, str(text[1])], check=True, env=alone)
