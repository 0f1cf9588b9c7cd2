"""Texts compressed under a model: its probabilities in whole numbers, the same on every machine, and a range coder.

`whole` makes weights whole, `reference` says what is computed with them, `loops` computes it in machine code,
`ranges` turns probabilities into bytes, `compress` has the file format. Nothing here imports torch.
"""

from charlm.coding.compress import Coder, Sizes

__all__ = ["Coder", "Sizes"]
