"""Settings, headers and pickles made to harm: refused by name, before anything is allocated or run."""

import json
import os
import pickle
import struct
import tracemalloc

import numpy as np
import pytest

from charlm.errors import RunError
from charlm.runs import arrays, find_run, open_run, records, summarise
from charlm.runs.lock import owner_of

HOSTILE_SETTINGS = [
    ("model", "hidden_size", 10**9, "hidden_size must be"),
    ("model", "layers", -1, "layers must be"),
    ("model", "layers", True, "layers must be"),
    ("model", "layers", 2.5, "layers must be"),
    ("model", "cell", ["lstm"], "cell must be"),
    ("model", "hiden_size", 1, "no setting 'hiden_size'.*did you mean hidden_size"),
    ("model", "layers", {"a": 1}, "layers must be"),
    ("training", "batch_size", 10**400, "batch_size must be"),
    ("training", "steps", None, None),
]


@pytest.mark.parametrize(("section", "name", "value", "message"), HOSTILE_SETTINGS)
def test_hostile_settings_are_refused_by_name(new_run, section, name, value, message):
    run = new_run()
    record = json.loads((run.folder / "run.json").read_bytes())
    record["config"][section][name] = value
    (run.folder / "run.json").write_text(json.dumps(record))
    with pytest.raises(RunError, match=message or "changed after it was written") as caught:
        open_run(run.folder)
    assert len(str(caught.value)) < 400
    del record["checksum"]  # and with a checksum that fits
    (run.folder / "run.json").write_bytes(records.dump(record))
    if message:
        with pytest.raises(RunError, match=message):
            open_run(run.folder)
    else:
        open_run(run.folder)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "run.json is damaged"),
        ("[1]", "not a table"),
        ('{"format": 1, "format": 1}', "a key stands in it twice"),
        ('{"format": 1, "x": NaN}', "NaN is no number"),
        ('{"format": 1, "x": 1e400}', "out of range"),
        ('{"format": 2}', "format 2, this charlm reads up to 1: update charlm"),
        ('{"format": "1"}', "format must be 1"),
        ("[" * 100_000, "nested too deeply"),
        ('{"a":' * 100_000, "nested too deeply"),
        ('"' + "x" * 50_000_000 + '"', "at most 2,097,152 are expected"),
        ("9" * 10_000, "run.json is damaged"),
        ("\ud800\udfff", "run.json is damaged"),
    ],
)
def test_hostile_json_is_refused(new_run, text, message):
    run = new_run()
    (run.folder / "run.json").write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.raises(RunError, match=message):
        open_run(run.folder)


HOSTILE_FACTS = [
    {"corpus": 5},
    {"corpus": {"characters": "many"}},
    {"corpus": {"characters": 2**70}},
    {"corpus": {"parts": {"train": 5}}},
    {"corpus": {"parts": {"train": [5]}}},
    {"corpus": {"parts": {"train": [5, 1]}}},
    {"corpus": {"parts": {"rest": [0, 1]}}},
    {"corpus": {"sha256": None}},
    [],
    5,
]


def rewritten(path, **fields):
    """A record with other fields, and a checksum that is right."""
    path.write_bytes(records.dump(records.load(path.read_bytes(), path.name) | fields))


HOSTILE_FILES = [{"tokenizer.json": {"size": size, "sha256": "0" * 64}} for size in ("x", [1], None, -1, 1.5, 10**400)]


@pytest.mark.parametrize(
    ("name", "value"),
    [*(("facts", facts) for facts in HOSTILE_FACTS), *(("files", files) for files in HOSTILE_FILES)],
)
def test_hostile_facts_and_sizes_are_refused(new_run, name, value):
    run = new_run()
    rewritten(run.folder / "run.json", **{name: value})
    with pytest.raises(RunError, match=r"run\.json is damaged: not the fields of a run"):
        open_run(run.folder)


@pytest.mark.parametrize("version", ["1", None, 0, True, 10**4000])
def test_a_format_that_is_none_is_refused_in_few_words(new_run, version):
    run = new_run()
    rewritten(run.folder / "run.json", format=version)
    with pytest.raises(RunError, match=r"run\.json is damaged: format must be 1, was .{1,40}$"):
        open_run(run.folder)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("figures", {"validation_nats": 10**400}, "not the fields of a checkpoint"),
        ("figures", {f"figure {n}": 1.5 for n in range(5000)}, "at most 65,536 are expected"),
        ("parameters", 2**63, "not the fields of a checkpoint"),
        ("save", 10**400, "not the fields of a checkpoint"),
    ],
)
def test_hostile_numbers_of_a_manifest_are_refused(new_run, name, value, message):
    run = new_run(steps=(100, 200))
    path = run.folder / "steps" / "step-00000200" / "manifest.json"
    rewritten(path, **{name: value})
    assert summarise(run.folder).steps == (100,)
    (notice,) = run.load_training().notices
    assert message in notice


def test_figures_that_would_not_be_read_back_are_not_saved(new_run, content):
    run = new_run(steps=(100,))
    with pytest.raises(ValueError, match="larger than the 65,536"):
        run.save(200, **content(200), best=False, keep=1, figures={f"figure {n}": 1.5 for n in range(5000)})
    assert [one.step for one in run.checkpoints()] == [100]


@pytest.mark.parametrize(("name", "value"), [("save", 10**400), ("latest", "100"), ("best", [1]), ("latest", -1)])
def test_hostile_pointers_are_noted_and_not_followed(new_run, content, name, value):
    run = new_run(steps=(100,))
    path = run.folder / "pointers.json"
    rewritten(path, **{name: value})
    assert run.load("latest").notices == ("pointers.json is damaged: not the numbers of checkpoints (ignored)",)
    run.save(200, **content(200), best=False, keep=9)
    assert run.load("latest").step == 200


def test_the_owner_in_a_hostile_lock_is_another_process(new_run):
    run = new_run()
    with run.lock():
        for text in (b"[" * 1000, b'{"pid": 1, "host": "\\u001b[2J", "since": ""}', b"{}", b"\xff"):
            (run.folder / "lock").write_bytes(text)
            assert owner_of(run.folder) == "another process"


def entry(dtype="F32", shape=(2,), offsets=(0, 8)):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets)}


HOSTILE_HEADERS = {
    "dtype": ({"a": entry(dtype="F8_E4M3")}, "'a' has dtype"),
    "dtype no text": ({"a": entry() | {"dtype": [1]}}, "'a' has dtype"),
    "shape too large": ({"a": entry(shape=(2**62, 2**62))}, "must be up to 8 whole numbers|needs"),
    "shape negative": ({"a": entry(shape=(-2, -1))}, "shape of 'a'"),
    "shape bool": ({"a": entry(shape=(True, 2))}, "shape of 'a'"),
    "shape float": ({"a": entry(shape=(2.0,))}, "shape of 'a'"),
    "rank": ({"a": entry(shape=[1] * 1000 + [2])}, "shape of 'a'"),
    "offsets reversed": ({"a": entry(offsets=(8, 0))}, "needs 8 bytes"),
    "offsets too large": ({"a": entry(offsets=(2**61, 2**61 + 8))}, "begins at"),
    "three offsets": ({"a": entry(offsets=(0, 4, 8))}, "data_offsets"),
    "overlap": ({"a": entry(), "b": entry(offsets=(4, 12))}, "'b' begins at 4"),
    "same data twice": ({"a": entry(), "b": entry()}, "'b' begins at 0"),
    "hole": ({"a": entry(shape=(1,), offsets=(4, 8))}, "'a' begins at 4"),
    "data left over": ({"a": entry(shape=(1,), offsets=(0, 4))}, "4 bytes of data expected, 8 there"),
    "data missing": ({"a": entry(shape=(4,), offsets=(0, 16))}, "16 bytes of data expected, 8 there"),
    "name with escapes": ({"\x1b[31m": entry()}, "cannot be the name"),
    "name too long": ({"a" * 10_000: entry()}, "cannot be the name"),
    "no name": ({"": entry()}, "cannot be the name"),
    "metadata": ({"__metadata__": {"a": "b"}, "a": entry()}, "cannot be the name"),
    "more fields": ({"a": entry() | {"code": "x"}}, "must have dtype, shape and data_offsets"),
    "no table": ({"a": 1}, "must have dtype, shape and data_offsets"),
}


@pytest.mark.parametrize("case", HOSTILE_HEADERS)
def test_hostile_headers_are_refused(case):
    header, message = HOSTILE_HEADERS[case]
    text = json.dumps(header).encode()
    with pytest.raises(RunError, match=message) as caught:
        arrays.load(struct.pack("<Q", len(text)) + text + bytes(8), "w")
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "cut off"),
        (bytes(7), "cut off"),
        (struct.pack("<Q", 2**63) + b"{}", "its header says"),
        (struct.pack("<Q", 3) + b"{}", "its header says"),
        (struct.pack("<Q", 9) + b'{"a":1,"a', "damaged"),
        (struct.pack("<Q", 8) + b"[[[[[[[[", "damaged"),
        (struct.pack("<Q", 200_000) + b"[" * 200_000, "nested too deeply"),
        (struct.pack("<Q", 21) + b'{"a":{"a":1},"a":{}} ', "twice"),
        (struct.pack("<Q", 2 << 20) + b" " * (2 << 20), "its header says"),
    ],
)
def test_hostile_files_are_refused(content, message):
    with pytest.raises(RunError, match=message):
        arrays.load(content, "w")


def test_loading_allocates_no_more_than_twice_the_file(new_run):
    run = new_run()
    weights = {f"w{n}": np.ones((256, 1024), np.float32) for n in range(8)}
    run.save(1, weights=weights, training={}, progress={}, best=False, keep=1)
    size = 8 * 256 * 1024 * 4
    tracemalloc.start()
    try:
        run.load()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 2 * size + (1 << 20)


def test_hostile_json_takes_little_memory():
    content = b"[" + b"[]," * (records.LARGEST // 3 - 2) + b"[]]"
    tracemalloc.start()
    try:
        with pytest.raises(RunError, match="not a table"):
            records.parse(content, "x")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 64 << 20


class Canary:
    """Unpickling it makes a folder."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return (os.mkdir, (self.path,))


@pytest.mark.parametrize("name", ["model.pt", "model.pth", "pytorch_model.bin", "model"])
def test_a_pickle_is_refused_and_does_not_run(tmp_path, name):
    (tmp_path / name).write_bytes(pickle.dumps(Canary(tmp_path / "dead")))
    for given in (name, str(tmp_path / name)):
        with pytest.raises(RunError, match="refused: it may run code"):
            find_run(given, tmp_path)
    assert not (tmp_path / "dead").exists()


def test_a_pickle_in_the_place_of_weights_is_refused_and_does_not_run(new_run, tmp_path):
    run = new_run(steps=(1,))
    hostile = pickle.dumps(Canary(tmp_path / "dead"))
    (run.folder / "steps" / "step-00000001" / "weights.safetensors").write_bytes(hostile)
    with pytest.raises(RunError, match=r"weights\.safetensors is damaged"):
        run.load()
    with pytest.raises(RunError, match="damaged"):
        arrays.load(hostile, "w")
    assert not (tmp_path / "dead").exists()
