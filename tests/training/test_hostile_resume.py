"""A checkpoint whose hashes are right and whose content is not: refused by name, before a step is made with it."""

import hashlib
import shutil
import tracemalloc
from contextlib import suppress
from datetime import datetime

import numpy as np
import pytest

from charlm.config import Layer, resolve
from charlm.errors import ConfigError, RunError
from charlm.runs import arrays, find_run, records
from charlm.training import resume_training, start_training


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The folder of a run of a few steps."""
    place = tmp_path_factory.mktemp("hostile")
    (place / "tale.txt").write_text("to be, or not to be\n" * 60)
    values = {
        "corpus": (str(place / "tale.txt"),),
        "steps": 3,
        "hidden_size": 8,
        "layers": 1,
        "batch_size": 2,
        "window_length": 8,
        "threads": 1,
        "kernels": "torch",
        "dtype": "float32",
    }
    config = resolve([Layer(origin="flag", values=values)]).config
    training = start_training(config, run="tale", root=place / "runs", now=datetime(2026, 1, 1), samples=False)
    for _ in training.events():
        pass
    return place / "runs" / "tale"


@pytest.fixture
def step(trained, tmp_path):
    """The folder of the latest checkpoint of a copy of it."""
    shutil.copytree(trained, tmp_path / "tale")
    return max((tmp_path / "tale" / "steps").iterdir())


def resume(step, content=None, changed=None):
    """Resume with another training.json, or other arrays for training, and a manifest that vouches for them."""
    if content is not None:
        (step / "training.json").write_bytes(records.plain(content))
    if changed is not None:
        before = arrays.load((step / "training.safetensors").read_bytes(), "training")
        pieces = arrays.pieces(changed(before))
        (step / "training.safetensors").write_bytes(b"".join(bytes(piece) for piece in pieces))
    record = records.load((step / "manifest.json").read_bytes(), "manifest.json")
    for name, facts in record["files"].items():
        whole = (step / name).read_bytes()
        facts |= {"size": len(whole), "sha256": hashlib.sha256(whole).hexdigest()}
    (step / "manifest.json").write_bytes(records.dump(record))
    root = step.parents[2]
    resume_training({"steps": 6}, run="tale", root=root, samples=False).held.close()


HOSTILE = {
    "steps": [None, "3", 3.0, -1, 2**70, 4],
    "characters": ["9", True],
    "lanes": [None, [], {}, {"position": 1}],
    "lanes.position": ["x" * 1000, 1.5, -1],
    "lanes.predictions": [None, "9"],
    "standing": [None, 5, {}],
    "standing.best_nats": ["2.0", []],
    "standing.evaluations": ["1", None],
    "standing.seconds": [-1.0, "1", 10**400],
    "standing.first_step": [-1.0, "1", 1e9],
    "standing.more": [1],
    "watch": [None, {}],
    "watch.fast": ["1"],
    "training": [5, [1], {"x": 1}],
    "machine": [5, "cpu", {"x": 1}],
    "figures": [5, [[1, 2]], {"validation_nats": "2"}],
}


@pytest.mark.parametrize("place", HOSTILE)
def test_hostile_progress_is_refused_by_name(step, place):
    sound = records.parse((step / "training.json").read_bytes(), "training.json")
    first, _, second = place.partition(".")
    for value in HOSTILE[place]:
        content = {**sound, first: {**sound[first], second: value} if second else value}
        with pytest.raises(RunError, match=f"checkpoint: progress is .*({first}|step)") as caught:
            resume(step, content)
        assert len(str(caught.value)) < 200
    without = {name: value for name, value in sound.items() if name != first}
    if first in ("steps", "characters", "lanes", "standing", "watch"):
        with pytest.raises(RunError, match=f"progress is incomplete: it has no {first}"):
            resume(step, without)
    resume(step, sound)


@pytest.mark.parametrize(
    ("room", "changes", "named"),
    [
        ("model", {"hidden_size": 30_000}, "embedding"),
        ("model", {"layers": 64}, "layers.1"),
        ("model", {"attention_window": 10**6}, "attention"),
        ("model", {"ngram_embedding_size": 65536, "ngram_rows": 2**24}, "ngram_embedding"),
        ("training", {"batch_size": 10**6}, "state.layers.0"),
    ],
    ids=str,
)
def test_a_run_that_says_more_than_its_checkpoint_holds_takes_no_memory(step, room, changes, named):
    """8 units are saved. Of 30,000 one matrix would take 14 GB, so it is refused before anything is made of it."""
    path = step.parents[1] / "run.json"
    record = records.load(path.read_bytes(), "run.json")
    record["config"][room] |= changes
    path.write_bytes(records.dump(record))
    tracemalloc.start()
    try:
        with pytest.raises(RunError, match=named):
            resume(step)
        assert tracemalloc.get_traced_memory()[1] < 64 * 2**20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("settings", [5, [1], {"x": 1}, {"steps": -1}])
def test_hostile_settings_are_not_exported(step, settings):
    run = find_run("tale", step.parents[2]).run
    assert run.last_config() == (run.config, ())
    sound = records.parse((step / "training.json").read_bytes(), "training.json")
    with suppress(RunError, ConfigError):
        resume(step, {**sound, "training": settings})
    with pytest.raises(RunError, match=rf"run tale, {step.name} \[training\] is damaged"):
        run.last_config()


def test_settings_are_exported_without_a_sound_checkpoint(step):
    run = find_run("tale", step.parents[2]).run
    for one in step.parent.iterdir():
        (one / "training.json").write_bytes(b"")
    config, notices = run.last_config()
    assert config == run.config
    assert notices[0].endswith("these are the settings that the run began with")


def test_a_checkpoint_of_old_does_not_say_when_its_first_step_began(step):
    sound = records.parse((step / "training.json").read_bytes(), "training.json")
    del sound["standing"]["first_step"]
    resume(step, sound)


MOMENT = "optimizer.0.exp_avg"
ARRAYS = {
    "missing": (
        lambda kept: {name: array for name, array in kept.items() if name != MOMENT},
        "parameter 0 must be exp_avg",
    ),
    "extra": (lambda kept: kept | {"optimizer.0.more": kept[MOMENT]}, "parameter 0 must be exp_avg, exp_avg_sq, step"),
    "of no parameter": (lambda kept: kept | {"optimizer.99.exp_avg": kept[MOMENT]}, "belongs to no parameter"),
    "misshapen": (lambda kept: kept | {MOMENT: kept[MOMENT].T[:1]}, "has shape"),
    "whole": (lambda kept: kept | {MOMENT: np.ones(kept[MOMENT].shape, np.int32)}, "no finite number"),
    "nan": (lambda kept: kept | {MOMENT: kept[MOMENT] * np.float32("nan")}, "no finite number"),
    "no state": (lambda kept: {name: kept[name] for name in kept if "state" not in name}, "carried state: tensor"),
}


@pytest.mark.parametrize("case", ARRAYS)
def test_hostile_arrays_are_refused_by_name(step, case):
    changed, message = ARRAYS[case]
    with pytest.raises(RunError, match=message):
        resume(step, changed=changed)
