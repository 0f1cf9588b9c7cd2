"""In which order a step takes its products: to and fro, so that a small cache serves as much of the weights as it can.

A step reads all weights once. If they are more than fit into the cache next to a core, and always come in one order,
then what the cache holds is never what is read next, and all of them come from the slower one behind it. So odd steps
read every matrix from its end (`charlm.runtime.products`), and take matrices in an order that begins where the even
one ended.

What may be moved is the recurrent product of a layer: it needs the layer's state alone, so it can be taken at any time
between two updates of that. An even step takes it as late as it can, an odd one as early, and that of the lowest layer,
for which no symbol has to be known, is always the next step's. Of three layers, `U` an update of the state, `I` and `R`
an input and a recurrent product, `O` the output:

    even    U0 | I1 R1 U1 | I2 R2 U2 | O R0
    odd     U0 R0 R2 R1 | I1 U1 | I2 U2 | O

Of two layers a cache then serves what it holds; of more a half to three quarters, the more the larger it is. What
cannot be moved is an exception: the candidate of `gru-reset-before`, and the lowest layer's input, where it is not
looked up. All this is within a call: who takes step by step gains nothing.
"""

from __future__ import annotations

INPUT = -1
"""The input product of the lowest layer that has not been updated; that of layer 0 may be looked up."""
CANDIDATE = -2
"""The product of that layer's candidate, where the reset gate comes before it."""
UPDATE = -3
"""That layer's next state, from all its products."""
PROJECTION = -4
OUTPUT = -5
"""The logits."""
NGRAM_SHARE = -6
"""What n-grams add to them, which is known before the layers are."""


def orders(layers: int, *, candidate: bool, projection: bool, ngrams: bool) -> tuple[list[int], list[int]]:
    """The parts of even and odd steps, one after the other: as many in both.

    Parts are those above, and the numbers of the layers, from 0, which stand for their recurrent products.

    Args:
        candidate: whether the cell has that product.
        projection: whether the output is projected.
        ngrams: whether there are n-grams.
    """
    update = [CANDIDATE, UPDATE] if candidate else [UPDATE]
    output = [PROJECTION, OUTPUT] if projection else [OUTPUT]
    first = [NGRAM_SHARE, INPUT] if ngrams else [INPUT]
    even, odd = [*first, *update], [*first, *update, 0, *range(layers - 1, 0, -1)]
    for layer in range(1, layers):
        even += [INPUT, layer, *update]
        odd += [INPUT, *update]
    return [*even, *output, 0], [*odd, *output]
