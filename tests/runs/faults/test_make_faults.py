"""A run folder is made or removed whole, whichever system call fails or is the last."""

import errno
import shutil

import pytest

from charlm.config import Config
from charlm.runs import create_run, list_runs, open_run, remove_run


@pytest.mark.parametrize("error", [None, errno.ENOSPC, errno.EIO])
def test_making_a_run_with_a_failing_call(tmp_path, every_call, tokenizer, error):

    root = tmp_path / "runs"
    made = 0

    def make():
        return create_run(root / "a", config=Config(), facts={}, tokenizer=tokenizer)

    for _, result, _ in every_call(lambda: shutil.rmtree(root, ignore_errors=True), make, error):
        summaries = list_runs(root)
        assert [one.problem for one in summaries] in ([], [None])
        assert result is None or summaries
        made += len(summaries)
        create_run(root / "b", config=Config(), facts={}, tokenizer=tokenizer)
        assert {path.name for path in root.iterdir()} <= {"a", "b"}
    assert made


def test_a_first_run_outlives_a_power_cut_with_the_folders_that_were_made_for_it(tmp_path, on, machine, tokenizer):
    root = tmp_path / "new" / "runs"
    disk = machine()
    _, problem = on(disk, lambda: create_run(root / "a", config=Config(), facts={}, tokenizer=tokenizer))
    assert problem is None
    disk.cut_power()
    assert open_run(root / "a").name == "a"


def test_removing_a_run_killed_at_every_call(tmp_path, every_call, new_run, tokenizer, saving):
    place, prepare, _ = saving
    for _, result, _ in every_call(prepare, lambda: remove_run(place)):
        assert result is None
        if place.exists():
            assert open_run(place).load_training().step == 200
        else:
            new_run("next")
            assert {path.name for path in place.parent.iterdir()} == {"master", "next"}
            shutil.rmtree(place.parent / "next")
