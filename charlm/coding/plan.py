"""What a plan holds: numbers that say where the parts of a model lie, and how large they are.

Sizes `WIDTHS` of the whole model, then for each layer the entries `LAYER`; -1 stands for a part that is not there.
"""

from __future__ import annotations

WIDTHS = (
    *("cell", "L", "H", "V", "X", "P", "S", "V_real", "embedding", "E", "projection", "output", "bias", "log2_e"),
    *("ngrams", "D", "N", "ngram_rows", "ngrams_at", "ngram_input", "ngram_output", "symbols"),
)
LAYER = (
    *("depth", "width", "residual", "norm", "start", "start_stride", "late"),
    *("input", "recurrent", "candidate", "state"),
)
# their places in the plan
CELL, L, H, V, X, P, S, V_REAL, EMBEDDING, E, PROJECTION, OUTPUT, BIAS, LOG2_E = range(14)
NGRAMS, D, N, NGRAM_ROWS, NGRAMS_AT, NGRAM_INPUT, NGRAM_OUTPUT, SYMBOLS = range(LOG2_E + 1, len(WIDTHS))
DEPTH, REAL_WIDTH, RESIDUAL, NORM, START, START_STRIDE, LATE, INPUT, RECURRENT, CANDIDATE, STATE = range(len(LAYER))
