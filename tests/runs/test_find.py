"""Names, paths and what is meant by them; the list of runs; removal."""

import errno
import os
import shutil
from datetime import datetime
from pathlib import Path

import pytest

from charlm.config import Config, CorpusConfig, ModelConfig
from charlm.errors import CharlmError, ConfigError, RunError
from charlm.runs import (
    checkpoints_folder,
    find_folder,
    find_run,
    list_runs,
    new_run_name,
    open_run,
    remove_run,
    run_argument,
)


@pytest.fixture
def root(tmp_path):
    return tmp_path / "runs"


def found(name, root):
    at = find_run(name, root)
    return at.run.folder.name, at.which


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a", ("a", None)),
        ("a@best", ("a", "best")),
        ("a@latest", ("a", "latest")),
        ("a@100", ("a", 100)),
        ("a@00000100", ("a", 100)),
        ("b@7", ("b@7", None)),  # a run's own name comes first
        ("b@7@7", ("b@7", 7)),
        ("[x] é", ("[x] é", None)),
        (None, ("a", None)),
    ],
)
def test_which_run_is_meant(new_run, root, name, expected):
    for run in ("b@7", "[x] é"):
        new_run(run, steps=(7,))
    new_run("a", steps=(100, 200))
    new_run("no checkpoint yet")
    assert found(name, root) == expected


def test_a_path_is_a_name_too(new_run, root, tmp_path, monkeypatch):
    run = new_run("a", steps=(100, 200))
    step = run.folder / "steps" / "step-00000100"
    monkeypatch.chdir(root.parent)
    for name in (str(run.folder), f"{run.folder}/", "runs/a", "./runs/a"):
        assert found(name, tmp_path / "other") == ("a", None)
    assert found("runs/a@200", tmp_path / "other") == ("a", 200)
    assert found(str(step), tmp_path / "other") == ("a", 100)
    monkeypatch.chdir(run.folder)
    assert found(".", tmp_path / "other") == ("a", None)
    (tmp_path / "link").symlink_to(run.folder)
    assert find_run(str(tmp_path / "link"), root).load().step == 200


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("shakespear", r"no run 'shakespear' in .*\(did you mean shakespeare\?\); charlm runs list shows them"),
        ("", "no run ''"),
        ("a\0b", "no run 'a.x00b'"),
        ("x" * 300, "no run 'xxx"),
        ("x\ny", r"no run 'x\\ny'"),
        ("\udcff", r"no run '\\udcff'"),
        ("../../nothing", "no run '../../nothing'"),
        ("shakespeare@", "after @ comes a step, best or latest, was ''"),
        ("shakespeare@beast", "was 'beast'"),
        ("shakespeare@-1", "was '-1'"),
        ("shakespeare@²", "was '²'"),
        ("shakespeare@" + "9" * 400, "was '999"),
        ("README.md", "is a file: name the run folder that it is in"),
        ("empty", r"empty is no run folder: it has no run\.json"),
    ],
)
def test_what_is_no_run_is_an_error_of_one_line(new_run, root, name, message):
    new_run("shakespeare", steps=(100,))
    (root / "README.md").write_text("hello")
    (root / "empty").mkdir()
    with pytest.raises(RunError, match=message) as caught:
        find_run(name, root)
    assert str(caught.value).isprintable()


def test_a_sweep_is_no_run_and_says_how_it_is_removed(new_run, root):
    new_run("shakespeare", steps=(100,))
    (root / "my sweep").mkdir()
    (root / "my sweep" / "sweep.json").write_text("{}")
    for find in (find_run, find_folder):
        with pytest.raises(
            RunError, match=r"my sweep is a sweep, not a run: name one of the runs in it; rm -r '.*/my sweep'"
        ):
            find("my sweep", root)
    with pytest.raises(RunError, match="is a sweep, not a run"):
        remove_run(root / "my sweep")


@pytest.mark.parametrize("name", [None, "a"])
def test_no_runs_yet(tmp_path, name):
    for root in (tmp_path, tmp_path / "not there"):
        with pytest.raises(RunError, match=r"no runs yet in .*; charlm train makes one"):
            find_run(name, root)


def test_the_latest_run_is_the_one_saved_last(new_run, root, content):
    first, _ = new_run("z", steps=(5,)), new_run("b", steps=(1,))
    new_run("c")
    assert found(None, root)[0] == "b"
    first.save(6, **content(6), best=False, keep=1)
    assert found(None, root)[0] == "z"
    (first.folder / "run.json").write_text("{}")
    assert found(None, root)[0] == "b"


def test_equal_times_give_the_same_run_always(new_run, root, clock):
    for name in ("b", "c", "a"):
        run = new_run(name)
        clock.now = 1.0
        run.save(1, weights={}, training={}, progress={}, best=False, keep=1)
    assert found(None, root)[0] == "c"


def test_checkpoints_are_in_the_order_of_their_saves_when_the_clock_goes_back(new_run, root, clock, content):
    run = new_run("b")
    for step in (1, 2, 3, 4):
        run.save(step, **content(step), best=step == 2, keep=2)
        clock.now -= 86_400
    assert run.load("latest").step == 4
    assert [one.step for one in run.checkpoints()] == [4, 3, 2]
    assert list_runs(root)[0].step == 4


def test_a_summary_tells_a_run_without_reading_its_weights(new_run, root, content):
    config = Config(corpus=CorpusConfig(corpus=("c", "latex")), model=ModelConfig(cell="gru", layers=3, hidden_size=48))
    run = new_run("a", config=config)
    figures = {"characters": 1000, "validation_nats": 1.5, "bits_per_character": 2.25}
    run.save(100, **content(100), best=True, keep=2, figures=figures)
    run.save(200, **content(200), best=False, keep=2, figures={"characters": 2000, "validation_nats": 1.75})
    for path in run.folder.rglob("*.safetensors"):
        path.write_bytes(b"")
    (summary,) = list_runs(root)
    assert (summary.name, summary.corpus, summary.tokenizer) == ("a", ("c", "latex"), "char")
    assert (summary.cell, summary.layers, summary.hidden_size, summary.parameters) == ("gru", 3, 48, 7 * 5 + 12 * 3)
    assert (summary.step, summary.best_step, summary.steps, summary.characters) == (200, 100, (200, 100), 2000)
    assert (summary.validation_nats, summary.bits_per_character) == (1.5, 2.25)
    assert summary.saved_at == run.checkpoints()[0].manifest.saved_at
    assert summary.size == sum(path.stat().st_size for path in run.folder.rglob("*") if path.is_file())
    assert (summary.owner, summary.problem) == (None, None)


def test_damaged_runs_are_listed_with_what_is_wrong(new_run, root, content):
    (new_run("a", steps=(1,)).folder / "run.json").write_bytes(b"{}")
    (new_run("b", steps=(1, 2)).folder / "steps" / "step-00000002" / "manifest.json").unlink()
    (new_run("c", steps=(1,)).folder / "steps").rename(root / "elsewhere")
    (new_run("d").folder / "run.json").unlink()
    new_run("e", steps=(1,))
    problems = {summary.name: summary.problem for summary in list_runs(root)}
    assert problems == {
        "a": "a/run.json is damaged: format must be 1, was None",
        "b": "checkpoint of step 2: manifest.json is missing",
        "c": "steps cannot be read: it is not there",
        "d": f"{root}/d is no run folder: it has no run.json",
        "e": None,
    }


def test_new_names_are_free(root, new_run):
    now = datetime(2026, 11, 21, 14, 32)
    names = []
    for _ in range(3):
        names.append(new_run_name("shakespeare", now, root))
        new_run(names[-1])
    assert names == ["shakespeare-20261121-1432", "shakespeare-20261121-1432-2", "shakespeare-20261121-1432-3"]


def test_where_runs_are_kept(tmp_path):
    assert str(checkpoints_folder({})) == "checkpoints"
    assert str(checkpoints_folder({"CHARLM_CHECKPOINTS": ""})) == "checkpoints"
    assert checkpoints_folder({"CHARLM_CHECKPOINTS": str(tmp_path)}) == tmp_path


def test_a_run_is_removed_whole(new_run, root):
    run = new_run("a", steps=(1, 2), best=1)
    run.append_metrics({"kind": "train", "step": 1})
    (run.folder / "steps" / "step-00000003.tmp").mkdir()
    (run.folder / "pointers.json.tmp").write_text("")
    new_run("b")
    remove_run(run.folder)
    assert [path.name for path in root.iterdir()] == ["b"]


def test_a_damaged_run_can_be_named_and_removed(new_run, root):
    run = new_run("a", steps=(1,))
    (run.folder / "run.json").write_text("")
    for name in ("a", str(run.folder)):
        assert find_folder(name, root) == run.folder
    for name in ("a@best", "a@1", str(run.folder / "steps" / "step-00000001")):
        with pytest.raises(ConfigError, match=r"is one checkpoint, but this is about whole runs: name .*a$"):
            find_folder(name, root)
    remove_run(run.folder)
    assert not run.folder.exists()


@pytest.mark.parametrize("stranger", ["notes.txt", "steps/notes.txt", "steps/step-00000001/notes.txt", "folder/a"])
def test_a_run_that_holds_something_else_is_not_removed(new_run, root, stranger):
    run = new_run("a", steps=(1,))
    (run.folder / stranger).parent.mkdir(exist_ok=True)
    (run.folder / stranger).write_text("mine")
    with pytest.raises(RunError, match=f"a holds what charlm did not make .*{stranger.split('/')[0]}"):
        remove_run(run.folder)
    assert (run.folder / stranger).read_text() == "mine"
    assert open_run(run.folder).load().step == 1


@pytest.mark.parametrize("kind", ["folder", "file", "link", "nothing"])
def test_only_run_folders_are_removed(new_run, root, tmp_path, kind):
    run = new_run("a", steps=(1,))
    other = tmp_path / "other"
    if kind == "folder":
        other.mkdir()
        (other / "tokenizer.json").write_text("mine")
    elif kind == "file":
        other.write_text("mine")
    elif kind == "link":
        other.symlink_to(run.folder)
    before = sorted(str(path) for path in tmp_path.rglob("*"))
    with pytest.raises(CharlmError):
        remove_run(other)
    assert sorted(str(path) for path in tmp_path.rglob("*")) == before


def test_a_root_that_cannot_be_listed_is_an_error(tmp_path, monkeypatch):
    def refuse(path):
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(RunError, match=r"runs in .* cannot be listed: no permission"):
        list_runs(tmp_path)


def test_what_is_typed_for_a_run_finds_it_again(new_run, root, tmp_path, monkeypatch):
    monkeypatch.setenv("CHARLM_CHECKPOINTS", "runs")
    monkeypatch.chdir(root.parent)
    new_run("a", steps=(1,))
    assert run_argument(Path("runs/a")) == "a"
    # beside the folder of runs a name alone would mean the one in it
    shutil.copytree(root / "a", root.parent / "a")
    assert run_argument(Path("a")) == "./a"
    assert find_run("./a", Path("runs")).run.folder == Path("a")
    assert run_argument(tmp_path / "x y") == f"'{tmp_path}/x y'"


def test_a_folder_that_may_not_be_looked_into_is_no_run(new_run, root, monkeypatch):
    new_run("a", steps=(1,))
    (root / "lost+found").mkdir()
    stat = os.stat

    def refused(path, *arguments, **keywords):
        if "lost+found/" in str(path):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return stat(path, *arguments, **keywords)

    monkeypatch.setattr(os, "stat", refused)
    (root / "round").symlink_to("round")
    assert [one.name for one in list_runs(root)] == ["a"]
    assert find_run(None, root).run.folder.name == "a"


def test_a_run_that_may_not_be_looked_at_is_not_said_to_be_absent(root, monkeypatch):
    def refuse(path):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "is_dir", refuse)
    with pytest.raises(RunError, match=r"^run locked/run cannot be read: no permission"):
        find_run("locked/run", root)
