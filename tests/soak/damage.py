"""Damage: every file of a run cut short at every 4 KB, single bits flipped at random; none of it may pass for sound.

After each the whole of what reads a run is asked: either it says which file is wrong, or gives, bit for bit, what was
saved. With a damaged checkpoint it gives the newest sound one, and says which was passed over and why.

python tests/soak/damage.py            some minutes
python tests/soak/damage.py --quick    a few attempts
"""

from __future__ import annotations

import itertools
import random
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import specimen
from beside import BESIDE
from counting import Asked, Count, Part, main
from damaged import CUT, Damaged, cuts, flips
from judging import refused
from specimen import BEST, STEPS, Specimen, holding
from started import charlm

from charlm.errors import RunError
from charlm.runs import Checkpoint, TrainingCheckpoint

SAID = "what is given is what was saved, bit for bit; anything else is an error, or passed over, and is named"


def check_run(one: Specimen, path: Path) -> None:
    """What must hold of a run whose file `path` is damaged."""
    if path.parent == one.run and path.name in ("run.json", "tokenizer.json", "tokenizer.model"):
        _refused(path.name, lambda: one.opened().tokenizer)
        return
    run = one.opened()
    size, metrics = run.tokenizer.vocab_size, run.read_metrics()
    step = int(path.parent.name.removeprefix("step-")) if path.parent.name.startswith("step-") else None
    for which, wanted, damaged in (
        # what only training needs does not touch the others
        (None, [BEST, *reversed(STEPS)], step if path.name in ("manifest.json", "weights.safetensors") else None),
        ("latest", list(reversed(STEPS)), step),
    ):
        loaded = run.load(None) if which is None else run.load_training("latest")
        _same(loaded, next(sound for sound in wanted if sound != damaged), size)
        if path.name == "pointers.json":
            assert [notice for notice in loaded.notices if "pointers.json" in notice], loaded.notices
        elif damaged == wanted[0]:
            (notice,) = loaded.notices
            assert notice.startswith(f"checkpoint of step {damaged} passed over: {path.name}"), notice
            assert notice.endswith("is used instead"), notice
        else:
            assert loaded.notices == (), loaded.notices
    if step is not None:
        _refused(path.name, lambda: run.load_training(step))
    known = [(kind, at) for at in STEPS for kind in ("evaluate", "save")]
    found = [(record["kind"], record["step"]) for record in metrics.records]
    assert set(found) <= set(known), found
    # what was cut off behind a line is missing without a word, and so is a last line without its end
    lines = (one.run / "metrics.jsonl").read_bytes().count(b"\n")
    assert metrics.notices or found in (known[:lines], known[: lines + 1]), metrics
    assert path.name == "metrics.jsonl" or found == known, found


def _same(loaded: Checkpoint, step: int, size: int) -> None:
    assert loaded.step == step, f"step {loaded.step}, not {step}"
    parts = [(loaded.weights, specimen.weights_of(step, size))]
    if isinstance(loaded, TrainingCheckpoint):
        parts.append((loaded.training, specimen.training_of(step, size)))
        assert loaded.progress == specimen.progress_of(step)
    for found, saved in parts:
        assert found.keys() == saved.keys()
        for name, array in saved.items():
            assert (found[name].dtype, found[name].shape) == (array.dtype, array.shape), name
            assert found[name].tobytes() == array.tobytes(), name


def _refused(name: str, action: Callable[[], object]) -> None:
    words = refused(action, RunError)
    assert name in words, words


def _try(count: Count, one: Specimen, damaged: Iterator[Damaged], check: Callable[[Specimen, Path], None]) -> Count:
    with one.settings():
        for name, path, content in damaged:
            with count.attempt(name), holding(path, content):
                check(one, path)
    return count


def run_cuts(asked: Asked) -> Count:
    """Truncation of every file of a run at every 4 KB and of the last byte."""
    count = Count(what="files of a run cut at every 4 KB, and by one byte", promise=SAID)
    for spec in ("char", "bpe:300")[: asked.of(2, 1)]:
        one = specimen.make(asked.folder / spec.replace(":", "-"), spec)
        _try(count, one, cuts(one.files(), every=asked.of(CUT, 32 * CUT)), check_run)
    return count


def run_flips(asked: Asked) -> Count:
    """Single-bit flips over all files of a run."""
    count = Count(what="single bits flipped in files of a run", promise=SAID)
    for spec in ("char", "bpe:300")[: asked.of(2, 1)]:
        one = specimen.make(asked.folder / spec.replace(":", "-"), spec)
        damaged = flips(one.files(), random.Random(asked.seed))
        _try(count, one, itertools.islice(damaged, asked.of(10_000, 40)), check_run)
    return count


def several(asked: Asked) -> Count:
    """Any number of checkpoints damaged at once, up to all of them."""
    count = Count(what="several checkpoints of a run damaged at once", promise=f"{SAID}; with none left, exit 4")
    one = specimen.make(asked.folder)
    draws = random.Random(asked.seed)
    whole = {path: path.read_bytes() for path in one.files()}
    for number in range(asked.of(1000, 8)):
        broken = draws.sample(STEPS, draws.randint(1, len(STEPS)))
        with count.attempt(f"checkpoints {broken}, attempt {number}"):
            for step in broken:
                path = one.weights(step).with_name(draws.choice(("weights.safetensors", "manifest.json")))
                _, _, content = next(flips([path], draws))
                path.write_bytes(content if draws.random() < 0.5 else content[: draws.randrange(len(content))])
            _check_several(one, broken)
        for path, content in whole.items():
            path.write_bytes(content)
    return count


def _check_several(one: Specimen, broken: list[int]) -> None:
    run = one.opened()
    left = [step for step in reversed(STEPS) if step not in broken]
    if not left:
        words = refused(run.load_training, RunError)
        assert all(f"step {step} passed over" in words for step in broken), words
        return
    loaded = run.load_training()
    _same(loaded, left[0], run.tokenizer.vocab_size)
    skipped = sorted(step for step in broken if step > left[0])
    told = sorted(step for step in STEPS if any(f"step {step} passed over" in line for line in loaded.notices))
    assert told == skipped, loaded.notices


def command(asked: Asked) -> Count:
    """The same through the installed command: its exit code and its one line."""
    count = Count(what="damaged runs through the command", promise="exit 4, or 0 with what was passed over; one line")
    one = specimen.make(asked.folder)
    draws = random.Random(asked.seed)
    for name, path, content in itertools.islice(flips(one.files(), draws), asked.of(200, 2)):
        with count.attempt(name), holding(path, content):
            ended = charlm(one, "generate", "--run", "poem", "--engine", "numpy", "--length", "9", "--seed", "1")
            refused = path.name in ("run.json", "tokenizer.json")
            assert ended.code == (4 if refused else 0), ended
            best = path.parent.name == f"step-{BEST:08d}" and path.name in ("weights.safetensors", "manifest.json")
            assert (path.name in ended.errors) == (refused or best or path.name == "pointers.json"), ended
    for step in STEPS:
        one.weights(step).write_bytes(one.weights(step).read_bytes()[:-1])
    for arguments in (["generate"], ["eval", "--engine", "numba"], ["train", "--resume"])[: asked.of(3, 1)]:
        with count.attempt(f"no sound checkpoint: {arguments}"):
            ended = charlm(one, *arguments)
            assert ended.code == 4, ended
            assert "has no sound checkpoint" in ended.errors, ended
    return count


PARTS: dict[str, Part] = {"cuts": run_cuts, "flips": run_flips, "several": several, **BESIDE, "command": command}

if __name__ == "__main__":
    sys.exit(main("damage", PARTS, __doc__))
