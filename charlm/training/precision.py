"""At the end of a training: what coarser number formats would cost its best checkpoint, noted for `charlm generate`."""

from __future__ import annotations

from contextlib import suppress

from charlm.errors import OutputError, RunError
from charlm.runs import Data, Run
from charlm.runs.precision import precision_fact
from charlm.runtime.engines import can_keep_code
from charlm.runtime.precision import measure


def note_precision(run: Run, data: Data) -> None:
    """Measure on some thousand symbols of the validation split, and put it among the run's facts.

    Where that cannot be done (no Numba, a short split, a disk that is full) the run is as good as before: texts
    are then written in float32.
    """
    if not can_keep_code():
        return
    with suppress(ImportError, OutputError, RunError):
        best = run.load(None)
        nats = measure(run.config.model, best.weights, data.tokenizer.vocab_size, data.store.part("validation"))
        if nats:
            run.change_facts(precision_fact(best.step, nats))
