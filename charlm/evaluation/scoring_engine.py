"""What the protocols ask: an engine that weighs rows of a text, whatever it computes with."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from charlm.evaluation.agreement import AGREEMENT, SHORTEST_LANE
from charlm.evaluation.predictions import Ids

if TYPE_CHECKING:
    import torch

    from charlm.evaluation.torch_scoring import Model

ROWS_AT_ONCE = 64
"""Rows side by side on a CPU: as many as a few threads and their tiles want; more cost memory and gain nothing."""

Advance = Callable[[int], None] | None
"""Told how many predictions were done since it was last told."""


@runtime_checkable
class ScoringEngine(Protocol):
    """An engine that weighs a text by itself: `charlm.runtime.NumbaModel` is one.

    A state is a tuple of tuples, or of such, of arrays or tensors (N, ...).
    """

    vocab_size: int

    def initial_state(self, n: int, /) -> Any:
        """The state of n rows before any text."""

    def score(self, ids: Ids, state: Any, /) -> tuple[Any, Any]:
        """ids: (N, T + 1) -> `nats` (N, T) and `right` (N, T) of all but the first, and the state after."""


class Feed:
    """An engine, and how it is best fed.

    Attributes:
        most_rows: rows side by side.
        agreement: mean nats by which a block may move where lanes agree.
    """

    def __init__(self, engine: ScoringEngine, most_rows: int = ROWS_AT_ONCE, agreement: float = AGREEMENT) -> None:
        self.engine, self.most_rows, self.agreement = engine, most_rows, agreement

    @classmethod
    def of(cls, model: Model | ScoringEngine, device: torch.device | str | None = None, rough: bool = False) -> Feed:
        """That of an engine, or of a torch model.

        Args:
            device: where a torch model is; None asks its parameters.
            rough: let torch multiply in bfloat16: faster, and less exact.
        """
        if isinstance(model, ScoringEngine):
            return cls(model)
        from charlm.evaluation.torch_scoring import TorchScorer

        engine = TorchScorer(model, device, rough)
        return cls(engine, engine.most_rows, engine.agreement)


def lanes_for(predictions: int, most_rows: int) -> int:
    """How many lanes a text of so many predictions is read in: none is shorter than SHORTEST_LANE."""
    return max(1, min(most_rows, predictions // SHORTEST_LANE))


def map_state(function: Callable[..., Any], *states: Any) -> Any:
    """`function` over the arrays or tensors of one or more states of the same shape of tuples."""
    if not isinstance(states[0], tuple):
        return function(*states)
    items = [map_state(function, *parts) for parts in zip(*states, strict=True)]
    return type(states[0])(*items) if hasattr(states[0], "_fields") else tuple(items)
