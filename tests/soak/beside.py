"""Damage to what lies beside runs: token stores, fetched corpora, remembered baselines, compressed texts."""

from __future__ import annotations

import dataclasses
import io
import itertools
import json
import random
from functools import partial
from pathlib import Path

import specimen
from counting import Asked, Count, Part
from damaged import cuts, flips
from installed import CONFIG, Fetched, install
from judging import refusal, refused
from specimen import Specimen, holding

from charlm.coding import Coder
from charlm.config import CorpusConfig
from charlm.errors import CorpusError, RunError
from charlm.runs import Data, open_run_data
from charlm.streams import open_store


def stores(asked: Asked) -> Count:
    """The ids of a text, and their side file."""
    count = Count(
        what="token stores and remembered baselines cut and with flipped bits",
        promise="made again from the text, with the same ids and scores; never used",
    )
    one = specimen.make(asked.folder, steps=())
    with one.settings():
        data = open_run_data(one.opened())
        expected = _ids(data)
        remembered = _remember(data)
        files = sorted(path for path in one.cache.rglob("*") if path.is_file())
        damaged = [*cuts(files), *itertools.islice(flips(files, random.Random(asked.seed)), asked.of(10_000, 40))]
        for name, path, content in damaged if not asked.quick else damaged[::4]:
            whole = path.read_bytes()
            with count.attempt(name), holding(path, content):
                _check_store(one, path, content, whole, expected, remembered)
    return count


def _remember(data: Data) -> dict[str, object]:
    from charlm.evaluation.baselines import baseline_scores
    from charlm.evaluation.remembered import remember
    from charlm.runs.data import store_key

    scores = baseline_scores(data.store.part("train")[:500], data.store.part("validation")[:500], data.tokenizer)
    remember(store_key(data.facts, data.tokenizer.fingerprint), "validation", scores)
    return dict(scores)


def _ids(data: Data) -> dict[str, bytes]:
    return {name: data.store.part(name).tobytes() for name in data.store.parts}


def _check_store(
    one: Specimen, path: Path, content: bytes, whole: bytes, expected: dict[str, bytes], remembered: dict[str, object]
) -> None:
    from charlm.evaluation.remembered import known_baselines

    if path.parent.name == "baselines":
        data = open_run_data(one.opened())
        assert known_baselines(data, "validation") is None
        return
    # the side file vouches for its values: one that is written otherwise, 1e-05 as 1E-05, is still that value
    harmless = path.suffix == ".json" and _value(content) == _value(whole)
    assert (open_store(path.parent, path.stem) is None) != harmless
    data = open_run_data(one.opened())
    assert _ids(data) == expected
    assert known_baselines(data, "validation") == remembered


def _value(content: bytes) -> object:
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        return content


WAYS = (
    CONFIG,
    dataclasses.replace(CONFIG, newlines="unix"),
    dataclasses.replace(CONFIG, split="80/20"),
    dataclasses.replace(CONFIG, boundary="\n--\n"),
)


def corpora(asked: Asked) -> Count:
    """Recipe, text and documents of a fetched corpus, read in several ways, alone and with another text."""
    count = Count(
        what="fetched corpora (corpus.toml, text.txt, documents.json) cut and with flipped bits",
        promise="the same text, the same split, or an error; what only describes it may change",
    )
    made = install(asked.folder)
    beside = asked.folder / "more.txt"
    beside.write_text(specimen.text(300, seed=9), encoding="utf-8")
    ways = (*WAYS, dataclasses.replace(CONFIG, corpus=(*CONFIG.corpus, str(beside))))
    sound = [made.read(way) for way in ways]
    damaged = cuts(made.files()), flips(made.files(), random.Random(asked.seed))
    for name, path, content in itertools.chain(damaged[0], itertools.islice(damaged[1], asked.of(5000, 20))):
        with count.attempt(name), holding(path, content):
            for way, expected in zip(ways, sound, strict=True):
                _check_corpus(made, way, expected)
    return count


def _check_corpus(made: Fetched, way: CorpusConfig, expected: tuple[str, str, str]) -> None:
    try:
        found = made.read(way)
    except CorpusError as error:
        refusal(error)
    else:
        assert found == expected


def compressed(asked: Asked) -> Count:
    """Compressed texts, in blocks and lanes."""
    count = Count(
        what="compressed texts cut and with flipped bits",
        promise="exit 3 or 4 and nothing taken for the text; every byte counts",
    )
    one = specimen.make(asked.folder, steps=(1,), characters=2000)
    coder, draws = one.coder(), random.Random(asked.seed)
    path = asked.folder / "poem.txt.charlm"
    whole = io.BytesIO()
    coder.compress(io.BytesIO(specimen.text(200).encode() + b"\xff"), whole)
    path.write_bytes(whole.getvalue())
    damaged = cuts([path], every=1), flips([path], draws)
    for name, _, content in itertools.chain(
        itertools.islice(damaged[0], asked.of(10_000, 3)), itertools.islice(damaged[1], asked.of(10_000, 9))
    ):
        with count.attempt(name):
            words = refused(partial(_decompress, coder, content, path.name), CorpusError, RunError)
            assert path.name in words, words
    return count


def _decompress(coder: Coder, content: bytes, name: str) -> None:
    coder.decompress(io.BytesIO(content), io.BytesIO(), name)


BESIDE: dict[str, Part] = {"stores": stores, "corpora": corpora, "compressed": compressed}
