"""A model, a text and a protocol in; every figure with its denominators out."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from charlm.evaluation.predictions import Ids
from charlm.evaluation.protocols import Protocol, StreamProtocol
from charlm.evaluation.score import Score
from charlm.evaluation.scoring_engine import ScoringEngine
from charlm.evaluation.surprisal import Surprisal, Surprisals, Watch
from charlm.evaluation.tally import Tally
from charlm.streams import give_back
from charlm.tokenizers import Tokenizer

if TYPE_CHECKING:
    import torch

    from charlm.evaluation.added import Added
    from charlm.evaluation.torch_scoring import Model


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """How well a model predicts a text.

    Attributes:
        score: totals and denominators; its properties are the figures.
        accuracy: share of the predicted tokens that were the model's first choice; None for none.
        interval: 95 % interval of nats per character; None for a text too short for one.
        protocol: how the text was put before the model.
        split: which part of the text this is: train, validation, test or all.
        text: what it is called; None where it has no name.
        division: how the text was split, in words; empty where that is not known.
        additions: figures with what was added to the model, by name; each on top of those before it.
        run, checkpoint: what was measured, by name; None where it has none.
        baselines: scores of the baselines on the same text, by name.
        notices: lines for the user about how the text was read.
    """

    score: Score
    accuracy: float | None
    interval: tuple[float, float] | None
    protocol: Protocol
    split: str
    run: str | None = None
    checkpoint: str | None = None
    baselines: Mapping[str, Score] = field(default_factory=dict)
    notices: tuple[str, ...] = ()
    text: str | None = None
    division: str = ""
    additions: Mapping[str, Added] = field(default_factory=dict)

    @property
    def note(self) -> str:
        """Why there are no figures; empty where there are some."""
        if not self.score.tokens:
            return "0 predictions: the first symbol of a text is only read, so there is nothing to measure"
        if not self.score.characters:
            return "no character begins in what is predicted: it has figures by bytes and symbols alone"
        if not math.isfinite(self.score.total_nats):
            return "the model gives losses that are no finite numbers: there is nothing to measure"
        if math.inf in (self.score.perplexity, self.score.perplexity_per_character):
            return "the perplexity is too large for a number"
        return ""

    def to_json(self) -> dict[str, Any]:
        """What `charlm eval --json` prints: plain values; what is not finite, or of no predictions, is None.

        There is a ``note`` only where there is something to say.
        """
        score = self.score
        record = {
            **_figures(score),
            "accuracy": self.accuracy,
            "tokens": score.tokens,
            "characters": score.characters,
            "bytes": score.bytes,
            "interval": None if self.interval is None else list(self.interval),
            "protocol": self.protocol.name,
            "text": self.text,
            "split": self.split,
            "run": self.run,
            "checkpoint": self.checkpoint,
            "baselines": {name: _finite(known.nats_per_character) for name, known in self.baselines.items()},
            "additions": {name: _addition(added) for name, added in self.additions.items()},
        }
        return record | ({"note": self.note} if self.note else {})


def evaluate(
    model: Model | ScoringEngine,
    tokenizer: Tokenizer,
    ids: Ids,
    *,
    split: str,
    protocol: Protocol | None = None,
    baselines: Mapping[str, Score] | None = None,
    run: str | None = None,
    checkpoint: str | None = None,
    device: torch.device | str | None = None,
    advance: Callable[[int], None] | None = None,
    surprisal: Watch | None = None,
) -> Evaluation:
    """Score `ids` (N,), every one but the first exactly once, without dropout.

    Args:
        split: what `ids` are, for the report.
        protocol: None for the stream.
        baselines: those of these `ids`, see `baseline_scores`.
        run, checkpoint: names for the report.
        device: where a torch model is; None asks its parameters.
        advance: told how many predictions were done since it was last told.
        surprisal: told of every symbol, in text order.
    """
    protocol = StreamProtocol() if protocol is None else protocol
    tally = Tally(tokenizer, max(0, len(ids) - 1))
    surprisals = Surprisals(tokenizer)
    if surprisal is not None:
        _tell(surprisal, surprisals.first(ids))
    for piece in protocol.pieces(model, ids, device=device, advance=advance):
        targets = ids[tally.tokens + 1 : tally.tokens + 1 + len(piece)]
        tally.add(piece, targets)
        if surprisal is not None:
            _tell(surprisal, surprisals.following(targets, piece.nats))
        give_back(ids)
    return Evaluation(
        score=tally.score,
        accuracy=tally.accuracy,
        interval=tally.interval,
        protocol=protocol,
        split=split,
        run=run,
        checkpoint=checkpoint,
        baselines=baselines or {},
    )


def _tell(surprisal: Watch, symbols: Iterable[Surprisal]) -> None:
    for symbol in symbols:
        surprisal(symbol)


def _figures(score: Score) -> dict[str, float | None]:
    return {
        "nats_per_character": _finite(score.nats_per_character),
        "perplexity": _finite(score.perplexity),
        "bits_per_character": _finite(score.bits_per_character),
        "bits_per_byte": _finite(score.bits_per_byte),
    }


def _addition(added: Added) -> dict[str, Any]:
    return {
        **_figures(added.score),
        "interval": None if added.interval is None else list(added.interval),
        "tuned": dict(added.tuned),
        "tuned_on": added.tuned_on,
        "protocol": added.words,
    }


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
