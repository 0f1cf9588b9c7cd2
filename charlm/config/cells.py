"""The cells that there are, by name, with the one thing that a configuration must know of each."""

from __future__ import annotations

# Gates of each cell: its weights are that many blocks of H rows, in torch's order
# (lstm: input, forget, candidate, output; gru: reset, update, candidate).
GATES: dict[str, int] = {
    "elman": 1,
    "elman-relu": 1,
    "gru": 3,
    "gru-reset-before": 3,
    "lstm": 4,
    "mogrifier-lstm": 4,
}
