"""metrics.jsonl: every line whole or noticed; no history twice."""

import errno
import json
import os

import pytest

from charlm.errors import OutputError
from charlm.runs import files, metrics, open_run


def history(run, *records):
    for kind, step in records:
        run.append_metrics({"kind": kind, "step": step, "train_nats": step / 7})


def told(run):
    return [(record["kind"], record["step"]) for record in run.metrics()]


def test_records_come_back_in_order_and_exactly(new_run):
    run = new_run()
    records = [{"kind": "train", "step": n, "nats": n / 3, "none": None, "text": 'é "x"\n\ud83d'} for n in range(5)]
    for record in records:
        run.append_metrics(record)
    assert open_run(run.folder).metrics() == records
    lines = (run.folder / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [0, 1, 2, 3, 4]  # any JSON reader will do


def test_no_file_is_no_records(new_run):
    assert new_run().metrics() == []


def test_a_line_torn_by_a_kill_is_left_out_without_a_word(new_run):
    run = new_run()
    history(run, ("train", 1), ("train", 2))
    path = run.folder / "metrics.jsonl"
    whole = path.read_bytes()
    first = whole.index(b"\n") + 1
    for cut in range(first, len(whole)):
        path.write_bytes(whole[:cut])
        found = run.read_metrics()
        assert ([record["step"] for record in found.records], found.notices) in (([1], []), ([1, 2], []))
    path.write_bytes(whole[:-5])
    history(run, ("train", 3))
    assert told(run) == [("train", 1), ("train", 3)]


def test_every_flipped_bit_is_noticed(new_run):
    run = new_run()
    history(run, ("train", 1), ("save", 2), ("train", 3))
    path = run.folder / "metrics.jsonl"
    whole = path.read_bytes()
    records = run.metrics()
    for place in range(0, len(whole) * 8, 3):
        changed = bytearray(whole)
        changed[place // 8] ^= 1 << place % 8
        path.write_bytes(changed)
        found = run.read_metrics()
        assert all(record in records for record in found.records)
        last_line = place // 8 > whole[:-1].rindex(b"\n")
        assert len(found.records) < 3
        assert found.notices or last_line
    path.write_bytes(whole.replace(b'"step":2', b'"step":9'))
    assert run.read_metrics().notices == ["metrics.jsonl: line 2 is damaged, left out"]


@pytest.mark.parametrize(
    ("before", "step", "after"),
    [
        # the record of the save is there: what follows it goes
        ([("train", 90), ("save", 100), ("train", 110)], 100, [("train", 90), ("save", 100)]),
        ([("save", 100), ("train", 110), ("save", 200), ("train", 210)], 100, [("save", 100)]),
        # what led to a rollback before the save stays
        (
            [("train", 150), ("rollback", 100), ("save", 120), ("train", 130)],
            120,
            [("train", 150), ("rollback", 100), ("save", 120)],
        ),
        # the same step saved twice
        ([("save", 100), ("evaluate", 100), ("save", 100)], 100, [("save", 100), ("evaluate", 100), ("save", 100)]),
        # killed between the save and its record
        ([("train", 90), ("evaluate", 100), ("train", 110)], 100, [("train", 90), ("evaluate", 100)]),
        ([], 100, []),
    ],
)
def test_a_resume_cuts_off_what_came_after_its_checkpoint(new_run, before, step, after):
    run = new_run()
    history(run, *before)
    assert run.truncate_metrics(step) == len(before) - len(after)
    assert told(run) == after
    history(run, ("train", step + 1))
    assert told(run) == [*after, ("train", step + 1)]


class FullDisk:
    """Stands for `os`: writes two bytes, then no more."""

    def __init__(self):
        self.left = 2

    def __getattr__(self, name):
        return getattr(os, name)

    def write(self, descriptor, content):
        if not self.left:
            raise OSError(errno.ENOSPC, "full")
        taken, self.left = self.left, 0
        return os.write(descriptor, content[:taken])


@pytest.mark.parametrize("action", [lambda run: history(run, ("train", 3)), lambda run: run.truncate_metrics(1)])
def test_a_full_disk_leaves_the_file_as_it_was(new_run, monkeypatch, action):
    run = new_run()
    history(run, ("train", 1), ("train", 2))
    before = (run.folder / "metrics.jsonl").read_bytes()
    with run.lock():
        monkeypatch.setattr(files, "os", FullDisk())
        with pytest.raises(OutputError, match=r"metrics\.jsonl not written: disk full"):
            action(run)
        monkeypatch.undo()
    assert (run.folder / "metrics.jsonl").read_bytes() == before
    assert not list(run.folder.glob("*.tmp*"))


def test_the_lines_of_others_are_damage(new_run):
    run = new_run()
    path = run.folder / metrics.METRICS
    path.write_bytes(b'{"kind":"train","step":1}\n[[[\n\xff\n' + b"[" * 100_000 + b"\n")
    found = run.read_metrics()
    assert found.records == []
    assert len(found.notices) == 4
