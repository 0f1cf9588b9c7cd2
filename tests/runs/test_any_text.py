"""From any files to ids on disk and into lanes, by the way that a training takes: every character, in its place."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from charlm.config import CorpusConfig, TokenizerConfig
from charlm.corpora import parse_split
from charlm.errors import CorpusError
from charlm.runs import prepare
from charlm.streams import Lanes

TEXTS = st.text(st.one_of(st.sampled_from("ab \n\r\t\0\u2028\ufeff"), st.characters(codec="utf-8")), max_size=60)
SPLITS = st.tuples(st.integers(1, 100), st.integers(0, 100)).map(
    lambda two: f"{two[0]}/{min(two[1], 100 - two[0])}/{max(0, 100 - sum(two))}"
)


def joined(texts):
    """Documents one after the other, each on a line of its own, without their byte-order marks."""
    whole = ""
    for text in filter(None, (text.removeprefix("\ufeff") for text in texts)):
        whole += "\n" * (whole != "" and not whole.endswith("\n")) + text
    return whole


@settings(max_examples=max(1, settings.default.max_examples // 3))
@given(
    texts=st.lists(TEXTS, min_size=1, max_size=3),
    tokenizer=st.sampled_from(["char", "byte"]),
    split=SPLITS,
    batch_size=st.integers(1, 3),
    window=st.integers(1, 20),
)
def test_every_character_arrives(texts, tokenizer, split, batch_size, window):
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setenv("CHARLM_CACHE", str(Path(folder, "cache")))
        patch.setattr(os, "fsync", lambda number: None)  # what is tested here is not durability
        place = Path(folder, "texts")
        place.mkdir()
        for number, text in enumerate(texts):
            Path(place, f"{number}.txt").write_bytes(text.encode())
        whole = joined(texts)
        corpus = CorpusConfig(corpus=(str(place),), split=split)
        if not whole.strip():
            with pytest.raises(CorpusError, match=r"is empty|holds white space only"):
                prepare(corpus, TokenizerConfig(tokenizer=tokenizer))
            return
        data = prepare(corpus, TokenizerConfig(tokenizer=tokenizer))
        assert data.tokenizer.decode(data.store.part("all")) == whole
        for part, (start, end) in parse_split(split).bounds(len(whole)).items():
            assert data.tokenizer.decode(data.store.part(part)) == whole[start:end]
        ids = data.store.part("all")
        if len(ids) <= batch_size:
            return
        lanes, read = Lanes(ids, batch_size), [[] for _ in range(batch_size)]
        while lanes.epoch < 1:
            _, targets = lanes.next(window)
            for lane, row in zip(read, targets.tolist(), strict=True):
                lane += row
        # lanes side by side are the text once: each goes on to where the next one began
        ends = [(lane + 1) * (len(ids) - 1) // batch_size for lane in range(batch_size)]
        starts = [0, *ends[:-1]]
        cut = [row[: end - start] for row, start, end in zip(read, starts, ends, strict=True)]
        assert data.tokenizer.decode([int(ids[0]), *(one for row in cut for one in row)]) == whole
