"""Text out of a model: filters on its distribution, draws, stop rules, beam search. No torch, no printing."""

from charlm.generation.generate import generate
from charlm.generation.pieces import Ending, Engine, Piece
from charlm.generation.sampler import notices
from charlm.generation.transform import Transform
from charlm.generation.transforms import TRANSFORMS

__all__ = ["TRANSFORMS", "Ending", "Engine", "Piece", "Transform", "generate", "notices"]
