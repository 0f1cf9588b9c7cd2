"""Links, pipes and folders planted in a run lead nowhere: what is outside of it stays as it was."""

import os
from contextlib import suppress

import pytest

from charlm.errors import CharlmError, RunError
from charlm.runs import list_runs, open_run
from charlm.runs.manifest import STEP_FILES


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
    if name in STEP_FILES:
        with pytest.raises(RunError, match=name):
            run.load_training(200)
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
