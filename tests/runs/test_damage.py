"""Cut, flipped, swapped and missing files: noticed always, passed over where another checkpoint is left."""

import shutil

import pytest

from charlm.config import TokenizerConfig
from charlm.errors import RunError
from charlm.runs import loading, manifest, open_run
from charlm.runs.listing import summarise
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
        assert loaded.notices[0].endswith("; step 100 is used instead")


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
    assert run.load_training().notices == (
        "checkpoint of step 200 passed over: its folder is gone; step 100 is used instead",
    )


@pytest.mark.parametrize("moment", ["after the pointers", "after the names", "within a folder"])
def test_what_a_writer_prunes_under_a_readers_eyes_is_not_missed(new_run, content, monkeypatch, moment):
    """Between any two looks of the reader the writer saves the next step and removes the last one."""
    run, steps = new_run(steps=(100,)), [200]

    def save():
        if steps:
            run.save(steps.pop(), **content(200), best=False, keep=1)

    look, examine, read = loading.find_checkpoints, manifest._examine, manifest.read_manifest
    if moment == "after the pointers":
        monkeypatch.setattr(loading, "find_checkpoints", lambda folder: [save(), look(folder)][1])
    elif moment == "after the names":
        monkeypatch.setattr(manifest, "_examine", lambda *given: [save(), examine(*given)][1])
    else:
        monkeypatch.setattr(manifest, "read_manifest", lambda *given: [save(), read(*given)][1])
    assert summarise(run.folder).problem is None
    steps[:] = [300]
    loaded = run.load_training()
    assert (loaded.step, loaded.notices) == (300, ())


@pytest.mark.parametrize("which", [200, "latest"])
def test_a_step_that_is_put_in_the_place_of_itself_is_looked_for_again(new_run, monkeypatch, which):
    """Between two renames of a writer there is no folder of that name."""
    run, look, looks = new_run(steps=(100, 200)), loading.find_checkpoints, []

    def between(folder):
        looks.append(folder)
        return [one for one in look(folder) if one.step == 100 or len(looks) > 1]

    monkeypatch.setattr(loading, "find_checkpoints", between)
    loaded = run.load_training(which)
    assert (loaded.step, loaded.notices, len(looks)) == (200, (), 2)


@pytest.mark.parametrize("pointed", [True, False])
def test_every_later_checkpoint_that_is_passed_over_is_named(new_run, assert_checkpoint, pointed):
    run = new_run(steps=(100, 200, 300))
    steps = run.folder / "steps"
    (steps / "step-00000300" / "manifest.json").write_bytes(b"")
    (steps / "step-00000200" / ("weights.safetensors" if pointed else "manifest.json")).write_bytes(b"")
    if not pointed:
        (run.folder / "pointers.json").unlink()
    loaded = run.load_training()
    assert_checkpoint(loaded, 100)
    named = [step for step in (200, 300) for line in loaded.notices if f"step {step} passed over" in line]
    assert named == [200, 300]
    assert loaded.notices[-1].endswith("; step 100 is used instead")


def test_one_that_is_older_than_what_was_announced_is_not_missed(new_run):
    run = new_run(steps=(100, 200, 300))
    (run.folder / "steps" / "step-00000200" / "manifest.json").write_bytes(b"")
    assert run.load_training().notices == ()


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
