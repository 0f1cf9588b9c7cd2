"""Remembered baselines: what was written is read, and a file that was changed is not."""

import numpy as np
import pytest

from charlm.config import CorpusConfig, TokenizerConfig
from charlm.evaluation import remembered
from charlm.evaluation.score import Score
from charlm.runs import prepare
from charlm.runs.data import store_key

SCORES = {
    "unigram": Score(total_nats=12.5, tokens=5, characters=5, bytes=6),
    "5-gram": Score(total_nats=7.25, tokens=5, characters=5, bytes=6),
}


@pytest.fixture
def kept(tmp_path, monkeypatch):
    """A text, and the file of what is remembered of it."""
    monkeypatch.setenv("CHARLM_CACHE", str(tmp_path / "cache"))
    (tmp_path / "a.txt").write_text("to be, or not to be\n" * 9)
    data = prepare(CorpusConfig(corpus=(str(tmp_path / "a.txt"),)), TokenizerConfig())
    remembered.remember(store_key(data.facts, data.tokenizer.fingerprint), "validation", SCORES)
    (path,) = (tmp_path / "cache" / "baselines").iterdir()
    return data, path


def test_what_was_written_is_read(kept):
    assert remembered.known_baselines(kept[0], "validation") == SCORES


def test_every_cut_and_flipped_bit_is_noticed(kept):
    data, path = kept
    whole = path.read_bytes()
    draws = np.random.default_rng(0)
    for place in draws.choice(8 * len(whole), 300, replace=False).tolist():
        changed = bytearray(whole)
        changed[place // 8] ^= 1 << place % 8
        path.write_bytes(changed)
        assert remembered.known_baselines(data, "validation") is None, place
    for size in range(0, len(whole), 7):
        path.write_bytes(whole[:size])
        assert remembered.known_baselines(data, "validation") is None, size
