"""A sweep's folder that somebody else made: its fields are held to their types and places when it is read."""

import dataclasses
import time

import pytest

from charlm.config import Config
from charlm.errors import RunError
from charlm.runs import metrics, records
from charlm.runs.files import Folder
from charlm.runs.lock import hold
from charlm.sweeps import folder as files
from charlm.sweeps.folder import Outcome, Search
from charlm.sweeps.plan import Plan

SEARCH = Search(
    config=Config(),
    ranges={"hidden_size": "8,16"},
    trials=({"hidden_size": 8}, {"hidden_size": 16}),
    plan=Plan(unit="steps", sizes=(2, 1), ends=(3, 9)),
    corpus={"sha256": "ab"},
    free=("batch_size",),
)
OUTCOME = Outcome(
    trial=1, rung=1, run="trial-001", values={"hidden_size": 8}, status="trained", reason=None, step=3, seconds=1.5,
    nats_per_character=2.0, bits_per_character=2.9,
)  # fmt: skip


@pytest.fixture
def sweep(tmp_path):
    files.create(tmp_path / "s", SEARCH)
    with hold(tmp_path / "s", time.time) as held:
        files.append(tmp_path / "s", OUTCOME, held)
    return tmp_path / "s"


def test_what_was_written_is_read(sweep):
    assert files.read(sweep) == (SEARCH, [OUTCOME], [])


HOSTILE = {
    "plan": [
        *(None, [], {}, {"unit": "seed", "sizes": [1], "ends": [1]}, {"unit": "steps", "sizes": [], "ends": []}),
        *({"unit": "steps", "sizes": [2, 1], "ends": end} for end in ([1], [9, 3], [0, 3], ["a", "b"], 5)),
        {"unit": "steps", "sizes": [2, 1], "ends": [1, 10**400]},
        {"unit": "steps", "sizes": [2, -1], "ends": [3, 9]},
        {"unit": "steps", "sizes": "21", "ends": [3, 9]},
    ],
    "trials": [None, 5, [5], [{"hidden_size": 10**9}], [{"x": 1}]],
    "ranges": [None, {"a": 1}, ["a"]],
    "corpus": [None, 5, {"characters": "many"}, {"parts": {"train": 5}}],
    "config": [None, {"model": {"layers": -1}}, {"modle": {}}],
    "format": [1, 3, None],
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_fields_of_a_search_are_refused(sweep, name):
    for value in HOSTILE[name]:
        (sweep / "sweep.json").write_bytes(records.dump(SEARCH.to_record() | {name: value}))
        with pytest.raises(RunError, match=r"s/sweep\.json"):
            files.read(sweep)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("run", "../../elsewhere"),
        ("run", "trial-002"),
        ("trial", 3),
        ("trial", 0),
        ("trial", "1"),
        ("rung", None),
        ("step", 2**70),
        ("status", "fine"),
        ("reason", 5),
        ("values", []),
        ("seconds", "1"),
        ("seconds", 10**400),
        ("nats_per_character", "2"),
        ("bits_per_character", True),
    ],
)
def test_hostile_fields_of_an_outcome_are_refused(sweep, name, value):
    with Folder.open(sweep) as folder:
        metrics.append(folder, {"kind": "trial", **dataclasses.asdict(OUTCOME), name: value}, files.RESULTS)
    with pytest.raises(RunError, match=r"s/results\.jsonl is damaged: not the fields of a trial"):
        files.read(sweep)
