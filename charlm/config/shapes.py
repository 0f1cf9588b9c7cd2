"""The names and shapes of a model's tensors, from its configuration alone: nothing is allocated.

The one table that all agree on: the model that trains, the runtime that generates, the plan that counts,
and the reader of a checkpoint that must refuse a hostile configuration before it allocates anything.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from charlm.config.cells import GATES
from charlm.config.sections import ModelConfig
from charlm.errors import RunError
from charlm.registry import suggestion

Shape = tuple[int, ...]


NGRAM_TABLE = "ngram_embedding"
"""The tensor of which a step reads few rows, and which is learnt in a way of its own."""


def parameter_shapes(config: ModelConfig, vocab_size: int) -> dict[str, Shape]:
    """Every tensor of the model, in the order in which it is made. Letters: V E H L, G gates, and of n-grams N D R."""
    shapes: dict[str, Shape] = {"embedding": (vocab_size, config.embedding)}
    if config.ngram_embedding_size:
        shapes[NGRAM_TABLE] = (config.ngram_rows, config.ngram_embedding_size)
    for index in range(config.layers):
        for name, shape in layer_shapes(config, index).items():
            shapes[f"layers.{index}.{name}"] = shape
    if config.attention_window:
        H = config.hidden_size
        shapes |= {"attention_norm_weight": (H,), "attention_norm_bias": (H,)}
        shapes |= {"attention_query": (H, H), "attention_output": (H, H)}
    if not config.tie_weights:
        shapes["output_weight"] = (vocab_size, config.hidden_size)
    elif config.embedding != config.hidden_size:
        shapes["projection"] = (config.embedding, config.hidden_size)
    if config.ngram_embedding_size:
        shapes["ngram_output_weight"] = (vocab_size, config.ngram_embedding_size)
    shapes["output_bias"] = (vocab_size,)
    return shapes


def layer_shapes(config: ModelConfig, index: int) -> dict[str, Shape]:
    """The tensors of layer `index` alone, without the ``layers.0.`` before their names."""
    hidden, rows = config.hidden_size, GATES[config.cell] * config.hidden_size
    inputs = config.embedding + config.ngram_embedding_size if index == 0 else hidden
    shapes: dict[str, Shape] = {}
    if config.layer_norm:
        shapes |= {"norm_weight": (inputs,), "norm_bias": (inputs,)}
    shapes |= {
        "input_weight": (rows, inputs),
        "recurrent_weight": (rows, hidden),
        "input_bias": (rows,),
        "recurrent_bias": (rows,),
    }
    return shapes | FURTHER[config.cell](config, inputs) if config.cell in FURTHER else shapes


def _modulations(config: ModelConfig, inputs: int) -> dict[str, Shape]:
    """The Mogrifier's matrices, those of one kind one above the other: rounds 1, 3, ... change the input, 2, 4, ...
    the state. Of a rank that is given, each is a product of two."""
    hidden, rank = config.hidden_size, config.mogrifier_rank
    kinds = {"input": ((config.mogrifier_rounds + 1) // 2, inputs, hidden)}
    if config.mogrifier_rounds > 1:
        kinds["hidden"] = (config.mogrifier_rounds // 2, hidden, inputs)
    shapes: dict[str, Shape] = {}
    for kind, (count, rows, columns) in kinds.items():
        shapes[f"{kind}_modulation"] = (count * rows, rank or columns)
        if rank:
            shapes[f"{kind}_modulation_narrow"] = (count * rank, columns)
    return shapes


# What a cell has beside the four tensors that every cell has.
FURTHER: dict[str, Callable[[ModelConfig, int], dict[str, Shape]]] = {"mogrifier-lstm": _modulations}


def count_parameters(config: ModelConfig, vocab_size: int) -> int:
    """How many numbers the model learns; a tied matrix counts once."""
    return sum(math.prod(shape) for shape in parameter_shapes(config, vocab_size).values())


def check_shapes(found: Mapping[str, Shape], expected: Mapping[str, Shape], where: str) -> None:
    """Hold the tensors of a file, by name and shape, against those that its configuration calls for.

    Args:
        where: what was read, for the message: ``weights of run x at step 100``.

    Raises:
        RunError: naming the first tensor that is missing, too many or of another shape.
    """
    for name, shape in expected.items():
        if name not in found:
            raise RunError(f"{where}: tensor {name!r} is missing{suggestion(name, set(found) - set(expected))}")
        if tuple(found[name]) != shape:
            raise RunError(f"{where}: tensor {name!r} has shape {tuple(found[name])}, must be {shape}")
    for name in found:
        if name not in expected:
            raise RunError(f"{where}: tensor {name!r} is none of this model's")
