"""At the end of a training: what coarser number formats would cost its best checkpoint, noted for `charlm generate`."""

from __future__ import annotations

import math
from contextlib import suppress

import torch

from charlm.corpora import Progress
from charlm.errors import OutputError, RunError
from charlm.evaluation.torch_scoring import block_length, weigh
from charlm.models import LanguageModel
from charlm.runs import Checkpoint, Data, Run
from charlm.runs.precision import precision_fact
from charlm.runtime.engines import can_keep_code
from charlm.runtime.layout import missing_in
from charlm.runtime.precision import measure, passages
from charlm.training.device import told_of_compiling


def note_precision(run: Run, data: Data, progress: Progress | None = None) -> None:
    """Measure on some thousand symbols of the validation split, and put it among the run's facts.

    Where that cannot be done (no Numba, a model that its loop does not compute or whose state explodes, a short split,
    a disk that is full) the run is as good as before: texts are then written in float32.

    Args:
        progress: told when loops have to be compiled for it, which takes seconds the first time.
    """
    rows = passages(data.store.part("validation"))
    if not len(rows) or not can_keep_code() or missing_in(run.config.model) is not None:
        return
    with suppress(ImportError, OutputError, RunError):
        from charlm.simd.processor import HAS_INT8

        best, V = run.load(None), data.tokenizer.vocab_size
        exact = _exact_nats(run, best, V, torch.from_numpy(rows))
        if not math.isfinite(exact):
            return
        with told_of_compiling(progress):
            nats = measure(run.config.model, best.weights, V, rows, exact, bytes_are_fast=HAS_INT8)
        run.change_facts(precision_fact(best.step, nats))


@torch.inference_mode()
def _exact_nats(run: Run, checkpoint: Checkpoint, vocab_size: int, rows: torch.Tensor) -> float:
    """Nats per symbol in float32. rows: (N, T + 1)."""
    model = LanguageModel.from_arrays(run.config.model, vocab_size, checkpoint.weights)
    state, total = model.initial_state(len(rows)), 0.0
    steps = block_length(model, len(rows))
    for first in range(0, rows.shape[1] - 1, steps):
        ids = rows[:, first : first + steps + 1]
        logits, state = model(ids[:, :-1], state)
        total += weigh(logits, ids[:, 1:])[0].sum(dtype=torch.float64).item()
    return total / rows[:, 1:].numel()
