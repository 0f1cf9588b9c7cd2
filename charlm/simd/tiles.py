"""A few rows times a panel of weights, added up in registers: what every product of charlm's own loops is made of.

A panel holds `vectors` x WIDTH columns of a weight matrix, depth by depth, so that it is read from end to end: float32
as (depth, vectors, WIDTH); bfloat16 as (depth / DEPTH_UNIT, vectors, DEPTH_UNIT / 2, WIDTH, 2), two depths beside each
other, because the processor multiplies and adds them in pairs, and what it multiplies at once in one piece. Rows stay
as they are.

A loop asks `begin_products` for its number of tiles, and calls `end_products` when it has done them. In between it
calls `multiply` and `accumulate`, the rows of a tile at a time. A tile here is what these take at once; what the
processor calls a tile is a register of `charlm.simd.amx`.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic, overload, register_jitable

from charlm.simd import amx
from charlm.simd.processor import HAS_AMX, MOST_ROWS, TILE_DEPTH, WIDTH, vectors_at_once
from charlm.simd.vectors import (
    FLOATS,
    INT32,
    INT64,
    BFloat16Type,
    call,
    element_pointer,
    holds_bfloat16,
    repeat,
)

MOST_ROUNDED_ROWS: int = 2 * amx.HEIGHT if HAS_AMX else MOST_ROWS
"""Rows of one tile of bfloat16."""

DEPTH_UNIT: int = TILE_DEPTH if HAS_AMX else 2
"""The depth of a product of bfloat16 is a multiple of this: a pair, or two vectors (`_turn_pairs` knows no other)."""

ROUNDED_UNIT: int = max(WIDTH, DEPTH_UNIT, MOST_ROUNDED_ROWS if HAS_AMX else 1)
"""What numbers of units and symbols are rounded up to in bfloat16: they are columns, depths and rows of products."""

PAIRS = ir.VectorType(BFloat16Type(), 2 * WIDTH)


def most_rows(values: Any) -> int:
    """Rows of one tile of an array's format, inside compiled functions only: a constant there."""
    raise NotImplementedError("a compiled function calls this")


@overload(most_rows)
def _most_rows(values):
    most = MOST_ROUNDED_ROWS if holds_bfloat16(values) else MOST_ROWS
    return lambda values: most


def begin_products(values: Any, rows: int) -> tuple[int, int]:
    """Get ready for products of exactly so many rows of `values`, inside compiled functions only.

    Nothing else may be multiplied in this format before `end_products`.

    Returns:
        How many tiles the rows have to be divided into, by `rows_of_tile`, and what `accumulate` calls `height`.
    """
    raise NotImplementedError("a compiled function calls this")


@overload(begin_products)
def _begin_products(values, rows):
    most, configure = MOST_ROUNDED_ROWS if holds_bfloat16(values) else MOST_ROWS, amx.configure

    def divide(values, rows):
        return (rows + most - 1) // most, 0

    def divide_and_configure(values, rows):
        tiles = (rows + most - 1) // most
        highest = (rows + tiles - 1) // tiles
        paired = highest > amx.HEIGHT
        height = (highest + 1) // 2 if paired else highest
        configure(height, paired)
        return tiles, height

    return divide_and_configure if HAS_AMX and holds_bfloat16(values) else divide


def end_products(values: Any) -> None:
    """The products of `values` that `begin_products` began are done; inside compiled functions only."""
    raise NotImplementedError("a compiled function calls this")


@overload(end_products)
def _end_products(values):
    release = amx.release
    if HAS_AMX and holds_bfloat16(values):
        return lambda values: release()
    return lambda values: None


@register_jitable
def rows_of_tile(first: int, last: int, tile: int, tiles: int) -> tuple[int, int]:
    """The first row of one of so many tiles that the rows from `first` to `last` are divided into, and how many."""
    begin = first + (last - first) * tile // tiles
    return begin, first + (last - first) * (tile + 1) // tiles - begin


@register_jitable
def there_and_back(t: int, place: int, last: int) -> int:
    """`place` in every other step, in the others as far from the end, `last`.

    Weights that are read in the order in which they were read last are the ones that a small cache has lost.
    """
    return last - place if t % 2 else place


def accumulate(
    x: Any,
    x_offset: int,
    row_stride: int,
    step: int,
    rows: int,
    height: int,
    weights: Any,
    offset: int,
    depth: int,
    vectors: int,
    sums: Any,
) -> None:
    """sums += x @ panel, inside compiled functions only.

    Args:
        x: flat array, float32 or bfloat16; row r begins at ``x_offset + r * row_stride``.
        step: how far a row's numbers, or pairs of bfloat16, are apart: 1 where they follow one another, as they have to
            where ``DEPTH_UNIT`` is above 2.
        rows: those of a tile, as `rows_of_tile` says: no others fit what was begun.
        height: from `begin_products`.
        weights: flat array of the format of `x`; the panel begins at `offset`.
        depth: numbers of a row, at least 1; of bfloat16 a multiple of DEPTH_UNIT.
        vectors: vectors across the panel, at most PANEL; a literal number.
        sums: flat float32 array (rows, vectors * WIDTH), from its beginning.
    """
    raise NotImplementedError("a compiled function calls this")


def multiply(
    x: Any,
    x_offset: int,
    row_stride: int,
    step: int,
    rows: int,
    height: int,
    weights: Any,
    offset: int,
    depth: int,
    vectors: int,
    sums: Any,
) -> None:
    """sums = x @ panel, whatever they were before; else as `accumulate`."""
    raise NotImplementedError("a compiled function calls this")


@overload(accumulate, prefer_literal=True)
def _accumulate(x, x_offset, row_stride, step, rows, height, weights, offset, depth, vectors, sums):
    return _product(x, vectors, fresh=False)


@overload(multiply, prefer_literal=True)
def _multiply(x, x_offset, row_stride, step, rows, height, weights, offset, depth, vectors, sums):
    return _product(x, vectors, fresh=True)


def _product(x: Any, vectors: Any, *, fresh: bool) -> Any:
    """What computes a product, for arrays like `x`."""
    if not isinstance(vectors, types.IntegerLiteral):
        return None
    if HAS_AMX and holds_bfloat16(x):
        product = amx.product(vectors.literal_value, fresh)
        return lambda x, x_offset, row_stride, step, rows, height, weights, offset, depth, vectors, sums: product(
            x, x_offset, row_stride, rows, height, weights, offset, depth, sums
        )
    tile1, tile2, tile3, tile4, tile5, tile6 = (_tile(rows, vectors.literal_value, fresh) for rows in range(1, 7))

    def implement(x, x_offset, row_stride, step, rows, height, weights, offset, depth, vectors, sums):
        if rows == 6:
            tile6(x, x_offset, row_stride, step, weights, offset, depth, sums)
        elif rows == 5:
            tile5(x, x_offset, row_stride, step, weights, offset, depth, sums)
        elif rows == 4:
            tile4(x, x_offset, row_stride, step, weights, offset, depth, sums)
        elif rows == 3:
            tile3(x, x_offset, row_stride, step, weights, offset, depth, sums)
        elif rows == 2:
            tile2(x, x_offset, row_stride, step, weights, offset, depth, sums)
        else:
            tile1(x, x_offset, row_stride, step, weights, offset, depth, sums)

    return implement


def _tile(rows: int, vectors: int, fresh: bool) -> Any:
    """The tile of so many rows and vectors, as an intrinsic. `fresh`: sums begin at zero."""

    @intrinsic
    def tile(
        typingctx: Any,
        x: Any,
        x_offset: Any,
        row_stride: Any,
        step: Any,
        weights: Any,
        offset: Any,
        depth: Any,
        sums: Any,
    ) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            x, x_offset, row_stride, step, weights, offset, depth, sums = arguments
            pairs = holds_bfloat16(signature.args[0])
            unit = INT32 if pairs else ir.FloatType()
            start = element_pointer(context, builder, signature.args[0], x, x_offset)
            begins = [
                builder.bitcast(
                    builder.gep(start, [builder.mul(ir.Constant(INT64, row), row_stride)]), unit.as_pointer()
                )
                for row in range(rows)
            ]
            panel = builder.bitcast(
                element_pointer(context, builder, signature.args[4], weights, offset), FLOATS.as_pointer()
            )
            base = element_pointer(context, builder, signature.args[7], sums, ir.Constant(INT64, 0))
            cells = [
                builder.bitcast(builder.gep(base, [ir.Constant(INT64, index * WIDTH)]), FLOATS.as_pointer())
                for index in range(rows * vectors)
            ]
            steps = builder.ashr(depth, ir.Constant(INT64, 1)) if pairs else depth
            zero = ir.Constant(FLOATS, [0.0] * WIDTH)
            at_once = vectors_at_once(rows, vectors)
            for column in range(0, vectors, at_once):
                columns = range(column, min(column + at_once, vectors))
                own = [cells[row * vectors + column] for row in range(rows) for column in columns]
                first = [zero if fresh else builder.load(cell, align=4) for cell in own]
                _emit_loop(builder, begins, step, panel, own, first, steps, vectors, columns, pairs)
            return context.get_dummy_value()

        integers = (types.int64,)
        return types.void(x, *integers * 3, weights, *integers * 2, sums), generate

    return tile


def _emit_loop(
    builder: Any,
    begins: list[Any],
    step: Any,
    panel: Any,
    cells: list[Any],
    first: list[Any],
    steps: Any,
    vectors: int,
    columns: range,
    pairs: bool,
) -> None:
    """for k in range(steps): every sum += row[k * step] * panel[k], from `first` on; the sums live in registers.

    Args:
        columns: which of the panel's `vectors`; `cells` and `first` are (rows, columns).
    """
    before = builder.block
    loop, after = builder.append_basic_block("depth"), builder.append_basic_block("done")
    builder.branch(loop)
    builder.position_at_end(loop)
    k = builder.phi(INT64)
    sums = [builder.phi(FLOATS) for _ in cells]
    for value, start in zip([k, *sums], [ir.Constant(INT64, 0), *first], strict=True):
        value.add_incoming(start, before)
    place = builder.mul(k, ir.Constant(INT64, vectors))
    held = [
        builder.load(builder.gep(panel, [builder.add(place, ir.Constant(INT64, column))]), align=4)
        for column in columns
    ]
    new, here = list[Any](), builder.mul(k, step)
    for begin in begins:
        number = repeat(builder, builder.load(builder.gep(begin, [here]), align=2 if pairs else 4))
        for weight in held:
            new.append(_multiply_add(builder, sums[len(new)], number, weight, pairs))
    following = builder.add(k, ir.Constant(INT64, 1))
    for value, later in zip([k, *sums], [following, *new], strict=True):
        value.add_incoming(later, loop)
    builder.cbranch(builder.icmp_signed("<", following, steps), loop, after)
    builder.position_at_end(after)
    for cell, value in zip(cells, new, strict=True):
        builder.store(value, cell, align=4)


def _multiply_add(builder: Any, total: Any, number: Any, weight: Any, pairs: bool) -> Any:
    """total + number * weight, of float32, or of bfloat16 in pairs summed up in float32."""
    if not pairs:
        # one instruction where there is one; `llvm.fma` would elsewhere be a call for every number, 400 times slower
        return call(builder, f"llvm.fmuladd.v{WIDTH}f32", FLOATS, [number, weight, total])
    operands = [builder.bitcast(operand, PAIRS) for operand in (number, weight)]
    return call(builder, "llvm.x86.avx512bf16.dpbf16ps.512", FLOATS, [total, *operands])
