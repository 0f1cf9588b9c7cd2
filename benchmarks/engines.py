"""charlm's engines as the sampling benchmark has them: one line each."""

from __future__ import annotations

# Name in the tables: engine and precision, as `charlm generate --engine --precision` takes them.
ENGINES: dict[str, tuple[str, str]] = {
    "numpy": ("numpy", "exact"),
    "numba": ("numba", "exact"),
    "numba int16": ("numba", "int16"),
    "numba int8": ("numba", "int8"),
}
# Engines with these words in their names have weights in whole numbers.
ROUGH = ("int16", "int8")
