"""What goes on for long: ten thousand steps, texts and prompts without end, a corpus that changes under a training.

Memory is what the system says that the process holds, looked at again and again; it must not grow.
"""

from __future__ import annotations

import contextlib
import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import BinaryIO

import counting
from counting import Asked, Count
from measured import Child, Place
from sizes import sentences

# MB by which the second half of what was seen may lie above the first: pools and caches breathe.
MOST_GROWTH = 12.0
LOOK_EVERY = 0.02  # seconds


def descriptors(child: Child) -> int:
    """How many files a process has open; 0 once it has ended (Linux)."""
    with contextlib.suppress(OSError):
        return len(os.listdir(f"/proc/{child.pid}/fd"))
    return 0


def watched(child: Child, over: Callable[[], bool]) -> list[float]:
    """MB that a process holds, over time, until it is `over` or has ended."""
    seen: list[float] = []
    while not over():
        try:
            seen.append(child.held())
        except (OSError, IndexError):
            break
        if not seen[-1]:  # it has ended, and waits to be asked how
            break
        time.sleep(LOOK_EVERY)
    return [mb for mb in seen if mb]


def growth(seen: Sequence[float]) -> float:
    """By how much the last quarter of what was seen lies above the second one; what is loaded is in by then."""
    assert len(seen) >= 8, f"seen {len(seen)} times only"
    quarter = len(seen) // 4
    return statistics.median(seen[-quarter:]) - statistics.median(seen[quarter : 2 * quarter])


def steps(asked: Asked) -> Count:
    """Ten thousand steps, with evaluations and checkpoints."""
    number = asked.of(10_000, 100)
    count = Count(what=f"{number:,} steps", promise="memory does not grow, no descriptor is left open")
    place = Place(asked.folder, forked=asked.quick)
    text = place.write("text.txt", sentences(asked.of(300_000, 2_000), 0))
    for cell in ("lstm", "gru", "elman")[: asked.of(3, 1)]:
        with count.attempt(cell):
            often = ("--evaluate-every", number // 10, "--checkpoint-every", number // 20)
            arguments = (
                "train",
                text,
                *place.tiny,
                "--cell",
                cell,
                "--steps",
                number,
                "--ema",
                "0.9",
                "--run",
                cell,
                *often,
            )
            began = place.folder / "runs" / cell / "metrics.jsonl"
            with place.running(*arguments) as (child, _, _):
                while not began.exists():
                    assert os.waitpid(child.pid, os.WNOHANG)[0] == 0, "it ended before its first step"
                    time.sleep(LOOK_EVERY)
                open_files = [descriptors(child)]

                def look(child=child, open_files=open_files) -> bool:
                    open_files.append(descriptors(child) or open_files[-1])
                    return False

                seen = watched(child, look)
                assert child.finish()[0] == 0
            count.notes[f"descriptors, {cell}"] = max(open_files)
            # in the middle of the looks: a save has some open for a moment
            assert growth(open_files) <= 1, f"descriptors grew by {growth(open_files)}"
            assert place.records(cell)[-1]["step"] == number
            count.notes[f"MB of growth, {cell}"] = round(growth(seen), 1)
            assert growth(seen) < MOST_GROWTH, f"grew by {growth(seen):.1f} MB"
    return count


def trained(place: Place, characters: int) -> str:
    """The name of a run of a few steps."""
    text = place.write("text.txt", sentences(characters, 0))
    place.run("train", text, *place.tiny, "--steps", 5, "--run", "tiny")
    return "tiny"


def size_of(file: BinaryIO) -> int:
    """Bytes that are in a file by now."""
    return os.fstat(file.fileno()).st_size


def endless(asked: Asked) -> Count:
    """Texts without end, written for a while by each engine, and interrupted."""
    count = Count(what="texts of 10^12 characters", promise="memory stays flat, Ctrl-C ends them with 130")
    place = Place(asked.folder, forked=asked.quick)
    run = trained(place, asked.of(20_000, 2_000))
    filters = ([], ["--top-p", "0.9", "--repetition-penalty", "1.1"], ["--samples", "3"], ["--stop", "@@@"])
    for engine in ("numpy", "numba", "torch")[: asked.of(3, 1)]:
        for chosen in filters[: asked.of(4, 1)]:
            with count.attempt(f"{engine} {' '.join(chosen)}"):
                wanted = 30_000_000 if engine == "numba" and not chosen else asked.of(100_000, 6_000)
                arguments = ("generate", "--run", run, "--length", 10**12, "--engine", engine, *chosen)
                with place.running(*arguments) as (child, out, _):
                    written = partial(size_of, out)
                    while child.held() and not written():  # what it loads is in by then
                        time.sleep(LOOK_EVERY)
                    seen = watched(child, lambda written=written, wanted=wanted: written() >= wanted)
                    child.interrupt()
                    ended = child.finish()[0]
                    size = written()
                assert ended == 130, f"exit {ended}"
                assert size >= wanted, f"{size} bytes"
                found, most = growth(seen), float(count.notes.get("MB of growth, the most", 0))
                count.notes["MB of growth, the most"] = round(max(found, most), 1)
                assert found < MOST_GROWTH, f"grew by {found:.1f} MB over {size:,} bytes"
    return count


def prompts(asked: Asked) -> Count:
    """No prompt, and one of a million characters, for each engine."""
    count = Count(what="prompts of 0, 1 and a million characters", promise="read in little memory, written as they are")
    place = Place(asked.folder, forked=asked.quick)
    run = trained(place, asked.of(20_000, 2_000))
    for engine in ("numpy", "numba", "torch")[: asked.of(3, 1)]:
        least = place.run("generate", "--run", run, "--engine", engine, "--length", 10).peak
        for size in (0, 1, asked.of(1_000_000, 50_000)):
            with count.attempt(f"{engine}: {size:,}"):
                prompt = (sentences(1_500, 0) * (size // 1_500 + 1))[:size]
                arguments = ("generate", "--run", run, "--engine", engine, "--length", 10, "--prompt", "-")
                ended = place.run(*arguments, stdin=prompt.encode())
                assert ended.output.decode().startswith(prompt)
                assert len(ended.output.decode()) == size + 10
                count.notes[f"MB more, {engine}"] = ended.peak - least
                assert ended.peak - least < 48, f"{ended.peak} MB, {least} without a prompt"
    return count


def changes(asked: Asked) -> Count:
    """The corpus is edited, cut, removed or exchanged while a training reads it."""
    count = Count(what="a corpus changed during training", promise="the training is unaffected; resume notices")
    place = Place(asked.folder, forked=asked.quick)
    text = sentences(asked.of(20_000, 2_000), 0)
    path = place.folder / place.write("text.txt", text)
    model = (*place.tiny, "--steps", asked.of(400, 20), "--evaluate-every", 10)
    place.run("train", "text.txt", *model, "--run", "undisturbed")
    undisturbed = losses(place, "undisturbed")
    acts: dict[str, Callable[[], object]] = {
        "edited": lambda: path.write_text(text.upper()),
        "cut": lambda: os.truncate(path, 1000),
        "emptied": lambda: os.truncate(path, 0),
        "removed": path.unlink,
        "another in its place": lambda: (path.unlink(), path.write_text("something else\n" * 99)),
        "longer": lambda: path.write_text(text + text),
    }
    for name, act in list(acts.items())[: asked.of(len(acts), 1)]:
        for again in range(asked.of(5, 1)):
            with count.attempt(f"{name}, {again}"):
                path.write_text(text)
                run = f"r{count.tried}"
                began = place.folder / "runs" / run / "metrics.jsonl"
                with place.running("train", "text.txt", *model, "--run", run) as (child, _, err):
                    while not began.exists() and child.held():
                        time.sleep(LOOK_EVERY / 10)
                    act()
                    ended = child.finish()[0]
                    err.seek(0)
                    assert ended == 0, err.read().decode()
                assert losses(place, run) == undisturbed
                resumed(place, run, name)
    return count


def losses(place: Place, run: str) -> list[tuple[int, float]]:
    """What a run noted at each evaluation."""
    return [(one["step"], one["validation_nats"]) for one in place.records(run) if one["kind"] == "evaluate"]


def resumed(place: Place, run: str, change: str) -> None:
    """A resume notices: the ids that were kept are used where the text is gone, and another text is refused."""
    more = ("train", "--resume", "--run", run, "--steps", 1000)
    if change == "removed":
        assert "the ids kept from the first time are used" in place.run(*more).errors
        return
    refused = place.run(*more, code=3)
    assert len(refused.errors.splitlines()) == 1, refused.errors
    if change != "emptied":
        assert "has changed since run" in refused.error, refused.error
    with (place.folder / "runs" / run / "metrics.jsonl").open() as file:
        assert all(json.loads(line)["step"] < 1000 for line in file)


PARTS = {"steps": steps, "endless": endless, "prompts": prompts, "changes": changes}

if __name__ == "__main__":
    sys.exit(counting.main("endurance", PARTS, __doc__))
