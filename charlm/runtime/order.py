"""In which order a step takes its products: steps take turns at two, so that each begins where the last one ended.

A step reads all weights once. If they are more than fit into the cache next to a core, and always come in one order,
then what the cache holds is never what is read next, and all of them come from the slower one behind it. Read to and
fro, the cache serves as much as it holds.

That needs a choice. The recurrent product of a layer may be taken at any time between the layer's step and its next
one; all else waits for what is below. So every other step takes all recurrent products at once, beginning with those
that the step before took last; the steps between take each as late as they can, and the lowest, with which the next
step begins, at the end. Of two layers a cache then serves as much as it holds, of three about three quarters of that,
of more a half.
"""

from __future__ import annotations

INPUT, CANDIDATE, STEP, PROJECTION, OUTPUT = -1, -2, -3, -4, -5
"""The input product of the next layer; the product of a candidate that is reset before it; the layer's step, for which
both and the recurrent product are needed. Behind all layers the products that make logits."""


def orders(layers: int, *, candidate: bool, projection: bool) -> tuple[list[int], list[int]]:
    """The parts of even and odd steps, one after the other: as many in both.

    Parts are those above, the lowest layer's first, and the numbers of the layers, from 0, which stand for their
    recurrent products.

    Args:
        candidate: whether the cell has that product.
        projection: whether the output is projected.
    """
    step = [CANDIDATE, STEP] if candidate else [STEP]
    end = [PROJECTION, OUTPUT] if projection else [OUTPUT]
    even, odd = [INPUT, *step], [INPUT, *step, 0, *range(layers - 1, 0, -1)]
    for layer in range(1, layers):
        even += [INPUT, layer, *step]
        odd += [INPUT, *step]
    return [*even, 0, *end], [*odd, *end]
