"""SIGINT, SIGTERM and SIGHUP, once and SIGINT twice, at random moments and at chosen stages of every long command.

After each: the exit code is 130, 143 or 129, it came within five seconds, nothing that looks like a traceback was
written, the files are sound, and a training that is resumed ends bit for bit as one that nobody disturbed.

    stages      a training, at what it does only now and then: reading, making its folder, evaluating, saving, pruning,
                sampling, measuring number formats, scoring at the end
    moments     a training in a new interpreter, from its very first moment to its very last
    compiling   new interpreters without any machine code on disk
    others      generate, eval, compress and sweep at random moments
    terminals   a training whose terminal is closed
    blocked     a text into a pipe that nobody reads
"""

from __future__ import annotations

import fcntl
import json
import os
import pty
import random
import shutil
import signal
import sys
import termios
import time
from pathlib import Path

from counting import Asked, Count, Part, main
from disturbed import TRAIN, Bench, at_stage, struck_from_outside
from kill_and_resume import SIZE, check_killed
from sittings import READING, SIGNALS, TRAINING, Sitting, announced, preload

PROMISE = "130, 143 or 129 within 5 s, no traceback, files sound, resumed bit for bit"
# What a training does at each stage, by where it is called from.
STAGES = {
    "reading": "charlm.training.decisions:prepare",
    "choosing a machine": "charlm.training.decisions:choose_machine",
    "making the folder": "charlm.training.start:create_run",
    "evaluating": "charlm.training.trainer:evaluate_now",
    "saving": "charlm.runs.saving:_write_step",
    "verifying": "charlm.runs.saving:_verify",
    "announcing": "charlm.runs.saving:_point",
    "pruning": "charlm.runs.saving:prune",
    "sampling": "charlm.training.scoring:NumpyModel",
    "measuring formats": "charlm.training.training:note_precision",
    "scoring at the end": "charlm.training.training:summarise",
}
ONCE_AND_TWICE = [(number, 1) for number in SIGNALS] + [(signal.SIGINT, 2)]


def stages(asked: Asked) -> Count:
    """Signals that a training sends itself."""
    preload(TRAINING)
    count = Count(what="signals to a training at chosen stages", promise=PROMISE)
    bench, draw = Bench(asked, count), random.Random(asked.seed)
    tries = [(stage, how) for stage in STAGES for how in ONCE_AND_TWICE] * 3
    for stage, (number, times) in tries if not asked.quick else draw.sample(tries, 1):
        delays = [draw.choice([0, draw.uniform(0, 0.03)]) for _ in range(times)]
        call = draw.randint(1, 2) if stage in ("evaluating", "saving", "verifying", "announcing", "pruning") else 1
        with count.attempt(f"{stage}, call {call}, {number.name} after {delays}"), bench.training("run") as run:
            before = at_stage(STAGES[stage], call, number, delays, bench.mark)
            sitting = Sitting(bench.place, [*TRAIN, "--run", "run"], before=before)
            assert bench.check(sitting, number), "it did not come to this stage"
            check_killed(run, announced(sitting))
    return count


def moments(asked: Asked) -> Count:
    """Signals to a training from outside."""
    preload(TRAINING)
    count = Count(what="signals to a training at random moments", promise=PROMISE)
    if asked.quick:  # a new interpreter takes seconds
        return count
    bench, draw = Bench(asked, count), random.Random(asked.seed)
    # what a new interpreter opens beside what --version does takes longer yet
    longest = bench.seconds + 3 * bench.place.run("--version", fresh=True).seconds
    for index in range(80):
        number, times = ONCE_AND_TWICE[index % 4]
        delays = [draw.uniform(0, longest) * draw.choice([1, 0.2]), *[draw.uniform(0, 0.2)] * (times - 1)]
        with count.attempt(f"{number.name} after {delays}"), bench.training("run") as run:
            sitting = Sitting(bench.place, [*TRAIN, "--run", "run"], fresh=True)
            struck_from_outside(sitting, number, delays, bench.mark)
            bench.check(sitting, number)
            check_killed(run, announced(sitting))
    return count


def compiling(asked: Asked) -> Count:
    """Signals while loops are compiled, by a training and by a text."""
    preload(TRAINING)
    count = Count(what="signals while loops are compiled", promise=PROMISE)
    if asked.quick:
        return count
    bench, draw = Bench(asked, count), random.Random(asked.seed)
    commands = [[*TRAIN, "--run", "run"], ["generate", "--run", "whole", "--engine", "numba", "--length", "10"]]
    for index in range(24):
        number, times = ONCE_AND_TWICE[index // 2 % 4]
        code = asked.folder / "code"
        delays = [draw.uniform(2, 12), *[draw.uniform(0, 0.5)] * (times - 1)]
        with count.attempt(f"{commands[index % 2][0]}, {number.name} after {delays}"), bench.training("run"):
            environment = bench.place.environment
            bench.place.environment = environment | {"NUMBA_CACHE_DIR": str(code)}
            sitting = Sitting(bench.place, commands[index % 2], fresh=True)
            bench.place.environment = environment
            struck_from_outside(sitting, number, delays, bench.mark)
            bench.check(sitting, number)
        shutil.rmtree(code, ignore_errors=True)
    return count


def others(asked: Asked) -> Count:
    """Signals to the other commands that take a while."""
    preload((*TRAINING, *READING))
    count = Count(what="signals to generate, eval, compress and sweep", promise="the exit code, and all or nothing")
    bench, draw = Bench(asked, count), random.Random(asked.seed)
    folder, place = asked.folder, bench.place
    search = ["sweep", "cats.txt", *SIZE, "--kernels", "torch", "--dtype", "float32", "--threads", "1", "--trials", "2"]
    search += ["--range", "dropout=0.1,0.3", "--steps", "4", "--quiet", "--folder"]
    commands = {
        "generate": ["generate", "--run", "whole", "--seed", "1", "--length", "30000"],
        "eval": ["eval", "--run", "whole", "--split", "all", "--json"],
        "compress": ["compress", "cats.txt", "--run", "whole", "--output", str(folder / "packed"), "--force"],
        "sweep": [*search, str(folder / "sweep")],
    }
    for name, arguments in list(commands.items())[: asked.of(4, 1)]:
        whole = place.run(*arguments)
        packed, found = _packed(folder), _results(folder)
        for index in range(asked.of(30, 1)):
            number, _ = ONCE_AND_TWICE[index % 3]
            for left in ("packed", "sweep"):
                shutil.rmtree(folder / left) if (folder / left).is_dir() else (folder / left).unlink(missing_ok=True)
            delay = draw.uniform(0, 1.1 * whole.seconds)
            with count.attempt(f"{name}, {number.name} after {delay}"):
                sitting = Sitting(place, arguments)
                struck_from_outside(sitting, number, [delay], bench.mark)
                bench.check(sitting, number)
                if name != "sweep":
                    assert whole.output.startswith(sitting.output), "another output"
                    assert name == "generate" or sitting.output in (b"", whole.output), "half an output"
                elif (folder / "sweep" / "sweep.json").exists():
                    place.run("sweep", "--resume", str(folder / "sweep"), "--quiet")
                    assert _results(folder) == found, "another result"
                assert _packed(folder) in (None, packed), "half a file"
                assert not list(folder.glob("packed.*")), "a temporary file"
    return count


def _packed(folder: Path) -> bytes | None:
    path = folder / "packed"
    return path.read_bytes() if path.exists() else None


def _results(folder: Path) -> list[dict[str, object]]:
    """What a sweep found, but for the time it took."""
    path = folder / "sweep" / "results.jsonl"
    records = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    return [{name: one for name, one in record.items() if name not in ("seconds", "crc")} for record in records]


def terminals(asked: Asked) -> Count:
    """A terminal that is closed while a training draws on it."""
    preload(TRAINING)
    count = Count(what="trainings whose terminal was closed", promise="129, saved, resumed bit for bit")
    if asked.quick:
        return count
    bench, draw = Bench(asked, count), random.Random(asked.seed)
    arguments = [word for word in TRAIN if word != "--json"]
    for kind in ["xterm-256color", "dumb"] * 15:
        with count.attempt(f"TERM={kind}"), bench.training("run") as run:
            pid, terminal = pty.fork()
            if not pid:
                os.chdir(bench.place.folder)
                command = [sys.executable, "-m", "charlm", *arguments, "--run", "run"]
                os.execve(sys.executable, command, bench.place.environment | {"TERM": kind})
            while not (run / "metrics.jsonl").exists():
                os.read(terminal, 2**16)
            time.sleep(draw.uniform(0, 0.2))
            os.close(terminal)
            code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
            assert code in (129, 0, -signal.SIGHUP), f"exit {code}"
            last = json.loads((run / "metrics.jsonl").read_text().splitlines()[-1])
            assert last["kind"] == "stop", f"the last record is of {last['kind']}"
    return count


def blocked(asked: Asked) -> Count:
    """A text that goes on and on into a pipe that is full."""
    preload(READING)
    count = Count(what="signals to a text that waits for a reader", promise=PROMISE)
    if asked.quick:
        return count
    bench = Bench(asked, count)
    for number in SIGNALS * 5:
        with count.attempt(number.name):
            reader, writer = os.pipe()
            # fresh: the streams of a fork are not those that an interpreter starts with
            arguments = ["generate", "--run", "whole", "--length", str(10**9)]
            sitting = Sitting(bench.place, arguments, fresh=True, output=writer)
            os.close(writer)
            while _is_writing(reader, sitting):
                assert sitting.code is None, f"it has ended: {sitting.errors}"
            struck_from_outside(sitting, number, [0], bench.mark)
            assert bench.check(sitting, number), "it was not blocked"
            os.close(reader)
    return count


def _is_writing(reader: int, sitting: Sitting) -> bool:
    """Whether more comes into the pipe within half a second, or nothing has come yet."""
    waiting = []
    for _ in range(2):
        held = fcntl.ioctl(reader, termios.FIONREAD, b"\0" * 4)
        waiting.append(int.from_bytes(held, sys.byteorder))
        sitting.wait(0.5)
    return waiting[0] != waiting[1] or not waiting[0]


PARTS: dict[str, Part] = {
    "stages": stages,
    "moments": moments,
    "compiling": compiling,
    "others": others,
    "terminals": terminals,
    "blocked": blocked,
}

if __name__ == "__main__":
    sys.exit(main("signals", PARTS, __doc__))
