"""Whether a text that is measured is one that the run knows, although it came from another file."""

from __future__ import annotations

from dataclasses import dataclass

from charlm.corpora import Progress
from charlm.corpora.overlap import WINDOW, Seen
from charlm.errors import CorpusError, OutputError
from charlm.evaluation.predictions import Ids
from charlm.runs import Data, Run, open_run_data
from charlm.streams import stretches

# Shares of a text's stretches of `WINDOW` symbols. Less than the first may be quoted; more than the second is the text.
FEW, MOST = 0.05, 0.5


@dataclass(frozen=True)
class Familiar:
    """Shares of a text that stand word for word in the run's own, in [0, 1].

    Attributes:
        train: in the training split.
        validation: in the validation split.
    """

    train: float = 0.0
    validation: float = 0.0

    @property
    def is_training_text(self) -> bool:
        """Whether what learns from the training split knows this text by heart."""
        return self.train > MOST

    @property
    def is_validation_text(self) -> bool:
        """Whether what is tuned on the validation split would be tuned on this text."""
        return self.validation > FEW

    @property
    def notices(self) -> tuple[str, ...]:
        """A line for the user, where a figure may look better than it is."""
        if self.train <= FEW:
            return ()
        return (
            f"{100 * self.train:.0f} % of this text stands word for word in what the run was trained on: "
            "no figure says how good the model is on new text",
        )


NOT_AT_ALL = Familiar()


def notices_of(run: Run, ids: Ids, progress: Progress | None = None) -> tuple[str, ...]:
    """What to say of how much of a text's ids (N,) `run` was trained on, or that its own text is not to be had."""
    try:
        return familiar(open_run_data(run, progress=progress), ids).notices
    except (CorpusError, OutputError) as error:
        return (f"whether it was trained on this text is not known: {error}",)


def familiar(home: Data, ids: Ids) -> Familiar:
    """Compare a text's ids (N,), of the run's tokenizer, with the run's own text."""
    if len(ids) < WINDOW:
        return NOT_AT_ALL
    train, validation = (home.store.part(part) for part in ("train", "validation"))
    return Familiar(*(Seen(stretches(part), len(part)).share(stretches(ids)) for part in (train, validation)))
