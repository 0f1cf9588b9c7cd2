"""Parsers of what lies in a run folder, and in a sweep's: for each, what to begin with and what must hold."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import zlib
from collections.abc import Callable
from pathlib import Path

import specimen
from judging import Parser, both, sealed
from specimen import Specimen

from charlm.runs import arrays, list_runs, open_run, records
from charlm.runs.lock import owner_of
from charlm.tokenizers import load_tokenizer

Make = Callable[[Specimen, Path], Parser]


def _arrays(one: Specimen, folder: Path) -> Parser:
    def parse(content: bytes) -> None:
        found = arrays.load(content, "weights.safetensors")
        again = arrays.load(b"".join(bytes(piece) for piece in arrays.pieces(found)), "again")
        assert {name: (array.dtype, array.shape, array.tobytes()) for name, array in found.items()} == {
            name: (array.dtype, array.shape, array.tobytes()) for name, array in again.items()
        }

    kept = specimen.training_of(1, 3)
    few = [kept, {"count": kept["count"]}, {}, {"a": kept["generator"].reshape(5, 1, 100)[:0]}]
    return Parser(
        what="arrays of a checkpoint (safetensors)",
        seeds=[b"".join(bytes(piece) for piece in arrays.pieces(some)) for some in few],
        parse=parse,
    )


def _manifest(one: Specimen, folder: Path) -> Parser:
    path = one.weights(100).with_name("manifest.json")

    def read() -> None:
        (summary,) = list_runs(one.runs)
        assert bool(summary.steps) != bool(summary.problem)
        one.opened().load_training()

    return Parser(what="manifest.json of a checkpoint", seeds=[path.read_bytes()], parse=both(path, read))


def _run(one: Specimen, folder: Path) -> Parser:
    path = one.run / "run.json"

    def read() -> None:
        (summary,) = list_runs(one.runs)
        assert summary.name == "poem"
        run = open_run(one.run)
        assert run.tokenizer.fingerprint == run.fingerprint
        run.load()

    return Parser(what="run.json", seeds=[path.read_bytes()], parse=both(path, read))


def _pointers(one: Specimen, folder: Path) -> Parser:
    path = one.run / "pointers.json"
    run = one.opened()

    def read() -> None:
        assert run.load("latest").step == 100

    return Parser(what="pointers.json", seeds=[path.read_bytes()], parse=both(path, read))


def _progress(one: Specimen, folder: Path) -> Parser:
    content = one.weights(100).with_name("training.json").read_bytes()
    more = [b'{"a":[1,2.5e3,null,true,"\\u00e9\\ud83d"],"b":{"c":{}}}', b'{"a":-0.0,"b":1e-320}']

    def parse(content: bytes) -> None:
        found = records.parse(content, "training.json")
        assert records.parse(records.plain(found), "again") == found or not found

    return Parser(what="training.json of a checkpoint", seeds=[content, *more], parse=parse)


def _tokenizer(one: Specimen, folder: Path) -> Parser:
    path = folder / "tokenizer.json"
    poem = specimen.text(500)

    def parse(content: bytes) -> None:
        path.write_bytes(content)
        found = load_tokenizer(folder)
        if found.unknown == "bytes":
            assert found.decode(found.encode(poem)) == poem
        found.save(folder)
        assert load_tokenizer(folder, found.fingerprint).vocab_size == found.vocab_size

    own = (one.run / "tokenizer.json").read_bytes()
    drop = own.replace(b'"bytes"', b'"drop"')
    return Parser(what="tokenizer.json", seeds=[own, drop, b'{"format":1,"tokenizer":"byte"}'], parse=parse)


def _sentencepiece(one: Specimen, folder: Path) -> Parser:
    made = specimen.make(folder / "made", "bpe:280", steps=(1,), characters=2000)
    poem, path = specimen.text(300), folder / "tokenizer.model"
    form = json.loads((made.run / "tokenizer.json").read_bytes())

    def parse(content: bytes) -> None:
        path.write_bytes(content)
        values = form | {"model_sha256": hashlib.sha256(content).hexdigest()}
        (folder / "tokenizer.json").write_text(json.dumps(values))
        found = load_tokenizer(folder)
        assert found.decode(found.encode(poem)) == poem

    return Parser(what="tokenizer.model of sentencepiece", seeds=[(made.run / path.name).read_bytes()], parse=parse)


def _metrics(one: Specimen, folder: Path) -> Parser:
    path = one.run / "metrics.jsonl"
    before, run = path.read_bytes(), one.opened()

    def parse(content: bytes) -> None:
        path.write_bytes(b"\n".join(map(_with_crc, content.split(b"\n"))))
        run.read_metrics()
        path.write_bytes(content)
        found = run.read_metrics()
        run.truncate_metrics(100)
        kept = run.read_metrics()
        assert all(record in found.records for record in kept.records)

    return Parser(what="metrics.jsonl", seeds=[before, before * 3, b""], parse=parse)


def _with_crc(line: bytes) -> bytes:
    body = line.rpartition(b',"crc":"')[0] + b"}"
    return body[:-1] + b',"crc":"%08x"}' % zlib.crc32(body)


def _lock(one: Specimen, folder: Path) -> Parser:
    path = one.run / "lock"

    def parse(content: bytes) -> None:
        path.write_bytes(content)
        holder = os.open(path, os.O_RDWR)
        try:
            fcntl.flock(holder, fcntl.LOCK_EX)
            owner = owner_of(one.run)
        finally:
            os.close(holder)
        assert owner
        assert owner.isprintable()

    return Parser(what="the owner's name in a lock", seeds=[path.read_bytes()], parse=parse)


def _sweep(one: Specimen, folder: Path) -> Parser:
    from sweeps import make_sweep, read_sweep

    plan, results = make_sweep(one, folder)
    seeds = [(folder / name).read_bytes() for name in (plan, results)]

    def parse(content: bytes) -> None:
        for name, whole in zip((plan, results), seeds, strict=True):
            (folder / name).write_bytes(whole)
        if content.startswith(b'{"'):  # as a line of results begins
            (folder / results).write_bytes(b"\n".join(map(_with_crc, content.split(b"\n"))))
            read_sweep(folder)
            return
        (folder / plan).write_bytes(sealed(content) or content)
        read_sweep(folder)

    return Parser(what="sweep.json and results.jsonl of a sweep", seeds=seeds, parse=parse)


OF_RUNS: dict[str, Make] = {
    "arrays": _arrays,
    "manifest": _manifest,
    "run": _run,
    "pointers": _pointers,
    "progress": _progress,
    "tokenizer": _tokenizer,
    "sentencepiece": _sentencepiece,
    "metrics": _metrics,
    "lock": _lock,
    "sweep": _sweep,
}
