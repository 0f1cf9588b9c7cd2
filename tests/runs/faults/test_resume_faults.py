"""The k-th system call fails, or is the last, while a resumed training takes its run up: for every k.

Afterwards nothing that was saved is lost, what an interrupted save left is gone, and the record holds what was there
before or what was announced.
"""

import errno
import shutil

import pytest

from charlm.errors import CharlmError
from charlm.runs import open_run


@pytest.fixture
def interrupted(saving):
    """(path of a run whose last save was cut short, a function that puts it back as it was)."""
    place, prepare, _ = saving

    def prepare_interrupted():
        prepare()
        run = open_run(place)
        for step in (100, 200, 250):
            run.append_metrics({"kind": "train" if step == 250 else "save", "step": step})
        steps = place / "steps"
        shutil.copytree(steps / "step-00000200", steps / "step-00000300.tmp")
        (steps / "step-00000300.tmp" / "manifest.json").unlink()
        shutil.copytree(steps / "step-00000100", steps / "step-00000100.old")
        (place / "pointers.json.tmp").write_text("{")

    return place, prepare_interrupted


def test_a_run_taken_up_with_a_failing_call(interrupted, every_call, killed, assert_checkpoint):
    place, prepare = interrupted
    said = []

    def take_up():
        said.clear()
        run = open_run(place)
        with run.lock():
            loaded = run.load_training()
            said.append(loaded)
            if loaded.step == 200:
                run.truncate_metrics(200)
                said.append("cut")
                run.append_metrics({"kind": "train", "step": 201})
                said.append("recorded")
                run.change_facts({"corpus": {"sha256": "another"}})
        return run

    cases = 0
    for error in (errno.EIO, None):
        for _, result, problem in every_call(prepare, take_up, error):
            cases += 1
            assert problem is None or isinstance(problem, CharlmError | killed)
            if said and said[0].step != 200:
                assert "checkpoint of step 200 passed over" in " ".join(said[0].notices)
            run = open_run(place)
            recorded = [record["step"] for record in run.metrics()]
            allowed = [[100, 200, 250], [100, 200], [100, 200, 201]]
            assert recorded in allowed[{"cut": 1, "recorded": 2}.get(said[-1], 0) if len(said) > 1 else 0 :]
            if result is not None and said[-1] == "recorded":
                assert run.facts["corpus"] == {"sha256": "another"}
            with run.lock():
                assert_checkpoint(run.load_training(), 200)
            names = [path.name for path in place.rglob("*")]
            assert [name for name in names if ".tmp" in name or ".old" in name] == []
    assert cases > 300
