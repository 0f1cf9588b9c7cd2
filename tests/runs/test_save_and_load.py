"""What is saved comes back bit for bit; which checkpoint is meant; which ones go."""

import errno
import os
import stat
from contextlib import nullcontext

import numpy as np
import pytest
import safetensors.numpy

from charlm.config import Config, ModelConfig
from charlm.errors import OutputError, RunError
from charlm.runs import create_run, files, open_run, opening
from charlm.runs.arrays import DTYPES
from charlm.streams import replacement


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_what_is_saved_comes_back_bit_for_bit(new_run, assert_checkpoint):
    run = new_run(steps=(100, 200))
    assert_checkpoint(open_run(run.folder).load_training(), 200)
    assert_checkpoint(open_run(run.folder).load_training(100), 100)


def test_settings_facts_and_vocabulary_come_back(tmp_path, tokenizer):
    config = Config(model=ModelConfig(cell="gru", hidden_size=33, tie_weights=True))
    facts = {"corpus": {"sha256": "ab", "parts": {"train": [0, 9]}}, "charlm": "0.1.0", "share": 0.1}
    create_run(tmp_path / "a", config=config, facts=facts, tokenizer=tokenizer)
    run = open_run(tmp_path / "a")
    assert run.config == config
    assert run.facts == facts
    assert run.tokenizer.fingerprint == tokenizer.fingerprint


@pytest.mark.parametrize("dtype", sorted(DTYPES.values()))
@pytest.mark.parametrize("shape", [(), (1,), (0,), (3, 4), (2, 0, 3), (2, 1, 3, 2)])
def test_every_dtype_and_shape_is_kept(new_run, dtype, shape):
    array = (np.random.default_rng(0).standard_normal(shape) * 50).astype(dtype)
    run = new_run()
    run.save(1, weights={}, training={"a": array, "b": np.ones(3, np.uint8)}, progress={}, best=False, keep=1)
    found = run.load_training().training["a"]
    assert (found.dtype, found.shape, found.tobytes()) == (array.dtype, array.shape, array.tobytes())
    assert found.flags.writeable


@pytest.mark.parametrize(
    "view",
    [lambda a: a.T, lambda a: a[::2], lambda a: a[:, 1:3], lambda a: a.reshape(-1)[::2], lambda a: a.astype(">f4")],
)
def test_an_array_is_saved_as_it_reads_however_it_lies_in_memory(new_run, view):
    array = view(np.arange(24, dtype=np.float32).reshape(4, 6))
    run = new_run()
    run.save(1, weights={"a": array}, training={}, progress={}, best=False, keep=1)
    assert np.array_equal(run.load().weights["a"], array)


def test_the_files_are_what_the_safetensors_library_reads(new_run, content):
    run = new_run()
    folder = run.save(5, **content(5), best=False, keep=1)
    found = safetensors.numpy.load_file(folder / "training.safetensors")
    for name, array in content(5)["training"].items():
        assert np.array_equal(found[name], array), name


@pytest.mark.parametrize(
    ("progress", "place"),
    [
        ({"a": {1: 2}}, "a: the key 1"),
        ({"a": [0.0, float("nan")]}, r"a\[1\] is nan"),
        ({"a": np.float32(1)}, "a is of type float32"),
        ({"a": "x" * 3_000_000}, "larger than"),
    ],
)
def test_progress_that_would_not_come_back_is_refused_at_once(new_run, progress, place):
    run = new_run()
    with pytest.raises(ValueError, match=place):
        run.save(1, weights={}, training={}, progress=progress, best=False, keep=1)


@pytest.mark.parametrize("part", ["weights", "training"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_no_checkpoint_holds_what_is_not_finite(new_run, content, part, value):
    run = new_run(steps=(100,))
    changed = content(200)
    changed[part]["bad"] = np.array([1, value], dtype=np.float32)
    with pytest.raises(OutputError, match="not saved: 'bad' is not finite, last good step 100"):
        run.save(200, **changed, best=True, keep=1)
    assert run.load_training().step == 100


def test_which_checkpoint_is_meant(new_run):
    run = new_run(steps=(100, 200, 300), best=200)
    assert [run.load(which).step for which in (None, "best", "latest", 100)] == [200, 200, 300, 100]
    assert run.load_training().step == 300
    with pytest.raises(RunError, match="no checkpoint of step 150: it has 300, 200, 100"):
        run.load(150)


def test_without_a_best_the_latest_is_loaded(new_run):
    run = new_run(steps=(100, 200))
    assert run.load().step == 200
    with pytest.raises(RunError, match="no checkpoint marked best: try poem@latest"):
        run.load("best")


def test_a_run_without_checkpoints_says_so(new_run):
    with pytest.raises(RunError, match="run poem has no checkpoint yet"):
        new_run().load()


@pytest.mark.parametrize(
    ("steps", "best", "keep", "left"),
    [
        ((1, 2, 3, 4), None, 2, {3, 4}),
        ((1, 2, 3, 4), 2, 2, {2, 3, 4}),
        ((1, 2, 3, 4), 4, 1, {4}),
        ((5, 6, 2, 3), 6, 2, {2, 3, 6}),  # after going back to an earlier step the last saves count, not the largest
    ],
)
def test_the_newest_and_the_best_are_kept(new_run, steps, best, keep, left):
    run = new_run(steps=steps, best=best, keep=keep)
    assert {one.step for one in run.checkpoints()} == left
    assert names(run.folder / "steps") == [f"step-{step:08d}" for step in sorted(left)]
    assert run.load("latest").step == steps[-1]


def test_only_what_charlm_made_is_pruned(new_run, content):
    run = new_run(steps=(1, 2))
    steps = run.folder / "steps"
    (steps / "step-00000001" / "notes.txt").write_text("mine")
    (steps / "my-folder").mkdir()
    (steps / "step-00000009.txt").write_text("mine")
    run.save(3, **content(3), best=False, keep=1)
    run.save(4, **content(4), best=False, keep=1)
    assert names(steps) == ["my-folder", "step-00000001", "step-00000004", "step-00000009.txt"]
    assert len(names(steps / "step-00000001")) == 5


@pytest.mark.parametrize("name", ["step-00000002.old", "step-00000003.tmp", "step-00000003.old"])
def test_a_leftover_that_holds_a_strangers_file_stays(new_run, content, name):
    run = new_run(steps=(1, 2))
    left = run.folder / "steps" / name
    left.mkdir()
    (left / "notes.txt").write_text("mine")
    (left / "manifest.json").write_text("{}")
    with run.lock():
        run.save(3, **content(3), best=False, keep=1)
    run.save(3, **content(3), best=False, keep=1)
    assert names(left) == ["manifest.json", "notes.txt"]
    assert run.load_training().step == 3


def test_a_step_saved_again_replaces_the_first(new_run, content, assert_checkpoint):
    run = new_run(steps=(100, 200))
    folder = run.save(200, **{**content(300), "progress": content(200)["progress"]}, best=False, keep=9)
    loaded = run.load_training()
    assert np.array_equal(loaded.weights["embedding"], content(300)["weights"]["embedding"])
    assert loaded.folder == folder
    assert names(run.folder / "steps") == ["step-00000100", "step-00000200"]


def test_the_best_saved_again_at_the_end_stays_the_best(new_run, content):
    run = new_run(steps=(100, 200), best=200)
    run.save(200, **content(200), best=False, keep=1)
    assert run.load("best").step == 200
    run.save(200, **content(300), best=False, keep=1)
    with pytest.raises(RunError, match="marked best"):
        run.load("best")


@pytest.mark.parametrize("mask", [0o022, 0o077, 0o002])
def test_files_and_folders_follow_the_umask(new_run, mask):
    before = os.umask(mask)
    try:
        run = new_run(steps=(1,))
        run.append_metrics({"kind": "save", "step": 1})
    finally:
        os.umask(before)
    for path in [run.folder, *run.folder.rglob("*")]:
        wanted = (0o777 if path.is_dir() else 0o666) & ~mask
        assert stat.S_IMODE(path.stat().st_mode) == wanted, path


def test_a_folder_that_is_there_is_not_taken(tmp_path, new_run):
    new_run(steps=(1,))
    with pytest.raises(RunError, match="is there already"):
        new_run()
    (tmp_path / "runs" / "file").write_text("")
    with pytest.raises(RunError, match="is there already"):
        new_run("file")
    (tmp_path / "runs" / "link").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(RunError, match="is there already"):
        new_run("link")
    assert not (tmp_path / "elsewhere").exists()
    (tmp_path / "runs" / "empty").mkdir()
    assert new_run("empty", steps=(1,)).load().step == 1


def test_a_missing_run_folder_is_an_error_before_training(new_run):
    run = new_run()
    run.folder.rename(run.folder.with_name("elsewhere"))
    with pytest.raises(OutputError, match="cannot be written: it is not there"), run.lock():
        pass


def test_a_volume_without_a_full_flush_is_flushed_as_far_as_it_goes(tmp_path, monkeypatch):
    """As on macOS, whose F_FULLFSYNC some file systems do not know."""
    asked, sync, failing = [], os.fsync, []
    monkeypatch.setattr(files.fcntl, "F_FULLFSYNC", 51, raising=False)
    monkeypatch.setattr(os, "fsync", lambda descriptor: (asked.append("fsync"), sync(descriptor)))

    def full(descriptor, request):
        asked.append(request)
        if failing:
            raise OSError(failing[0], os.strerror(failing[0]))

    monkeypatch.setattr(files.fcntl, "fcntl", full)
    with (tmp_path / "file").open("w") as file:
        files.flush(file.fileno())
        assert asked == [51]
        failing.append(errno.ENOTSUP)
        files.flush(file.fileno())
        assert asked == [51, 51, "fsync"]
        failing[0] = errno.EIO  # the disk itself: what fsync says then is worth nothing
        with pytest.raises(OSError, match="error"):
            files.flush(file.fileno())


@pytest.mark.parametrize(("error", "passes"), [(errno.EINVAL, True), (errno.ENOTSUP, True), (errno.EIO, False)])
def test_a_folder_that_cannot_be_waited_for_is_no_failure(tmp_path, monkeypatch, error, passes):
    def failing(descriptor):
        raise OSError(error, os.strerror(error))

    monkeypatch.setattr(os, "fsync", failing)
    with files.Folder.open(tmp_path) as folder, nullcontext() if passes else pytest.raises(OSError, match="error"):
        folder.sync()
    with nullcontext() if passes else pytest.raises(OSError, match="error"):
        replacement._sync_folder(tmp_path)


def test_a_run_that_cannot_be_made_leaves_nothing(tmp_path):
    class Broken:
        fingerprint = "x"

        def to_files(self):
            raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        create_run(tmp_path / "a", config=Config(), facts={}, tokenizer=Broken())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("number", [errno.ENOTEMPTY, errno.EEXIST])
def test_a_name_that_another_process_took_meanwhile_is_taken(tmp_path, tokenizer, monkeypatch, number):
    """XFS says that it exists where ext4 says that it is not empty; whoever asks takes the next name."""

    def taken(*arguments):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(opening, "_create", taken)
    with pytest.raises(RunError, match="is there already: choose another name, or resume it"):
        create_run(tmp_path / "a", config=Config(), facts={}, tokenizer=tokenizer)
