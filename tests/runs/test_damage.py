"""Cut, flipped, swapped and hostile files: noticed always, passed over where another checkpoint is left."""

import json
import os
import pickle
import shutil
import struct
import tracemalloc
from contextlib import suppress

import numpy as np
import pytest

from charlm.config import TokenizerConfig
from charlm.errors import CharlmError, RunError
from charlm.runs import arrays, find_run, list_runs, open_run, records
from charlm.tokenizers import train_tokenizer

STEP_FILES = ("weights.safetensors", "training.safetensors", "training.json", "manifest.json")
RUN_FILES = ("run.json", "tokenizer.json")


def damaged(content, kind, place):
    if kind == "cut":
        return content[:place]
    changed = bytearray(content)
    changed[place % len(content)] ^= 1 << (place // len(content) % 8)
    return bytes(changed)


def places(size, kind):
    """Cuts: near both ends and some between. Flips: a few hundred, spread evenly over all bits."""
    if kind == "cut":
        return sorted({0, 1, 7, 8, 9, size // 2, size - 2, size - 1})
    return range(0, size * 8, max(1, size * 8 // 300))


@pytest.mark.parametrize("kind", ["cut", "flip"])
@pytest.mark.parametrize("name", STEP_FILES)
def test_a_damaged_checkpoint_is_passed_over_and_named(new_run, assert_checkpoint, name, kind):
    run = new_run(steps=(100, 200))
    path = run.folder / "steps" / "step-00000200" / name
    whole = path.read_bytes()
    for place in places(len(whole), kind):
        path.write_bytes(damaged(whole, kind, place))
        loaded = run.load_training()
        assert_checkpoint(loaded, 100)
        assert len(loaded.notices) == 1
        assert loaded.notices[0].startswith(f"checkpoint of step 200 passed over: {name}")


@pytest.mark.parametrize("kind", ["cut", "flip"])
@pytest.mark.parametrize("name", RUN_FILES)
def test_a_damaged_file_of_the_run_is_an_error_that_names_it(new_run, name, kind):
    run = new_run(steps=(100,))
    path = run.folder / name
    whole = path.read_bytes()
    for place in places(len(whole), kind):
        path.write_bytes(damaged(whole, kind, place))
        with pytest.raises(RunError, match=name) as caught:
            _ = open_run(run.folder).tokenizer
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", ["cut", "flip"])
def test_damaged_pointers_are_noticed_and_not_needed(new_run, kind):
    run = new_run(steps=(100, 200), best=100)
    path = run.folder / "pointers.json"
    whole = path.read_bytes()
    for place in places(len(whole), kind):
        path.write_bytes(damaged(whole, kind, place))
        loaded = run.load()
        assert loaded.step == 100
        assert "pointers.json" in loaded.notices[0]


def test_what_was_announced_and_is_gone_is_missed(new_run):
    run = new_run(steps=(100, 200))
    shutil.rmtree(run.folder / "steps" / "step-00000200")
    assert run.load().notices == ()  # no best was announced
    assert run.load_training().notices == ("checkpoint of step 200 passed over: its folder is gone",)


def test_when_no_checkpoint_is_sound_the_error_names_file_and_cause(new_run):
    run = new_run(steps=(100, 200))
    for step in (100, 200):
        (run.folder / "steps" / f"step-{step:08d}" / "weights.safetensors").write_bytes(b"")
    with pytest.raises(RunError, match=r"no sound checkpoint: .*step 200 .*weights.safetensors.*; .*step 100"):
        run.load()
    with pytest.raises(RunError, match=r"checkpoint 100 of run poem: .*weights\.safetensors is damaged"):
        run.load(100)


def test_a_checkpoint_asked_for_by_step_has_no_substitute(new_run):
    run = new_run(steps=(100, 200))
    (run.folder / "steps" / "step-00000200" / "training.json").unlink()
    with pytest.raises(RunError, match=r"training\.json is missing"):
        run.load_training(200)
    assert run.load(200).step == 200  # generation does not need that file


def test_a_vocabulary_of_another_run_is_refused(new_run):
    run = new_run(steps=(100,))
    other = train_tokenizer(TokenizerConfig(), ["to ba or not to ba\n"])
    assert other.vocab_size == run.tokenizer.vocab_size
    other.save(run.folder)
    with pytest.raises(RunError, match="vocabulary does not match"):
        _ = open_run(run.folder).tokenizer


def test_a_checkpoint_of_another_run_is_refused(new_run, tmp_path, monkeypatch):
    run = new_run(steps=(100,))
    monkeypatch.setattr(run, "fingerprint", "of another tokenizer")
    with pytest.raises(RunError, match="vocabulary does not match"):
        run.load()


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


@pytest.mark.parametrize("name", [*STEP_FILES, "run.json", "tokenizer.json", "pointers.json", "metrics.jsonl", "lock"])
@pytest.mark.parametrize("kind", ["link", "pipe", "folder"])
def test_what_is_no_plain_file_is_not_read_or_written_through(new_run, tmp_path, content, name, kind):
    run = new_run(steps=(100, 200), best=200)
    run.append_metrics({"kind": "save", "step": 200})
    path = run.folder / name
    if name in STEP_FILES:
        path = run.folder / "steps" / "step-00000200" / name
    outside = tmp_path / "outside"
    outside.write_bytes(path.read_bytes())
    before = outside.read_bytes()
    path.unlink()
    {"link": lambda: path.symlink_to(outside), "pipe": lambda: os.mkfifo(path), "folder": path.mkdir}[kind]()
    for action in (
        lambda: open_run(run.folder).tokenizer,
        lambda: run.load_training(),
        lambda: run.save(300, **content(300), best=True, keep=1),
        lambda: run.append_metrics({"kind": "train"}),
        lambda: run.truncate_metrics(100),
        lambda: list_runs(run.folder.parent),
    ):
        with suppress(CharlmError):  # an error is fine, any other exception is not
            action()
    assert outside.read_bytes() == before


@pytest.mark.parametrize("planted", ["step-00000300.tmp", "step-00000300", "step-00000300.old", "step-00000100"])
def test_a_link_planted_among_the_steps_leads_nowhere(new_run, tmp_path, content, planted):
    run = new_run(steps=(200,))
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "manifest.json").write_text("mine")
    (run.folder / "steps" / planted).symlink_to(outside)
    try:
        run.save(300, **content(300), best=False, keep=1)
    except CharlmError:
        assert run.load().step == 200
    else:
        assert run.load_training().step == 300
    assert [path.name for path in outside.iterdir()] == ["manifest.json"]
    assert (outside / "manifest.json").read_text() == "mine"


def test_a_link_in_the_place_of_the_steps_leads_nowhere(new_run, tmp_path, content):
    run = new_run(steps=(200,))
    (run.folder / "steps").rename(tmp_path / "outside")
    (run.folder / "steps").symlink_to(tmp_path / "outside")
    with pytest.raises(CharlmError):
        run.save(300, **content(300), best=False, keep=1)
    with pytest.raises(RunError, match="steps cannot be read"):
        run.load()
    assert [path.name for path in (tmp_path / "outside").iterdir()] == ["step-00000200"]
