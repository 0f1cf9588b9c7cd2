"""Texts from a model, piece by piece."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from charlm.config import SamplingConfig
from charlm.errors import ConfigError, RunError, TokenizerError
from charlm.generation.beam import beam_search
from charlm.generation.pieces import Ending, Engine, Piece
from charlm.generation.sampler import RECENT, Sampler
from charlm.generation.text import Growth, Rules
from charlm.runtime import State, select
from charlm.tokenizers import Tokenizer

# Samples that run side by side.
BATCH = 64
# Characters that may wait for their turn: longer samples run in smaller batches, in the end one by one.
WAITING = 2**22


def generate(
    model: Engine, tokenizer: Tokenizer, sampling: SamplingConfig, seed: int, batch_size: int = BATCH
) -> Iterator[Piece]:
    """Write `sampling.samples` texts; the pieces of sample 0 come first and as they are made, then those of 1, ...

    Sample i depends on the model, the settings, `seed` and i alone: not on how many samples there are or
    how many run side by side. Memory is flat in `sampling.length`. Each sample begins with its prompt as a
    piece of its own (none where the prompt is empty) and ends with a piece that has an `ending`.

    Args:
        sampling: its `seed` is not looked at, and a prompt of ``-`` is a dash.
        batch_size: at most this many samples side by side; a matter of speed only.

    Raises:
        ConfigError: settings that exclude each other; an empty stop string; a negative seed.
        TokenizerError: a prompt that the vocabulary cannot represent, under `sampling.unknown`.
        RunError: model and tokenizer are not of one run, or the model's output is not finite.
    """
    if model.vocab_size != tokenizer.vocab_size:
        raise RunError(
            f"the vocabulary does not match: the model has {model.vocab_size} symbols, "
            f"the tokenizer {tokenizer.vocab_size}"
        )
    if batch_size < 1:
        raise ConfigError(f"batch_size must be a whole number >= 1, was {batch_size}")
    rules = Rules(sampling.length, sampling.stop)
    prompt = first_ids(tokenizer, sampling)
    if sampling.beam is not None:
        return beam_search(model, tokenizer, sampling, rules, prompt)
    return _sample(model, tokenizer, sampling, seed, rules, prompt, batch_size)


def first_ids(tokenizer: Tokenizer, sampling: SamplingConfig) -> npt.NDArray[Any]:
    """What the model reads before it writes: the prompt's ids (T,), T >= 1.

    Without a prompt it reads a newline, as if a line had just ended; in a vocabulary that has none, id 0.
    """
    ids = tokenizer.encode(sampling.prompt, sampling.unknown)
    if len(ids):
        return ids
    try:
        ids = tokenizer.encode("\n", "error")
    except TokenizerError:
        ids = ids[:0]
    return ids if len(ids) else np.zeros(1, dtype=np.int64)


class _Row:
    """One sample under way."""

    def __init__(self, sample: int, sampler: Sampler) -> None:
        self.sample = sample
        self.sampler = sampler
        self.growth = Growth()
        self.waiting: list[str] = []
        self.tokens = 0
        self.nats = 0.0
        self.reason: str | None = None

    def extend(self, logits: npt.NDArray[np.float32], tokenizer: Tokenizer, rules: Rules) -> int:
        """Draw one id from logits (V,)."""
        chosen, nats = self.sampler.draw(logits)
        text, self.growth, self.reason = rules.grow(self.growth, tokenizer.piece_bytes(chosen))
        self.tokens += 1
        self.nats += nats
        if text:
            self.waiting.append(text)
        return chosen

    def flush(self) -> Iterator[Piece]:
        """What was written since the last call."""
        text, self.waiting = "".join(self.waiting), []
        ending = None
        if self.reason is not None:
            ending = Ending(reason=self.reason, characters=self.growth.characters, tokens=self.tokens, nats=self.nats)
        if text or ending:
            yield Piece(sample=self.sample, text=text, ending=ending)


def _sample(
    model: Engine,
    tokenizer: Tokenizer,
    sampling: SamplingConfig,
    seed: int,
    rules: Rules,
    prompt: npt.NDArray[Any],
    batch_size: int,
) -> Iterator[Piece]:
    logits, state = model.prime(prompt)
    size = max(1, min(batch_size, WAITING // max(1, rules.length)))
    recent = prompt[-RECENT:].tolist()
    for start in range(0, sampling.samples, size):
        rows = [
            _Row(sample, Sampler(sampling, seed, sample, recent))
            for sample in range(start, min(start + size, sampling.samples))
        ]
        yield from _batch(model, tokenizer, sampling.prompt, rules, rows, logits, state)


def _batch(
    model: Engine,
    tokenizer: Tokenizer,
    prompt: str,
    rules: Rules,
    rows: list[_Row],
    logits: npt.NDArray[np.float32],
    state: State,
) -> Iterator[Piece]:
    """Take all rows to their ends side by side; pieces leave in the order of the samples."""
    steps = _steps(model, tokenizer, rules, rows, logits, state)
    for row in rows:
        if prompt:
            yield Piece(sample=row.sample, text=prompt, is_prompt=True)
        yield from row.flush()
        while row.reason is None:
            next(steps, None)
            yield from row.flush()


def _steps(
    model: Engine,
    tokenizer: Tokenizer,
    rules: Rules,
    rows: list[_Row],
    logits: npt.NDArray[np.float32],
    state: State,
) -> Iterator[None]:
    """Each time it is asked: one more id for every row that has not ended; rows that have take no more steps."""
    if rules.length == 0:
        for row in rows:
            row.reason = "length"
        return
    live = rows
    logits, state = np.repeat(logits, len(rows), axis=0), select(state, [0] * len(rows))
    while True:
        ids = np.array([row.extend(line, tokenizer, rules) for row, line in zip(live, logits, strict=True)])
        going = [index for index, row in enumerate(live) if row.reason is None]
        yield
        if not going:
            return
        if len(going) < len(live):
            live, ids, state = [live[index] for index in going], ids[going], select(state, going)
        logits, state = model.step(ids, state)
