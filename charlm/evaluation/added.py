"""Additions put on top of a model, tuned, and scored: their figures, to stand beside the model's own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from charlm.corpora import NoProgress, Progress
from charlm.errors import ConfigError
from charlm.evaluation.additions import Addition, Learning, in_order
from charlm.evaluation.predictions import Ids
from charlm.evaluation.protocols import Protocol, StreamProtocol
from charlm.evaluation.reading import Advance, Block, ProtocolReader, Reader, choose_lanes
from charlm.evaluation.score import Score
from charlm.evaluation.tally import Tally
from charlm.evaluation.tuning import TuningText
from charlm.tokenizers import Tokenizer

if TYPE_CHECKING:
    from charlm.evaluation.scorers import Scorer


@dataclass(frozen=True, kw_only=True)
class Added:
    """How well a model predicts a text with an addition, on top of those before it.

    Attributes:
        score: totals and denominators, of the same symbols as the model's own.
        interval: 95 % interval of nats per character; None for a text too short for one.
        tuned: the numbers that were tuned.
        tuned_on: on what, in words.
        words: what is done, for a reader: a part of the protocol.
    """

    score: Score
    interval: tuple[float, float] | None
    tuned: Mapping[str, float]
    tuned_on: str
    words: str


def check_additions(names: Iterable[str], protocol: Protocol, precision: str) -> tuple[str, ...]:
    """The names in the order of ADDITIONS.

    Raises:
        UnknownNameError: a name that is not in ADDITIONS.
        ConfigError: a protocol or precision that they cannot be put on.
    """
    kinds = in_order(names)
    if kinds and not isinstance(protocol, StreamProtocol):
        raise ConfigError(
            f"additions ({', '.join(kinds)}) read one long text: protocol must be stream, was {protocol.name}"
        )
    inside = [name for name, kind in kinds.items() if kind.inside]
    if inside and precision not in ("auto", "exact"):
        raise ConfigError(f"precision must be exact with {' and '.join(inside)}, was {precision}")
    return tuple(kinds)


def score_added(
    names: Iterable[str],
    ids: Ids,
    tokenizer: Tokenizer,
    text: TuningText,
    *,
    protocol: StreamProtocol,
    scorer: Scorer,
    inside: Callable[[], Scorer],
    progress: Progress | None = None,
) -> dict[str, Added]:
    """Score `ids` (N,), every one but the first exactly once, with additions on top of one another.

    Args:
        names: in any order; each figure is with all that stand before it in ADDITIONS.
        text: what they learn from and are tuned on.
        protocol: of it, the number of lanes, where it says one.
        scorer: reads where losses are all that is needed.
        inside: opens a scorer with a torch model, where more is needed.

    Raises:
        UnknownNameError: a name that is not in ADDITIONS.
        CorpusError: an addition has nothing to learn from.
    """
    report = progress or NoProgress()
    kinds = in_order(names)
    lanes = min(protocol.lanes or choose_lanes(len(ids) - 1), max(1, len(ids) - 1))
    learning = Learning(text=text, vocab_size=tokenizer.vocab_size, lanes=lanes)
    looks_inside = any(kind.inside for kind in kinds.values())
    scorer = inside() if looks_inside else scorer
    with scorer.in_use():
        reader = _reader(scorer, protocol, lanes, looks_inside)
        levels: dict[str, _Level] = {}
        for name, kind in kinds.items():
            reader = levels[name] = _Level(kind.open()(reader, learning), tokenizer)
            report.start(f"tuning {name}", None)
            levels[name].addition.tune(report.advance)
            report.finish()
        report.start(f"scoring with {', '.join(kinds)}", max(0, len(ids) - 1))
        for _ in reader.read(ids, report.advance):
            pass  # what it comes to is added up on the way
        report.finish()
    return {name: level.found(text.words) for name, level in levels.items()}


def _reader(scorer: Scorer, protocol: StreamProtocol, lanes: int, looks_inside: bool) -> Reader:
    """What reads below all additions."""
    if not looks_inside:
        return ProtocolReader(scorer.model, protocol)
    from charlm.evaluation.lane_reader import LaneReader

    return LaneReader(scorer.model, lanes)


class _Level:
    """An addition that adds up what passes through it: one reading gives the figures of all."""

    def __init__(self, addition: Addition, tokenizer: Tokenizer) -> None:
        self.addition = addition
        self._tokenizer = tokenizer

    def read(self, ids: Ids, advance: Advance = None, /) -> Iterator[Block]:
        self._tally = Tally(self._tokenizer, max(0, len(ids) - 1))
        for block in self.addition.read(ids, advance):
            places = block.places[block.counted]
            self._tally.add_at(places - 1, block.nats[block.counted], ids[places])
            yield block

    def found(self, tuned_on: str) -> Added:
        """The figures of the last reading."""
        addition = self.addition
        return Added(
            score=self._tally.score,
            interval=self._tally.interval,
            tuned=dict(addition.tuned),
            tuned_on=tuned_on,
            words=addition.words,
        )
