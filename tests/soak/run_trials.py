"""A run folder made, saved to, resumed and removed, each the subject of a trial."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from traced import Ended, Say
from trial import Trial, anew, digest, leftovers, tree

from charlm.config import Config, TokenizerConfig
from charlm.errors import RunError
from charlm.runs import Run, create_run, list_runs, open_run, remove_run
from charlm.tokenizers import train_tokenizer

TOKENIZER = train_tokenizer(TokenizerConfig(), ["to be or not to be\n"])
DATA = ("weights.safetensors", "training.safetensors", "training.json")


def content(step: int) -> dict[str, Any]:
    """What is saved at `step`, and at no other."""
    draw = np.random.default_rng(step)
    return {
        "weights": {"embedding": draw.standard_normal((7, 5), dtype=np.float32)},
        "training": {"moments": draw.standard_normal((70, 5)), "generator": draw.integers(0, 256, 500, dtype=np.uint8)},
        "progress": {"step": step, "lanes": [step, 2 * step]},
    }


def make(folder: Path) -> Run:
    """A new run without a checkpoint."""
    return create_run(folder, config=Config(), facts={"vocab_size": TOKENIZER.vocab_size}, tokenizer=TOKENIZER)


class Saved:
    """A run with checkpoints of step 100, the best, and 200, and what the files of any step must hold."""

    def __init__(self, folder: Path) -> None:
        self.master, self.place = folder / "master", folder / "runs" / "poem"
        run = make(self.master)
        self.digests = {}
        for step in (100, 200):
            run.append_metrics({"kind": "train", "step": step})
            run.save(step, **content(step), best=step == 100, keep=9)
            run.append_metrics({"kind": "save", "step": step})
        later = make(folder / "later")
        for step in (300, 400):
            later.save(step, **content(step), best=False, keep=9)
        for root, step in ((self.master, 100), (self.master, 200), (folder / "later", 300), (folder / "later", 400)):
            self.digests[step] = [digest(root / "steps" / f"step-{step:08d}" / name) for name in DATA]

    def prepare(self) -> None:
        """The run as it was before the act."""
        anew(self.place, self.master)

    def found(self, which: Any = "latest") -> int:
        """The step that is loaded, its files held against what was saved at it. Nothing is cleared up."""
        loaded = open_run(self.place).load(which)
        assert [digest(loaded.folder / name) for name in DATA] == self.digests[loaded.step], f"step {loaded.step}"
        return loaded.step

    def started(self) -> int:
        """The same by a next start, which leaves nothing of an interrupted act behind."""
        run = open_run(self.place)
        with run.lock():
            step = run.load_training().step
        assert self.found() == step
        assert leftovers(self.place) == []
        return step

    def steps(self) -> list[str]:
        """Names of the checkpoints' folders."""
        return sorted(path.name for path in (self.place / "steps").iterdir())


def save(folder: Path) -> Iterator[Trial]:
    """A save of a new step, then of one that is there; the checkpoints that it makes superfluous go."""
    yield from (_save(Saved(folder / str(step)), step) for step in (300, 200))


def _save(saved: Saved, step: int) -> Trial:
    run = open_run(saved.master)

    def prepare() -> None:
        nonlocal run
        saved.prepare()
        run = open_run(saved.place)

    def act(say: Say) -> None:
        run.save(step, **content(step), best=step == 300, keep=1)
        say(f"saved {step}")

    def check(ended: Ended) -> None:
        allowed = {step} if ended.said else {200, step}
        assert saved.found() in allowed, f"{ended.said} was said, step {saved.found()} is there"
        assert saved.started() in allowed
        assert saved.found("best") in (100, 300)
        open_run(saved.place).save(400, **content(400), best=False, keep=1)
        assert saved.started() == 400
        assert saved.steps() == [f"step-{saved.found('best'):08d}", "step-00000400"]

    return Trial(prepare=prepare, act=act, check=check)


def resume(folder: Path) -> Iterator[Trial]:
    """What a resumed training does to its run before the first step, after a save that was cut short."""
    saved = Saved(folder)
    run = open_run(saved.master)
    run.append_metrics({"kind": "train", "step": 250})
    before = run.metrics()
    cut = saved.master / "steps" / "step-00000300.tmp"
    shutil.copytree(saved.master / "steps" / "step-00000200", cut)
    (cut / "manifest.json").unlink()
    shutil.copytree(saved.master / "steps" / "step-00000100", saved.master / "steps" / "step-00000100.old")
    (saved.master / "pointers.json.tmp").write_text("{")
    with (saved.master / "metrics.jsonl").open("a") as file:
        file.write('{"kind":"tr')
    outcomes = {"before": before, "cut": before[:-1], "told": [*before[:-1], {"kind": "told"}]}

    def act(say: Say) -> None:
        run = open_run(saved.place)
        with run.lock():
            loaded = run.load_training()
            say(f"resumed from {loaded.step}")
            say("; ".join(loaded.notices))
            if loaded.step != 200:  # a file could not be read, which is said; nobody goes on from there in this trial
                return
            run.truncate_metrics(loaded.step)
            say("cut")
            run.append_metrics({"kind": "told"})
            say("told")
            run.change_facts({"corpus": {"sha256": "another"}})
            say("changed")

    def check(ended: Ended) -> None:
        if ended.said and ended.said[0] != "resumed from 200":
            assert "checkpoint of step 200 passed over" in ended.said[1]
        run = open_run(saved.place)
        said = ended.said[-1] if len(ended.said) > 2 else "before"
        metrics = [{key: value for key, value in record.items() if key != "crc"} for record in run.metrics()]
        state = [name for name, records in outcomes.items() if metrics == records]
        order = list(outcomes)
        assert state, f"metrics.jsonl holds {metrics}"
        assert said == "changed" or order.index(state[0]) >= order.index(said), f"{said} was said, {state} is there"
        changed = {"sha256": "another"}
        assert run.facts.get("corpus") in ((changed,) if said == "changed" else (None, changed))
        assert saved.found() == 200
        assert saved.started() == 200

    yield Trial(prepare=saved.prepare, act=act, check=check, codes=(0, 4, 5))


def create(folder: Path) -> Iterator[Trial]:
    """A run folder made."""
    root = folder / "runs"

    def act(say: Say) -> None:
        make(root / "a")
        say("made")

    def check(ended: Ended) -> None:
        summaries = list_runs(root)
        assert [one.problem for one in summaries] in ([[None]] if ended.said else [[], [None]])
        make(root / "b").save(100, **content(100), best=True, keep=1)
        assert {path.name for path in root.iterdir()} == {"b", *(one.name for one in summaries)}

    yield Trial(prepare=lambda: anew(root), act=act, check=check, codes=(0, 4, 5))


def remove(folder: Path) -> Iterator[Trial]:
    """A run folder removed."""
    saved = Saved(folder)
    (saved.place.parent / "other").mkdir(parents=True)
    whole = tree(saved.master)

    def act(say: Say) -> None:
        remove_run(saved.place)
        say("removed")

    def check(ended: Ended) -> None:
        if saved.place.exists():
            assert not ended.said
            found = tree(saved.place)
            assert {name: found[name] for name in whole if name != "lock"} == {
                name: held for name, held in whole.items() if name != "lock"
            }
            remove_run(saved.place)
        else:
            make(saved.place)
            remove_run(saved.place)
        assert [path.name for path in saved.place.parent.iterdir()] == ["other"]
        try:
            open_run(saved.place)
        except RunError:
            return
        raise AssertionError("it was removed and can be opened")

    yield Trial(prepare=saved.prepare, act=act, check=check, codes=(0, 4, 5))
