"""How many operations a model needs for a character of training: what a share of the machine's peak is a share of."""

from __future__ import annotations

from charlm.config import ModelConfig
from charlm.config.shapes import parameter_shapes


def per_character(config: ModelConfig, V: int, window: int) -> float:
    """Multiplications and additions in the matrix products of one training step, for each of its characters.

    Counted: the products with the recurrent weights, with the input weights of all layers but the first, and
    with the output weights, each three times (forward, gradient of the input, gradient of the weights); vectors of
    n-grams are input of the first layer and of the output. The first layer's product with the embedding is counted as
    the look-up in a table of V rows that it can be: three products of V rows for a whole window. Not counted: gates,
    softmax, clipping, the optimiser. So the share of a side that computes more than it needs is not flattered by that.

    Args:
        window: characters in a step, all lanes together.
    """
    shapes = parameter_shapes(config, V)
    every = 0
    for name, shape in shapes.items():
        product = name.endswith(("recurrent_weight", "input_weight", "output_weight"))
        if product and name != "layers.0.input_weight":
            every += shape[0] * shape[1]
    rows, columns = shapes["layers.0.input_weight"]
    every += rows * config.ngram_embedding_size
    return 3 * 2 * (every + rows * (columns - config.ngram_embedding_size) * V / window)
