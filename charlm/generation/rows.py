"""Samples under way: what each has written, and how engines of either kind take them on."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from charlm.errors import RunError
from charlm.generation.pieces import DrawingEngine, Ending, Engine, Piece
from charlm.generation.sampler import EXPLODED, Sampler
from charlm.generation.text import Growth, Rules
from charlm.runtime import RECENT, Drawing, State, select
from charlm.tokenizers import Tokenizer

# What a chunk may take, so that a reader sees text flow and Ctrl-C is heard. The first is one id; the next is twice as
# long after one that took less than half of this, and half as long after one that took more.
CHUNK_SECONDS = 0.05


class Row:
    """One sample under way."""

    def __init__(self, sample: int, sampler: Sampler, given: bytes) -> None:
        """`given`: as of `Growth`."""
        self.sample = sample
        self.sampler = sampler
        self.growth = Growth(given=given)
        self.waiting: list[str] = []
        self.tokens = 0
        self.nats = 0.0
        self.reason: str | None = None

    def extend(self, chosen: int, nats: float, pieces: Pieces, rules: Rules) -> None:
        """Add one id that was drawn. Raises `RunError` for one drawn from what is not finite."""
        if math.isnan(nats):
            raise RunError(EXPLODED)
        text, self.growth, self.reason = rules.grow(self.growth, pieces[chosen])
        self.tokens += 1
        self.nats += nats
        if text:
            self.waiting.append(text)

    def extend_all(self, ids: Sequence[int], nats: npt.NDArray[np.float64], pieces: Pieces, rules: Rules) -> None:
        """Add ids (T,) up to the one that ends the text. Raises `RunError` as `extend` does."""
        text, growth, reason = rules.grow(self.growth, b"".join(map(pieces.__getitem__, ids)))
        # one after the other: chunks end where the clock says, and the sum is the same wherever that is
        total = float(np.concatenate([[self.nats], nats]).cumsum()[-1])
        if reason is None and not math.isnan(total):
            self.growth, self.tokens, self.nats = growth, self.tokens + len(ids), total
            if text:
                self.waiting.append(text)
            return
        for chosen, own in zip(ids, nats.tolist(), strict=True):
            self.extend(chosen, own, pieces, rules)
            if self.reason is not None:
                return

    def flush(self) -> Iterator[Piece]:
        """What was written since the last call."""
        text, self.waiting = "".join(self.waiting), []
        ending = None
        if self.reason is not None:
            ending = Ending(reason=self.reason, characters=self.growth.characters, tokens=self.tokens, nats=self.nats)
        if text or ending:
            yield Piece(sample=self.sample, text=text, ending=ending)


class Pieces(dict[int, bytes]):
    """The bytes of each id, looked up once."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        super().__init__()
        self._tokenizer = tokenizer

    def __missing__(self, chosen: int) -> bytes:
        self[chosen] = piece = self._tokenizer.piece_bytes(chosen)
        return piece


def one_by_one(
    model: Engine, pieces: Pieces, rules: Rules, rows: list[Row], logits: npt.NDArray[np.float32], state: State
) -> Iterator[None]:
    """Each time it is asked: one more id for every row that has not ended; rows that have take no more steps.

    logits: (1, V), state: of one row, both after the prompt.
    """
    live = rows
    logits, state = np.repeat(logits, len(rows), axis=0), select(state, [0] * len(rows))
    while True:
        ids = np.empty(len(live), dtype=np.int64)
        for index, (row, line) in enumerate(zip(live, logits, strict=True)):
            ids[index], nats = row.sampler.draw(line)
            row.extend(int(ids[index]), nats, pieces, rules)
        going = [index for index, row in enumerate(live) if row.reason is None]
        yield
        if not going:
            return
        if len(going) < len(live):
            live, ids, state = [live[index] for index in going], ids[going], select(state, going)
        logits, state = model.step(ids, state)


def in_chunks(
    model: DrawingEngine,
    pieces: Pieces,
    rules: Rules,
    rows: list[Row],
    drawing: npt.NDArray[np.float64],
    prompt: npt.NDArray[Any],
    state: State,
) -> Iterator[None]:
    """As `one_by_one`, several ids each time it is asked; a row may draw some past its end, which count nothing.

    drawing: what `rules_of` gives; prompt: (T,) ids, T >= 1; state: of one row, before the last of them.
    """
    live, steps = rows, 1
    texts = _drawing(drawing, len(rows), prompt, state)
    while live:
        began = time.perf_counter()
        steps = min(steps, max(rules.length - row.growth.characters for row in live))
        drawn, nats = model.draw(texts, np.stack([row.sampler.uniforms(steps) for row in live]))
        trouble = None
        for row, ids, own in zip(live, drawn.tolist(), nats, strict=True):
            try:
                row.extend_all(ids, own, pieces, rules)
            except RunError as error:
                trouble = error
        took = time.perf_counter() - began
        if took < CHUNK_SECONDS / 2:
            steps *= 2
        elif took > CHUNK_SECONDS:
            steps = max(1, steps // 2)
        yield
        if trouble is not None:  # what was written before it is out
            raise trouble
        going = [index for index, row in enumerate(live) if row.reason is None]
        if len(going) < len(live):
            live = [live[index] for index in going]
            texts = texts.select(going)


def _drawing(rules: npt.NDArray[np.float64], N: int, prompt: npt.NDArray[Any], state: State) -> Drawing:
    """N texts that stand at the end of the prompt."""
    last = np.asarray(prompt[-RECENT:], dtype=np.int64)
    recent = np.zeros((N, RECENT), dtype=np.int64)
    recent[:, : len(last)] = last
    return Drawing(
        ids=np.repeat(last[-1:], N),
        state=select(state, [0] * N),
        rules=rules,
        recent=recent,
        written=np.full(N, len(last), dtype=np.int64),
    )
