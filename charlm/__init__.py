"""charlm: train, measure and sample character-level recurrent language models.

import charlm

model = charlm.train("notes.txt", minutes=3)
print(model.generate("It was ", temperature=0.8))
print(model.evaluate().score.bits_per_character)
"""

from __future__ import annotations

# not typing's, which takes a while: before `charlm.__main__` nothing can answer Ctrl-C but Python
TYPE_CHECKING = False

if TYPE_CHECKING:
    from typing import Any

    from charlm.api import Model, load, train
    from charlm.sweeps.start import sweep

__version__ = "0.1.0"
__all__ = ["Model", "__version__", "load", "sweep", "train"]


def __getattr__(name: str) -> Any:
    # opened on first use: `charlm --help` pays for nothing but itself
    if name in ("Model", "load", "train"):
        from charlm import api

        return getattr(api, name)
    if name == "sweep":
        from charlm.sweeps.start import sweep

        return sweep
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
