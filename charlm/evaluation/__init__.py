"""How good a model is: the loss of every symbol of a text, its denominators, and what to compare it with.

To add a protocol: a class and a line in `PROTOCOLS`. To add a baseline: a function and a line in `BASELINES`. To add
something that is put on a model: a class and a line in `ADDITIONS`.
"""

from __future__ import annotations

from charlm.evaluation.additions import ADDITIONS
from charlm.evaluation.baselines import BASELINES, Baseline, baseline_scores
from charlm.evaluation.bootstrap import bootstrap_interval
from charlm.evaluation.evaluate import Evaluation, evaluate
from charlm.evaluation.predictions import Predictions
from charlm.evaluation.protocols import PROTOCOLS, Protocol, parse_protocol
from charlm.evaluation.remembered import remembered_baselines
from charlm.evaluation.score import Score
from charlm.evaluation.stream import score_stream
from charlm.evaluation.tally import score_of
from charlm.evaluation.windows import score_windows

__all__ = [
    "ADDITIONS",
    "BASELINES",
    "PROTOCOLS",
    "Baseline",
    "Evaluation",
    "Predictions",
    "Protocol",
    "Score",
    "baseline_scores",
    "bootstrap_interval",
    "evaluate",
    "parse_protocol",
    "remembered_baselines",
    "score_of",
    "score_stream",
    "score_windows",
]
