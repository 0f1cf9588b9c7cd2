"""Baselines computed beside a training are those that are computed anywhere, and are there whatever happens."""

import random
import threading

import pytest

from charlm.config import CorpusConfig, TokenizerConfig
from charlm.evaluation import remembered
from charlm.evaluation.aside import BaselinesAside
from charlm.evaluation.baselines import baseline_scores
from charlm.evaluation.passages import passages
from charlm.runs import prepare

LETTERS = "etaoin shrdlu\n"


@pytest.fixture
def data(tmp_path, monkeypatch):
    """A text with three parts; the cache is empty of baselines."""
    monkeypatch.setenv("CHARLM_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "text.txt"
    path.write_text("".join(random.Random(1).choices(LETTERS, k=20_000)))
    return prepare(CorpusConfig(corpus=(str(path),), split="80/10/10"), TokenizerConfig())


def expected(data, part):
    return baseline_scores(data.store.part("train"), data.store.part(part), data.tokenizer)


def ended():
    """Wait for the thread beside this one."""
    for thread in threading.enumerate():
        if thread.name == "charlm-baselines":
            thread.join(60)
            assert not thread.is_alive()


def test_all_parts_are_there_in_the_end(data):
    BaselinesAside(data, 10**6)
    ended()
    for part in ("validation", "test"):
        assert remembered.known_baselines(data, part) == expected(data, part)
        assert list(remembered.known_baselines(data, part)) == list(expected(data, part))


def test_of_a_long_split_what_a_training_scores_is_scored(data):
    """By the model and by them: figures of different symbols say nothing beside each other."""
    part = data.store.part("validation")
    same = passages(part, 160)
    assert [len(part), len(same)] == [2000, 160]
    assert BaselinesAside(data, 160).scores() == baseline_scores(data.store.part("train"), same, data.tokenizer)
    assert BaselinesAside(data, 2000).scores() == expected(data, "validation")
    ended()


def test_they_are_waited_for_and_computed_once(data, monkeypatch):
    begun, go_on, computed = threading.Event(), threading.Event(), []

    def slowly(*arguments):
        computed.append(arguments)
        begun.set()
        go_on.wait(60)
        return baseline_scores(*arguments)

    monkeypatch.setattr(remembered, "baseline_scores", slowly)
    coming = BaselinesAside(data, 10**6)
    assert begun.wait(60)
    threading.Timer(0.05, go_on.set).start()
    assert coming.scores() == expected(data, "validation")
    ended()
    assert len(computed) == 2  # validation and test


def test_a_failure_beside_is_told_where_they_are_asked_for(data, monkeypatch):
    def fail(*arguments):
        raise MemoryError("no room")

    monkeypatch.setattr(remembered, "baseline_scores", fail)
    coming = BaselinesAside(data, 10**6)
    with pytest.raises(MemoryError, match="no room"):
        coming.scores()
    monkeypatch.setattr(remembered, "baseline_scores", baseline_scores)
    assert coming.scores() == expected(data, "validation")


def test_once_stopped_nothing_more_is_begun(data, monkeypatch):
    begun, go_on, parts = threading.Event(), threading.Event(), []

    def first(*arguments):
        parts.append(arguments)
        begun.set()
        go_on.wait(60)
        return {}

    monkeypatch.setattr(remembered, "baseline_scores", first)
    coming = BaselinesAside(data, 10**6)
    assert begun.wait(60)
    coming.stop()
    go_on.set()
    ended()
    assert len(parts) == 1
