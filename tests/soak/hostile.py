"""Files made to harm: headers, records, settings, vocabularies, models and pickles, thousands of them, by grammars.

Each is read in a process of its own: it must end with a `CharlmError` of one line, or with what was saved, bit for bit;
no code of the file may run, and no more than twice the file and 64 MB may be taken for it.

    python tests/soak/hostile.py            some minutes
    python tests/soak/hostile.py --quick    a few attempts
"""

from __future__ import annotations

import json
import os
import pickle
import random
import struct
import sys
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import specimen
from apart import apart, attempt
from counting import Asked, Count, Part, main
from grammar import changed, sealed
from hostile_files import FILES
from hostile_sizes import SIZES
from judging import refusal, refused
from rewritten import TENSORS, sign, write_arrays
from specimen import STEPS, Specimen

from charlm.coding import Coder
from charlm.config.shapes import parameter_shapes
from charlm.errors import RunError
from charlm.runs import arrays, find_run, list_runs, open_run, open_run_data
from charlm.runtime import open_engine

PROMISE = "a CharlmError of one line, or it is read; at most twice the file and 64 MB of memory"


def read_all(one: Specimen) -> None:
    """Everything that reads a run without torch. What it gives must be what was saved."""
    with one.settings():
        list_runs(one.runs)
        run = open_run(one.run)
        tokenizer = run.tokenizer
        run.checkpoints()
        loaded = run.load_training()
        size = tokenizer.vocab_size
        expected = specimen.weights_of(loaded.step, size)
        assert all(loaded.weights[name].tobytes() == array.tobytes() for name, array in expected.items())
        open_engine(run.config.model, loaded.weights, size, engine="numpy")
        open_run_data(run)


def headers(asked: Asked) -> Count:
    """Headers of safetensors."""
    count = Count(what="headers of safetensors", promise=PROMISE)
    draws = random.Random(asked.seed)
    whole = b"".join(bytes(piece) for piece in arrays.pieces(specimen.weights_of(1, 9)))
    (length,) = struct.unpack("<Q", whole[:8])
    tree = json.loads(whole[8 : 8 + length])
    # the first arrays only: changes then fall on the same few values again and again
    few = {name: tree[name] for name in list(tree)[:3]}
    end = max(entry["data_offsets"][1] for entry in few.values())
    for number in range(asked.of(6000, 12)):
        text = changed(few, draws).encode("utf-8", "surrogatepass")
        size = draws.choice((len(text),) * 8 + (0, 2**63, 2**64 - 1, len(text) - 1, len(text) + 1, 2**32))
        content = struct.pack("<Q", size) + text + bytes(draws.choice((end,) * 8 + (0, end - 1, end + 1)))
        attempt(count, f"header {number}: {text[:300]!r}", partial(arrays.load, content, "w"), len(content))
    return count


def run_records(asked: Asked) -> Count:
    """The JSON files of a run, with checksums that are right."""
    count = Count(what="run.json, manifest.json, pointers.json and training.json with right checksums", promise=PROMISE)
    one = specimen.make(asked.folder, steps=(100,), characters=3000)
    step = one.weights(100).parent
    draws = random.Random(asked.seed)
    for path in (one.run / "run.json", step / "manifest.json", one.run / "pointers.json", step / "training.json"):
        before = {file: file.read_bytes() for file in (path, step / "manifest.json")}
        tree = json.loads(before[path])
        tree.pop("checksum", None)
        for number in range(asked.of(1500, 6)):
            text = changed(tree, draws)
            path.write_bytes(text.encode("utf-8", "surrogatepass") if path.name == "training.json" else sealed(text))
            if path.name == "training.json":
                sign(step)
            size = sum(file.stat().st_size for file in one.files())
            attempt(count, f"{path.name} {number}: {_difference(tree, text)}", partial(read_all, one), size)
            for file, content in before.items():
                file.write_bytes(content)
    return count


def _difference(tree: Any, text: str) -> str:
    """The lines of `text` that a sound file does not have."""
    sound = set(json.dumps(tree, indent=1).splitlines())
    return " ".join(line.strip()[:100] for line in text.splitlines() if line not in sound)[:400]


def tensors(asked: Asked) -> Count:
    """Tensors that do not fit the settings, in a checkpoint whose hashes are right."""
    count = Count(what="tensors missing, extra, misshapen, of another type, not finite", promise="exit 4")
    one = specimen.make(asked.folder, steps=(100,), characters=3000)
    run, path = one.opened(), one.weights(100)
    size, whole = run.tokenizer.vocab_size, path.read_bytes()
    shapes = parameter_shapes(run.config.model, size)
    draws = random.Random(asked.seed)
    for number in range(asked.of(1500, len(TENSORS))):
        kind = list(TENSORS)[number % len(TENSORS)]
        name = draws.choice(list(shapes))
        write_arrays(path, TENSORS[kind](specimen.weights_of(100, size), name))
        sign(path.parent)

        def act(name: str = name) -> None:
            # a tensor is named by whoever uses them, of whatever engine
            for use in (
                lambda weights: open_engine(run.config.model, weights, size, engine="numpy"),
                lambda weights: Coder(run.config.model, weights, run.tokenizer, engine="numpy"),
            ):
                words = refused(lambda use=use: use(run.load().weights), RunError)
                assert name in words or "x_more" in words, words

        with count.attempt(f"{kind} {name}"):
            apart(act, 2 * path.stat().st_size)
        path.write_bytes(whole)
    sign(path.parent)
    return count


class Canary:
    """Unpickling it makes a folder."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return (os.mkdir, (self.path,))


def pickles(asked: Asked) -> Count:
    """Pickles in the place of runs and of every file of one, and for a text."""
    count = Count(
        what="pickles, as .pt, .pth, .bin, ... and for every file of a run", promise="refused; the canary never runs"
    )
    one = specimen.make(asked.folder, characters=3000)
    dead = asked.folder / "dead"
    protocols = range(pickle.HIGHEST_PROTOCOL + 1)
    contents = [pickle.dumps(Canary(dead), protocol) for protocol in protocols]
    contents += [_zipped(asked.folder, content) for content in contents[-2:]]
    named = [one.runs / f"model{ending}" for ending in (".pt", ".pth", ".bin", ".pkl", ".pickle", ".ckpt", "")]
    for content in contents if not asked.quick else contents[-2:]:
        for path in named:
            path.write_bytes(content)
            with count.attempt(f"{path.name} of {content[:4]!r}..."):
                words = refused(partial(find_run, str(path), one.runs), RunError)
                may_run = path.name != "model" or content[:1] in (b"P", b"\x80")
                assert not may_run or "refused: it may run code" in words, words
            path.unlink()
        for path in one.files():
            if path.name == "lock":
                continue
            before = path.read_bytes()
            path.write_bytes(content)
            sign(path.parent) if path.name.startswith(("weights", "training")) else None
            attempt(count, f"{path.name} is {content[:4]!r}...", lambda: _read_every_step(one), None)
            path.write_bytes(before)
            sign(path.parent) if path.name.startswith(("weights", "training")) else None
        with count.attempt("the canary"):
            assert not dead.exists()
    with count.attempt("that it would run"):
        pickle.loads(contents[0])
        assert dead.is_dir()
    return count


def _read_every_step(one: Specimen) -> None:
    try:
        one.opened().read_metrics()
    except RunError as error:
        refusal(error)
    for step in STEPS:
        try:
            one.opened().load_training(step)
        except RunError as error:
            refusal(error)
    read_all(one)


def _zipped(folder: Path, content: bytes) -> bytes:
    """As torch.save writes a pickle."""
    with zipfile.ZipFile(folder / "zipped", "w") as archive:
        archive.writestr("model/data.pkl", content)
    return (folder / "zipped").read_bytes()


PARTS: dict[str, Part] = {
    "headers": headers,
    "records": run_records,
    "tensors": tensors,
    "pickles": pickles,
    **FILES,
    **SIZES,
}

if __name__ == "__main__":
    sys.exit(main("hostile", PARTS, __doc__))
