"""Files of many megabytes, and files that are changed while they are read."""

from __future__ import annotations

import json
import os
import random
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import specimen
from apart import MB, attempt
from counting import Asked, Count, Part
from judging import refusal
from specimen import STEPS, Specimen

from charlm.config import file_layer, resolve
from charlm.corpora import read_recipe
from charlm.errors import CorpusError, RunError
from charlm.runs import arrays, open_run, open_run_data
from charlm.streams import open_store
from charlm.tokenizers import load_tokenizer

PROMISE = "a CharlmError of one line, or it is read; at most twice the file and 64 MB of memory"


def large(asked: Asked) -> Count:
    """Files of many megabytes, sound and not."""
    count = Count(what="large files: settings, records, vocabularies, arrays, metrics", promise=PROMISE)
    one = specimen.make(asked.folder, steps=(1,), characters=2000)
    mb = asked.of(50, 3) * MB
    toml, step = asked.folder / "poem" / "corpus.toml", one.weights(1).parent
    toml.parent.mkdir()
    empty = b"[" + b'{"":0},' * (mb // 7) + b"0]"
    tables = [b"x" * mb, b"[" * mb, b" " * mb, empty, b'{"a":' * (mb // 5), b"9" * mb, b'{"' + b"k" * mb + b'":1}']
    run = one.opened()
    readers: list[tuple[Path, Callable[[], Any]]] = [
        (toml, lambda: resolve([file_layer(toml)])),
        (toml, lambda: read_recipe(toml)),
        (one.run / "run.json", lambda: open_run(one.run)),
        (one.run / "pointers.json", run.load),
        (step / "manifest.json", run.checkpoints),
        (one.run / "tokenizer.json", lambda: load_tokenizer(one.run)),
        (one.run / "metrics.jsonl", run.read_metrics),
        (next(one.cache.rglob("*.json")), lambda: _data(one)),
    ]
    for path, read in readers:
        before = path.read_bytes() if path.exists() else b""
        for content in tables:
            path.write_bytes(content)
            attempt(count, f"{path.name} of {len(content):,} bytes: {content[:9]!r}...", read, len(content))
        path.write_bytes(before)
    for name, content in _just_small_enough(asked).items():
        path = one.run / name
        path.write_bytes(content)
        act = partial(load_tokenizer, one.run) if name == "tokenizer.json" else partial(run.truncate_metrics, 1)
        attempt(count, f"{name} as large as it may be", act, len(content))
    weights = b"".join(bytes(piece) for piece in arrays.pieces(specimen.weights_of(1, asked.of(400_000, 4000))))
    attempt(
        count, f"arrays of {len(weights):,} bytes", partial(_load_from_disk, asked.folder / "w", weights), len(weights)
    )
    return count


def _data(one: Specimen) -> None:
    with one.settings():
        open_run_data(one.opened())


def _load_from_disk(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    arrays.load(path.read_bytes(), "w")


def _just_small_enough(asked: Asked) -> dict[str, bytes]:
    """Content that is not refused for its size."""
    characters = "".join(map(chr, [*range(0xD800), *range(0xE000, asked.of(0x110000, 0xF000))]))
    form = {"format": 1, "tokenizer": "char", "unknown": "drop", "characters": characters}
    line = b'{"kind":"train","step":1,"train_nats":1.25,"gradient_norm":0.5,"seconds":12.5,"crc":"%08x"}\n'
    body = line.partition(b',"crc"')[0] + b"}"
    lines = (body[:-1] + b',"crc":"%08x"}\n' % zlib.crc32(body)) * (asked.of(50, 2) * MB // len(body))
    return {"tokenizer.json": json.dumps(form, ensure_ascii=False).encode(), "metrics.jsonl": lines}


def changing(asked: Asked) -> Count:
    """Files cut, overwritten and made longer by another process while they are read."""
    count = Count(what="files cut and changed while they are read", promise="what was saved, or an error; no SIGBUS")
    one = specimen.make(asked.folder, characters=30_000)
    draws = random.Random(asked.seed)
    whole = {path: path.read_bytes() for path in [*one.files(), *one.cache.rglob("*.*"), one.text] if path.is_file()}
    for number in range(asked.of(600, 6)):
        path = draws.choice([path for path in whole if path.name != "lock"])
        writer = os.fork()
        if not writer:
            _keep_changing(path, whole[path], random.Random(number))
        try:
            attempt(count, f"{path.name}, attempt {number}", partial(_read_again_and_again, one, asked.of(20, 3)), None)
        finally:
            os.kill(writer, 9)
            os.waitpid(writer, 0)
            path.write_bytes(whole[path])
    return count


def _keep_changing(path: Path, content: bytes, draws: random.Random) -> None:
    descriptor = os.open(path, os.O_RDWR)
    while True:
        place = draws.randrange(len(content) + 1)
        what = draws.randrange(4)
        if what == 0:
            os.truncate(descriptor, place)
        elif what == 1:
            os.pwrite(descriptor, draws.randbytes(99), place)
        elif what == 2:
            os.pwrite(descriptor, draws.randbytes(99), len(content))
        os.pwrite(descriptor, content, 0)
        os.truncate(descriptor, len(content))


def _read_again_and_again(one: Specimen, times: int) -> None:
    with one.settings():
        stores = [path.stem for path in one.cache.rglob("*.bin")]
        held = [store for key in stores if (store := open_store(one.cache / "tokens", key))]
        before = [store.part("all").tobytes() for store in held]
        for _ in range(times):
            try:
                run = open_run(one.run)
                loaded = run.load_training()
                size = run.tokenizer.vocab_size
                assert loaded.step in STEPS
                expected = specimen.weights_of(loaded.step, size)
                assert all(loaded.weights[name].tobytes() == array.tobytes() for name, array in expected.items())
                assert open_run_data(run).facts["characters"] > 0
                run.read_metrics()
            except (RunError, CorpusError) as error:
                refusal(error)
            assert [store.part("all").tobytes() for store in held] == before


SIZES: dict[str, Part] = {"large": large, "changing": changing}
