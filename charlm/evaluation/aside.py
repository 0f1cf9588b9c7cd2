"""Baselines computed beside a training: another process has them ready by the time that somebody asks.

On a text of some megabytes they take seconds, most of them xz, and a training can do without them until its end. The
other process leaves what it finds where `remembered_baselines` looks for it, and does nothing else: where it cannot
be started, or ends before its time, the baselines are computed by whoever asks.
"""

from __future__ import annotations

import contextlib
import json
import lzma
import math
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path

from charlm.config.folders import cache_folder
from charlm.evaluation.baselines import BASELINES, XZ_PRESET, baseline_scores, text_bytes, xz_tail
from charlm.evaluation.predictions import Ids
from charlm.evaluation.remembered import known_baselines, remember, remembered_baselines
from charlm.evaluation.score import Score
from charlm.evaluation.tally import score_of_total
from charlm.runs import Data
from charlm.runs.data import STORES, store_key
from charlm.streams import open_store
from charlm.tokenizers import Tokenizer, load_tokenizer

# With fewer symbols to learn from, another process would take longer to start than all baselines take.
FEWEST = 2**19
# Parts that somebody asks for, the one that a training asks for first.
ASKED_FOR = ("validation", "test")
NICENESS = 5
PATIENCE = 0.02  # seconds between two looks

# subtle: not `-m`, which would look for charlm in the folder where the user happens to be
START = "import json, sys; sys.path[:] = json.loads(sys.argv[1]); from charlm.evaluation import aside; aside.main()"


class BaselinesAside:
    """Baselines of a part of a text, on their way.

    Args:
        folder: where the text's tokenizer is saved.
    """

    def __init__(self, data: Data, part: str, folder: Path) -> None:
        self._data, self._part = data, part
        self._process: subprocess.Popen[bytes] | None = None
        if len(data.store.part("train")) < FEWEST or known_baselines(data, part) is not None:
            return
        key = store_key(data.facts, data.tokenizer.fingerprint)
        command = [sys.executable, "-c", START, json.dumps(sys.path), key, str(folder.absolute())]
        quiet, alone = subprocess.DEVNULL, dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"), "1")
        with contextlib.suppress(OSError):
            self._process = subprocess.Popen(
                command,
                stdin=quiet,
                stdout=quiet,
                stderr=quiet,
                env=os.environ | alone,
                # the first Ctrl-C is for the training, which asks for these when it ends
                start_new_session=True,
            )

    def scores(self) -> dict[str, Score]:
        """The scores, by name; waits for them."""
        while self._process is not None and self._process.poll() is None:
            if known_baselines(self._data, self._part) is not None:
                break
            time.sleep(PATIENCE)
        return remembered_baselines(self._data, self._part)

    def stop(self) -> None:
        """Nobody will ask."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()


def main() -> None:
    """The other process: remember the baselines of all parts that are asked for; argv as `BaselinesAside` has it."""
    key, folder = sys.argv[2:]
    with contextlib.suppress(OSError):
        os.nice(NICENESS)
    store, tokenizer = open_store(cache_folder() / STORES, key), load_tokenizer(Path(folder))
    if store is None:
        raise SystemExit(1)
    texts = {part: store.part(part) for part in ASKED_FOR if part in store.parts and len(store.part(part)) > 1}
    for part, scores in scores_of_parts(store.part("train"), texts, tokenizer):
        remember(key, part, scores)


def scores_of_parts(
    train_ids: Ids, texts: Mapping[str, Ids], tokenizer: Tokenizer
) -> Iterator[tuple[str, dict[str, Score]]]:
    """`baseline_scores` of several texts, xz having read the training text once for all of them.

    That one goes on in copies of this process, which must have no threads. Where there are no copies, it reads anew.
    """
    if not hasattr(os, "fork"):
        yield from ((part, baseline_scores(train_ids, ids, tokenizer)) for part, ids in texts.items())
        return
    compressor = lzma.LZMACompressor(lzma.FORMAT_XZ, preset=XZ_PRESET)
    begun = len(compressor.compress(xz_tail(train_ids, tokenizer)))

    def size(ids: Ids) -> int:
        pieces = text_bytes(ids, tokenizer)
        return begun + sum(len(compressor.compress(piece)) for piece in pieces) + len(compressor.flush())

    for part, ids in texts.items():
        scores = baseline_scores(train_ids, ids, tokenizer, [name for name in BASELINES if name != "xz"])
        added = max(0, _in_copy(partial(size, ids)) - _in_copy(partial(size, ids[:1])))
        yield part, scores | {"xz": score_of_total(added * 8 * math.log(2), ids, tokenizer)}


def _in_copy(work: Callable[[], int]) -> int:
    """What `work` gives, done by a copy of this process: here nothing has happened. ValueError where it fails."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        with contextlib.suppress(BaseException):
            os.write(writer, str(work()).encode())
        # subtle: not sys.exit, which would end what the copied process has open a second time
        os._exit(0)
    os.close(writer)
    with open(reader, "rb") as answer:
        found = answer.read()
    os.waitpid(child, 0)
    return int(found)
