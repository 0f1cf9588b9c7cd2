"""What ``charlm generate`` does once its flags are read: load, write as the text is made."""

from __future__ import annotations

import dataclasses
import secrets
from collections.abc import Iterator
from typing import Any

from charlm.api import DRAWN_SEEDS, load
from charlm.cli import console
from charlm.cli.progress import note_compiling
from charlm.config import SamplingConfig
from charlm.generation import Ending, Piece, generate, notices


def write(sampling: SamplingConfig, *, run: str | None, json: bool) -> None:
    """Write the texts to standard output as they are made."""
    if sampling.prompt == "-":
        sampling = dataclasses.replace(sampling, prompt=console.read_standard_input())
    model = load(run)
    for notice in (*model.checkpoint.notices, *notices(sampling, model.tokenizer.vocab_size)):
        console.note(notice)
    seed = secrets.randbelow(DRAWN_SEEDS) if sampling.seed is None else sampling.seed
    engine = model.engine(sampling.engine, sampling.precision, on_compile=note_compiling)
    text = model.training_text() if sampling.max_copy is not None else None
    pieces = generate(engine, model.tokenizer, sampling, seed, training_text=text)
    if json:
        facts = {"run": model.run.name, "checkpoint": model.checkpoint.folder.name, "seed": seed}
        write_records(pieces, {"prompt": sampling.prompt, **facts})
        return
    if sampling.seed is None and sampling.draws:
        # before the text, which in a pipe may end in the middle of a line
        console.note(f"seed {seed}")
    write_texts(pieces, several=sampling.samples > 1)


def write_texts(pieces: Iterator[Piece], *, several: bool) -> None:
    """Text as it comes. Several texts are told apart by a line with their number before each."""
    out = console.DataWriter()
    begun = -1
    for piece in pieces:
        if several and piece.sample != begun:
            begun = piece.sample
            out.write(f"{'' if begun == 0 else chr(10)}--- {begun + 1} ---\n")
        out.write(piece.text)
    out.end_line()


def write_records(pieces: Iterator[Piece], facts: dict[str, Any]) -> None:
    """A line of JSON for each text, written while it is made: with its prompt, and how to get it again."""
    line = console.JsonLine()
    for piece in pieces:
        if not line.begun:
            line.begin({"sample": piece.sample}, "text")
        line.write(piece.text)
        if piece.ending is not None:
            line.end({**_ending(piece.ending), **facts})


def _ending(ending: Ending) -> dict[str, Any]:
    # what the text was made of is for its making; how it ended is for its reader
    return {"ended_by": ending.reason, "characters": ending.characters, "tokens": ending.tokens, "nats": ending.nats}
