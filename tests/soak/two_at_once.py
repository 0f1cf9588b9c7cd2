"""Two processes, or many, at one thing: a run folder, a text to encode, machine code to make.

lock       many writers of one run at the same moment: one has it, the others are told who; killed, it is free again
trainings  two of one name, and two that resume one run, at the same moment
encoding   one text by several at once, some of them killed
readers    eval, generate, runs list and runs show while a training saves and prunes at every step
compiling  one cache of machine code, filled by several at once for signatures of their own, some of them killed
"""

from __future__ import annotations

import json
import os
import random
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from counting import Asked, Count, Part, main
from kill_and_resume import SIZE, TEXT
from sittings import READING, TOO_LONG, TRAINING, Place, Sitting, outcome, preload

from charlm.config import Config, CorpusConfig, TokenizerConfig
from charlm.errors import RunInUseError
from charlm.runs import create_run, open_run
from charlm.tokenizers import train_tokenizer

TRAIN = [
    "train",
    "cats.txt",
    *SIZE,
    "--kernels",
    "torch",
    "--dtype",
    "float32",
    "--threads",
    "1",
    "--checkpoint-every",
    "1",
]
# What rivals compile one function for; each gives another number, so code of another shows.
KINDS = {"int8": 2, "int16": 3, "float32": 5, "float64": 9}


class Rival(Sitting):
    """A fork of this program that does `act` when `start` comes, and says how that went."""

    def __init__(self, place: Place, act: Callable[[], object], start: float) -> None:
        def wait_and_act() -> None:
            time.sleep(max(0.0, start - time.monotonic()))
            print(json.dumps(act()), flush=True)

        # the command behind it only ends it
        super().__init__(place, ["--version"], before=wait_and_act)

    def said(self) -> Any:
        """What `act` returned, as JSON has it."""
        assert self.wait(TOO_LONG) == 0, self.errors
        return json.loads(self.output.splitlines()[0])


def soon() -> float:
    """A moment by which all rivals are waiting."""
    return time.monotonic() + 0.05


def lock(asked: Asked) -> Count:
    """Writers of one run."""
    preload(())
    count = Count(
        what="rounds of 4 writers of one run, the one that had it killed",
        promise="one has it, 3 are told, with its name once that is written",
    )
    place = Place(asked.folder, TEXT)
    tokenizer = train_tokenizer(TokenizerConfig(), [TEXT])
    run = create_run(place.runs / "run", config=Config(), facts={"vocab_size": 9}, tokenizer=tokenizer).folder

    def hold() -> str:
        try:
            with open_run(run).lock():
                print("held", flush=True)
                time.sleep(TOO_LONG)
        except RunInUseError as error:
            return str(error)
        return ""

    for number in range(asked.of(200, 2)):
        with count.attempt(f"round {number}"):
            start = soon()
            rivals = [Rival(place, hold, start) for _ in range(4)]
            ended = lambda: [one for one in rivals if one.wait(0) is not None]  # noqa: B023, E731
            while len(ended()) < 3 and time.monotonic() < start + TOO_LONG:
                time.sleep(0.002)
            (holder,) = [one for one in rivals if one.code is None]
            told = {one.said() for one in rivals if one is not holder}
            holder.kill()
            assert holder.output == b"held\n"
            # one that looks while the winner is writing its name has none to give
            known = {message for message in told if f"in use by {holder.pid} on " in message}
            assert known | {"run run is in use by another process"} >= told, told
            with open_run(run).lock():
                pass
    return count


def trainings(asked: Asked) -> Count:
    """Trainings of one name."""
    preload(TRAINING)
    count = Count(
        what="pairs of trainings at one run at the same moment", promise="one trains, as if alone; exit 4 or 7"
    )
    place, steps = Place(asked.folder, TEXT), ["--steps", "6"]
    place.run(*TRAIN, "--run", "whole", *steps)
    whole = outcome(place.runs / "whole")
    for number in range(asked.of(40, 1)):
        with count.attempt(f"pair {number}"):
            pair = [Sitting(place, [*TRAIN, "--run", "run", *steps]) for _ in range(2)]
            codes = sorted(one.wait(TOO_LONG) or 0 for one in pair)
            assert codes == [0, 4], f"begun: {codes}: {[one.errors for one in pair]}"
            assert outcome(place.runs / "run") == whole
            pair = [Sitting(place, ["train", "--resume", "--run", "run", "--steps", "12"]) for _ in range(2)]
            codes = sorted(one.wait(TOO_LONG) or 0 for one in pair)
            # one that comes when the other is done finds the run complete
            assert codes in ([0, 7], [0, 2]), f"resumed: {codes}: {[one.errors for one in pair]}"
            told = next(one.errors for one in pair if one.code)
            assert "is in use by " in told or "is complete" in told, told
        shutil.rmtree(place.runs / "run", ignore_errors=True)
    return count


def encoding(asked: Asked) -> Count:
    """A text that several encode."""
    preload(("charlm.corpora", "charlm.streams"))
    count = Count(what="rounds of 3 encodings of one text, one killed", promise="the same ids, nothing left behind")
    place, draw = Place(asked.folder, TEXT * 20), random.Random(asked.seed)

    def encode() -> str:
        from charlm.runs import prepare

        data = prepare(CorpusConfig(corpus=("cats.txt",)), TokenizerConfig())
        return data.tokenizer.decode(data.store.part("train"))

    for number in range(asked.of(150, 1)):
        with count.attempt(f"round {number}"):
            shutil.rmtree(place.folder / "cache", ignore_errors=True)
            start = soon()
            rivals = [Rival(place, encode, start) for _ in range(3)]
            rivals[0].wait(draw.uniform(0, 0.2) + max(0, start - time.monotonic()))
            rivals[0].kill()
            texts = {one.said() for one in rivals[1:]}
            assert len(texts) == 1
            assert (TEXT * 20).startswith(*texts)
            Rival(place, encode, 0.0).said()
            stores = [path.suffix for path in sorted((place.folder / "cache" / "tokens").iterdir())]
            assert stores == [".bin", ".json"], stores
    return count


def readers(asked: Asked) -> Count:
    """Commands that read a run that is written to."""
    preload((*TRAINING, *READING))
    count = Count(
        what="commands that read a run while it is trained", promise="exit 0, nothing damaged, nothing halved"
    )
    place = Place(asked.folder, TEXT * 4)
    commands = [
        ["eval", "--run", "run", "--json"],
        ["generate", "--run", "run", "--length", "50", "--engine", "numpy"],
        ["runs", "list", "--json"],
        ["runs", "show", "run", "--json"],
    ]
    for _ in range(asked.of(10, 1)):
        writer = Sitting(place, [*TRAIN, "--run", "run", "--keep", "1", "--steps", "100000", "--evaluate-every", "3"])
        while not any((place.runs / "run" / "steps").glob("step-????????")):
            assert writer.wait(0.02) is None, writer.errors
        for number in range(asked.of(100, 2)):
            arguments = commands[number % 4]
            with count.attempt(f"{' '.join(arguments)}, number {number}"):
                sitting = place.run(*arguments)
                for word in ("passed over", "damaged", "missing", "incomplete", "ignored"):
                    assert word not in sitting.errors, sitting.errors
                records = sitting.records() if "--json" in arguments else []
                assert not [record for record in records if record.get("problem")], records
                sitting.forget()
        assert writer.code is None, writer.errors
        writer.kill()
        shutil.rmtree(place.runs)
    return count


def size_and_one(numbers: Any) -> Any:
    """What is compiled: another number for each number format."""
    return numbers.itemsize + numbers[0]


def computed(folder: Path, kinds: list[str]) -> Callable[[], list[list[int]]]:
    """For each format, what the compiled function gives, and how often it had to be compiled for that."""

    def act() -> list[list[int]]:
        from numba.core import event

        from charlm.simd import compiling

        os.environ["NUMBA_CACHE_DIR"] = str(folder)
        compiling.code_folder.cache_clear()
        made, found = compiling.compiled(size_and_one), []
        for kind in kinds:
            with event.install_recorder("numba:compile") as recorder:
                number = int(made(np.ones(1, kind)))
            found.append([number, sum(one.is_start for _, one in recorder.buffer)])
        return found

    return act


def compiling(asked: Asked) -> Count:
    """Machine code that several make at once."""
    preload(("charlm.simd", "numba.core.event"))
    count = Count(what="rounds of 4 that compile into one empty cache, one killed", promise="each loads its own code")
    place, draw = Place(asked.folder, TEXT), random.Random(asked.seed)
    for number in range(asked.of(60, 1)):
        with count.attempt(f"round {number}"):
            code, start = asked.folder / f"code-{number}", soon()
            rivals = {kind: Rival(place, computed(code, [kind]), start) for kind in KINDS}
            killed = draw.choice(list(KINDS))
            rivals[killed].wait(draw.uniform(0, 1) + 0.05)
            rivals[killed].kill()
            for kind, rival in rivals.items():
                assert kind == killed or rival.said() == [[KINDS[kind], 1]], f"{kind}: {rival.said()}"
            found = Rival(place, computed(code, list(KINDS)), 0.0).said()
            assert [one for one, _ in found] == list(KINDS.values()), found
            again = [kind for kind, (_, times) in zip(KINDS, found, strict=True) if times]
            assert again in ([], [killed]), f"compiled again: {again}"
        shutil.rmtree(code, ignore_errors=True)
    return count


PARTS: dict[str, Part] = {
    "lock": lock,
    "trainings": trainings,
    "encoding": encoding,
    "readers": readers,
    "compiling": compiling,
}

if __name__ == "__main__":
    sys.exit(main("two_at_once", PARTS, __doc__))
