"""When lanes that are read side by side are long enough, and agree with one long pass."""

PIECE = 2**22
"""Predictions worked on at a time."""

BLOCK_LENGTH = 64
"""Time steps that lanes take at once."""

SHORTEST_LANE = 1024

AGREEMENT = 1e-4
ROUGH_AGREEMENT = 2e-2
"""Lanes agree when a block moves by less than this on average, in nats per prediction; rounding is below it.

The second holds for bfloat16, which rounds so much more."""

LONGEST_RUN_ON = 4096
"""Predictions after which lanes give up agreeing: the model is chaotic, or remembers more than these symbols."""
