"""Training on a disk that is really full: by the training itself, by others who make room again, or read-only.

The disk is a small file system in memory, which takes root to mount. Where that is refused, no file may grow beyond a
limit instead (RLIMIT_FSIZE), for the part `full`; the other parts say that they need root, and count as failed.
"""

from __future__ import annotations

import contextlib
import re
import resource
import subprocess
from collections.abc import Iterator
from pathlib import Path

from counting import Asked, Count, NotHereError
from traced import Act, Ended, Say, run
from training_trial import Place, records, saved_steps
from trial import leftovers

from charlm.runs import open_run

STEPS, EVERY = 12, 2
ENDS = ("--steps", str(STEPS), "--checkpoint-every", str(EVERY), "--keep", "9")
ROOM = 64 << 20
# from too little for a run folder to enough for all its checkpoints
SIZES = range(12 << 10, 700 << 10, 8 << 10)
NOT_SAVED = re.compile(
    r"charlm: error: checkpoint not saved: (?:disk full, about \d+ MB needed|File too large),"
    r" (?:last good step (\d+)|there is no earlier one)"
)
NOT_MADE = re.compile(
    r"charlm: error: (?:run folder|folder for runs) .*(?:disk full|No space left on device|File too large)"
)


class Disk:
    """A small file system on a folder; or, where none can be mounted, a limit to files."""

    def __init__(self, folder: Path, *, mounted: bool) -> None:
        self.folder, self.mounted = folder, mounted

    @property
    def kind(self) -> str:
        """What makes it full."""
        return "tmpfs" if self.mounted else "RLIMIT_FSIZE"

    def change(self, options: str) -> None:
        """Give it another size (``size=N``), or other rights (``ro``, ``rw``)."""
        subprocess.run(["mount", "-o", f"remount,{options}", self.folder], check=True)

    def limited(self, act: Act, size: int) -> Act:
        """The act on a disk of so many bytes."""
        if self.mounted:
            self.change(f"size={size}")
            return act

        def limited(say: Say) -> None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
            act(say)

        return limited


@contextlib.contextmanager
def disk(folder: Path, *, root: bool = True) -> Iterator[Disk]:
    """A disk on `folder`, which is made.

    Args:
        root: nothing but a mounted one will do.
    """
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={ROOM}", "charlm-soak", folder]
    refused = subprocess.run(command, capture_output=True, text=True)
    if refused.returncode and root:
        raise NotHereError(f"this needs root, to mount a small file system: {refused.stderr.strip()}")
    try:
        yield Disk(folder, mounted=not refused.returncode)
    finally:
        if not refused.returncode:
            subprocess.run(["umount", folder], check=True)


class Trained:
    """A workplace whose runs lie on a disk, and the weights that a training comes to where there is room."""

    def __init__(self, asked: Asked, on: Disk, *ends: str) -> None:
        self.folder, self.ends = asked.folder, ends
        self.place = Place(asked.folder / "place", runs=on.folder / "runs")
        self.finish(anew=True)
        self.expected = self.place.weights()

    def start(self, say: Say) -> None:
        """Train."""
        self.place.train(*self.ends)

    def clear(self) -> None:
        """Take the run away."""
        subprocess.run(["rm", "-rf", self.place.runs], check=True)

    def ended(self, act: Act) -> Ended:
        """How an act in a process of its own ended."""
        ended = run(act, self.folder / "disk.log", watched=False)
        assert "Traceback" not in ended.printed + ended.error, ended.printed + ended.error
        assert ended.printed.count("charlm: error:") == (ended.code != 0), ended.printed
        assert len(records(ended.printed, "log")) <= 1, "the log's trouble is told more than once"
        return ended

    def finish(self, *, anew: bool) -> None:
        """Train to the end, from the beginning or from the last checkpoint."""

        def resume(say: Say) -> None:
            self.place.charlm("train", "--resume", "--run", "r", "--json")

        assert (ended := self.ended(self.start if anew else resume)).code == 0, ended.printed


def full(asked: Asked) -> Count:
    """The training's own checkpoints fill the disk."""
    count = Count(
        what="trainings on a disk that becomes full",
        promise="tried again at each interval; exit code 5 and one line at the end; the last good step stands",
    )
    found = {"all saved": 0, "exit code 5": 0, "nothing begun": 0}
    with count.attempt("with enough room"), disk(asked.folder / "disk", root=False) as on:
        count.notes["made full by"] = on.kind
        trained = Trained(asked, on, *ENDS)
        sizes = SIZES if on.mounted else range(6 << 10, 60 << 10, 2 << 10)
        for size in sizes if not asked.quick else sizes[len(sizes) // 3 :: len(sizes)]:
            with count.attempt(f"{size} bytes"):
                trained.clear()
                ended = trained.ended(on.limited(trained.start, size))
                on.limited(trained.start, ROOM)  # there is room again
                found[_how(ended, trained.place)] += 1
                latest = trained.place.latest()
                if latest != STEPS:
                    trained.finish(anew=latest is None)
                with open_run(trained.place.run).lock():
                    assert trained.place.weights() == trained.expected
                assert leftovers(trained.place.runs) == []
    count.notes.update(found)
    return count


def _how(ended: Ended, place: Place) -> str:
    """Check that what was said of a training on a small disk is true; returns which of three ends it came to."""
    error = next((line for line in ended.printed.splitlines() if line.startswith("charlm: error:")), "")
    latest, saved, intervals = place.latest(), saved_steps(ended.printed), len(records(ended.printed, "save"))
    # a step that was whole when there was no room to point to it is not announced, and is there
    assert (latest or 0) >= max(saved, default=0), f"{saved} were announced, step {latest} is there"
    if ended.code == 0:
        assert latest == STEPS
        return "all saved"
    assert ended.code == 5, f"exit code {ended.code}: {error}"
    if NOT_MADE.match(error):
        assert not place.run.exists()
        assert not records(ended.printed, "train")
        return "nothing begun"
    match = NOT_SAVED.match(error)
    assert match is not None, error
    assert int(match[1] or 0) == (latest or 0), error
    assert place.run.exists() == (latest is not None), "a run without a checkpoint is left"
    assert intervals >= STEPS // EVERY, f"{intervals} attempts to save"
    return "exit code 5"


def freed(asked: Asked) -> Count:
    """Somebody else's file fills the disk, and goes after the first failure."""
    count = Count(
        what="trainings on a disk that was full for a while", promise="it goes on, and all is saved at the end"
    )
    with count.attempt("with enough room"), disk(asked.folder / "disk") as on:
        trained = Trained(asked, on, "--steps", str(asked.of(600, 200)), "--checkpoint-every", "20", "--keep", "1")
        filler = on.folder / "filler"
        wait = f"until grep -q '\"reason\"' disk.printed; do sleep 0.02; done; rm '{filler}'"
        for number in range(asked.of(30, 1)):  # with more room than that it is never full
            with count.attempt(f"filled {number}"):
                trained.clear()
                filler.write_bytes(bytes(ROOM - (60 << 10) - number * (1 << 10)))
                (asked.folder / "disk.printed").unlink()
                with subprocess.Popen(["sh", "-c", wait], cwd=asked.folder, stderr=subprocess.DEVNULL) as other:
                    ended = trained.ended(trained.start)
                    other.kill()
                assert [one for one in records(ended.printed, "save") if "checkpoint" not in one], "it was never full"
                assert ended.code == 0, ended.printed[-300:]
                assert trained.place.weights() == trained.expected
                assert leftovers(trained.place.runs) == []
    return count


def read_only(asked: Asked) -> Count:
    """A disk that cannot be written to, before a training and before it goes on."""
    count = Count(what="trainings on a read-only disk", promise="refused before any training, exit code 5, one line")
    with count.attempt("with enough room"), disk(asked.folder / "disk") as on:
        trained = Trained(asked, on, *ENDS)

        def longer(say: Say) -> None:
            trained.place.charlm("train", "--resume", "--run", "r", "--steps", "20", "--json")

        on.change("ro")
        for name, act in (("anew", trained.start), ("resumed", longer)):
            with count.attempt(name):
                ended = trained.ended(act)
                assert ended.code == 5, ended.printed
                assert not records(ended.printed, "train")
                assert trained.place.weights() == trained.expected
        on.change("rw")
    return count
