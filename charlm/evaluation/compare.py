"""Two runs on one text: who needs fewer bits, how sure that is, and where.

Losses are put on characters, so that runs of different tokenizers can be compared: the loss of a piece of several
characters is shared evenly among them, and the bytes of a character are added up.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from charlm.config import CorpusConfig
from charlm.corpora import NoProgress, Progress
from charlm.errors import ConfigError, CorpusError, RunError
from charlm.evaluation.bootstrap import block_starts, bootstrap_interval
from charlm.evaluation.familiar import notices_of
from charlm.evaluation.of_run import check_split, first_that_predicts, ids_of
from charlm.evaluation.predictions import Ids, join_predictions
from charlm.evaluation.protocols import StreamProtocol
from charlm.evaluation.scorers import open_scorer
from charlm.evaluation.unknown import words_of_spelled
from charlm.runs import Checkpoint, Data, Run, open_run_data, prepare
from charlm.runs.data import refuse_read_once, text_change
from charlm.tokenizers import Tokenizer

Numbers = npt.NDArray[np.float64]

PASSAGE = 80
"""Characters of a passage."""
PASSAGES = 3
CLASSES: dict[str, Callable[[str], bool]] = {
    "letters": str.isalpha,
    "digits": str.isnumeric,
    "newline": lambda character: character in "\n\r",
    "space": str.isspace,
    "punctuation": str.isprintable,
    "other": lambda character: True,
}
"""Kinds of characters: each is of the first kind that it fits."""


@dataclass(frozen=True, kw_only=True)
class Passage:
    """A stretch of text: where it begins, in characters, and how many bits the one run needs less than the other."""

    position: int
    text: str
    bits_gained: float


@dataclass(frozen=True, kw_only=True)
class OfClass:
    """The characters of one kind, and the bits per character that each run needs for them."""

    name: str
    characters: int
    bits: tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class RunComparison:
    """Two runs on the same characters. All figures are bits per character; pairs are of the first and second run.

    Attributes:
        runs, checkpoints: by name.
        text: what it is called.
        split: of the runs' own text, or all of another.
        characters: that both predicted.
        bits: of each run.
        difference: the second's bits less the first's; below 0 where the second is better.
        interval: 95 % interval of it; None for a text too short for one.
        classes: by kind of character, where there are some.
        gains: for each run, the passages where it gains most over the other, the largest first.
        notices: lines for the user.
    """

    runs: tuple[str, str]
    checkpoints: tuple[str, str]
    text: str
    split: str
    characters: int
    bits: tuple[float, float]
    difference: float
    interval: tuple[float, float] | None
    classes: tuple[OfClass, ...]
    gains: tuple[tuple[Passage, ...], tuple[Passage, ...]]
    notices: tuple[str, ...] = ()

    def to_json(self) -> dict[str, object]:
        """What `charlm compare --json` prints."""
        return {
            "runs": list(self.runs),
            "checkpoints": list(self.checkpoints),
            "text": self.text,
            "split": self.split,
            "characters": self.characters,
            "bits_per_character": list(self.bits),
            "difference": self.difference,
            "interval": None if self.interval is None else list(self.interval),
            "classes": {one.name: {"characters": one.characters, "bits": list(one.bits)} for one in self.classes},
            "gains": [[vars(passage) for passage in passages] for passages in self.gains],
        }


def compare_runs(
    pair: tuple[tuple[Run, Checkpoint], tuple[Run, Checkpoint]],
    *,
    corpus: CorpusConfig | None = None,
    split: str | None = None,
    device: str = "auto",
    threads: int | None = None,
    progress: Progress | None = None,
    on_compile: Callable[[], None] | None = None,
) -> RunComparison:
    """Score one text with both runs, as one long stream, and compare character by character.

    Args:
        corpus: a text; None for the runs' own, which must be the same.
        split: of it; None for test (validation where there is none), and for all of another text.
        on_compile: told when a loop has to be compiled, which takes seconds, once on a machine.

    Raises:
        ConfigError: no text given, and the runs' own differ.
        CorpusError: a text that cannot be read, has no such split or too little to predict, or that a tokenizer does
            not keep whole.
        RunError: a loss that is not finite.
    """
    check_split(split)
    data = _texts((pair[0][0], pair[1][0]), corpus, split in (None, "all"), progress)
    split = split or (first_that_predicts(data[0]) if corpus is None else "all")
    ids = tuple(ids_of(one, split) for one in data)
    texts = tuple(one.tokenizer.decode(part) for one, part in zip(data, ids, strict=True))
    nats, notices = [], [*data[0].notices]
    if texts[0] != texts[1]:
        raise CorpusError("the tokenizers of the two runs do not keep the same characters: one of them drops some")
    for (run, checkpoint), part in zip(pair, ids, strict=True):
        if corpus is not None:
            said = [*notices_of(run, part, progress), words_of_spelled(run.tokenizer, part)]
            notices += [f"{run.name}: {line}" for line in said if line]
        elif split in ("train", "all"):
            notices.append(f"{run.name} was trained on this text ({split}), so its figure says little")
        scorer = open_scorer(run, checkpoint, device, threads, "auto", "exact", on_compile)
        report = progress or NoProgress()
        report.start(f"scoring with {run.name}", max(0, len(part) - 1))
        with scorer.in_use():
            found = join_predictions(StreamProtocol().pieces(scorer.model, part, advance=report.advance))
        report.finish()
        if not np.isfinite(found.nats).all():
            raise RunError(f"run {run.name} gives this text losses that are no finite numbers: nothing to compare")
        nats.append(per_character(run.tokenizer, part, found.nats.astype(np.float64), len(texts[0])))
        notices += scorer.notices
    return compare_losses(
        texts[0],
        nats[0],
        nats[1],
        runs=(pair[0][0].name, pair[1][0].name),
        checkpoints=(pair[0][1].folder.name, pair[1][1].folder.name),
        name=data[0].corpus_name,
        split=split,
        notices=tuple(dict.fromkeys(notices)),
    )


def compare_losses(
    text: str,
    one: Numbers,
    other: Numbers,
    *,
    runs: tuple[str, str],
    checkpoints: tuple[str, str],
    name: str,
    split: str,
    notices: tuple[str, ...] = (),
) -> RunComparison:
    """Compare losses (N,), in nats, of the characters of a text; nan where a run predicted nothing.

    Args:
        runs, checkpoints, split, notices: as `RunComparison` has them.
        name: what the text is called.

    Raises:
        CorpusError: no character that both predicted.
    """
    start = int(max(np.isnan(one).sum(), np.isnan(other).sum()))
    text, pair = text[start:], np.stack([one[start:], other[start:]]) / math.log(2)
    if not text:
        raise CorpusError("0 predictions: the first symbol of a text is only read, so there is nothing to compare")
    gained = pair[0] - pair[1]  # by the second
    low, high = pair.mean(axis=1).tolist()
    return RunComparison(
        runs=runs,
        checkpoints=checkpoints,
        text=name,
        split=split,
        characters=len(text),
        bits=(low, high),
        difference=high - low,
        interval=_interval(-gained),
        classes=_classes(text, pair),
        gains=(_passages(text, -gained, start), _passages(text, gained, start)),
        notices=notices,
    )


def per_character(tokenizer: Tokenizer, ids: Ids, nats: Numbers, characters: int) -> Numbers:
    """The losses (N - 1,) of all ids (N,) but the first, put on the characters of their text; nan for the first id's.

    Raises:
        CorpusError: the ids are no whole characters.
    """
    counts = tokenizer.characters_per_id[ids].astype(np.int64)
    ends = np.cumsum(counts)
    if len(ids) and (int(ends[-1]) != characters or not counts[0]):
        raise CorpusError("the text is not UTF-8 throughout: runs are compared character by character")
    # an id that begins no character goes on with the one before
    shares = np.maximum(counts, 1)[1:]
    begin = np.where(counts > 0, ends - counts, ends - 1)[1:]
    within = np.arange(int(shares.sum())) - np.repeat(np.cumsum(shares) - shares, shares)
    places = np.repeat(begin, shares) + within
    found: Numbers = np.bincount(places, np.repeat(nats / shares, shares), characters).astype(np.float64)
    found[: int(counts[:1].sum())] = np.nan
    return found


def _texts(
    runs: tuple[Run, Run], corpus: CorpusConfig | None, whole: bool, progress: Progress | None
) -> tuple[Data, Data]:
    """The text as either run has it; one that is given, `whole` or in its parts."""
    if corpus is not None:
        refuse_read_once(corpus, "compare")
        one = prepare(corpus, runs[0].tokenizer, whole=whole, progress=progress)
        return one, prepare(corpus, runs[1].tokenizer, whole=whole)
    facts = [run.facts.get("corpus", {}) for run in runs]
    if text_change(facts[0], {"sha256": None, "parts": None, "characters": 0, "split": "", **facts[1]}) is not None:
        raise ConfigError(
            f"the runs {runs[0].name} and {runs[1].name} were made with different texts, or splits of one: "
            "name a FILE to compare them on"
        )
    return open_run_data(runs[0], progress=progress), open_run_data(runs[1])


def _interval(differences: Numbers) -> tuple[float, float] | None:
    """Of the mean of paired differences (n,), in their unit."""
    starts = block_starts(len(differences))
    sizes = np.diff(np.append(starts, len(differences)))
    return bootstrap_interval(np.add.reduceat(differences, starts), sizes)


def _classes(text: str, bits: Numbers) -> tuple[OfClass, ...]:
    """bits: (2, N)"""
    codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4")
    known, places = np.unique(codes, return_inverse=True)
    tests = list(CLASSES.values())
    kinds = np.array([next(i for i, test in enumerate(tests) if test(chr(code))) for code in known.tolist()])[places]
    found = []
    for number, name in enumerate(CLASSES):
        inside = kinds == number
        if inside.any():
            low, high = bits[:, inside].mean(axis=1).tolist()
            found.append(OfClass(name=name, characters=int(inside.sum()), bits=(low, high)))
    return tuple(found)


def _passages(text: str, gained: Numbers, start: int) -> tuple[Passage, ...]:
    """The passages with the largest gains (N,), of those that gain."""
    starts = np.arange(0, len(gained), PASSAGE)
    totals = np.add.reduceat(gained, starts)
    best = starts[np.argsort(-totals, kind="stable")[:PASSAGES]].tolist()
    return tuple(
        Passage(position=start + at, text=text[at : at + PASSAGE], bits_gained=float(totals[at // PASSAGE]))
        for at in best
        if totals[at // PASSAGE] > 0
    )
