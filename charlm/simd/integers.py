"""Products of whole numbers: int16 by int16 in pairs, or uint8 by int8 in fours, added up in int32.

Panels are those of `charlm.simd.tiles`, with two or four depths beside each other: (depth / group, columns, group).
The sums must fit; nothing looks whether they do.
"""

# compiled functions have the types that Numba finds
# mypy: disallow-untyped-defs=False, disallow-untyped-calls=False, disallow-untyped-decorators=False

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic, overload

from charlm.simd.processor import HAS_INT8, WIDTH, vectors_at_once
from charlm.simd.vectors import FLOATS, INT32, INT64, INTEGERS, VECTOR, call, element_pointer, repeat

# pairs of 16 bits as wide as a vector, and their products
SHORTS, PRODUCTS = ir.VectorType(ir.IntType(16), 2 * WIDTH), ir.VectorType(INT32, 2 * WIDTH)


def accumulate_integers(
    x: Any, x_offset: int, row_stride: int, rows: int, weights: Any, offset: int, depth: int, vectors: int, sums: Any
) -> None:
    """sums += x @ panel, inside compiled functions only.

    Args:
        x: flat array, int16 or uint8; row r begins at ``x_offset + r * row_stride``.
        rows: 1 to MOST_ROWS.
        weights: flat array, int16 where `x` is, else int8; the panel begins at `offset`.
        depth: numbers of a row: a multiple of 2 or, of bytes, 4.
        vectors: vectors across the panel; a literal number.
        sums: flat int32 array (rows, vectors * WIDTH), from its beginning.
    """
    raise NotImplementedError("a compiled function calls this")


@overload(accumulate_integers, prefer_literal=True)
def _accumulate(x, x_offset, row_stride, rows, weights, offset, depth, vectors, sums):
    if not isinstance(vectors, types.IntegerLiteral):
        return None
    tile1, tile2, tile3, tile4, tile5, tile6 = (_tile(height, vectors.literal_value) for height in range(1, 7))

    def implement(x, x_offset, row_stride, rows, weights, offset, depth, vectors, sums):
        if rows == 6:
            tile6(x, x_offset, row_stride, weights, offset, depth, sums)
        elif rows == 5:
            tile5(x, x_offset, row_stride, weights, offset, depth, sums)
        elif rows == 4:
            tile4(x, x_offset, row_stride, weights, offset, depth, sums)
        elif rows == 3:
            tile3(x, x_offset, row_stride, weights, offset, depth, sums)
        elif rows == 2:
            tile2(x, x_offset, row_stride, weights, offset, depth, sums)
        else:
            tile1(x, x_offset, row_stride, weights, offset, depth, sums)

    return implement


def _tile(rows: int, vectors: int) -> Any:
    """The tile of so many rows and vectors, as an intrinsic."""

    @intrinsic
    def tile(
        typingctx: Any, x: Any, x_offset: Any, row_stride: Any, weights: Any, offset: Any, depth: Any, sums: Any
    ) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            x, x_offset, row_stride, weights, offset, depth, sums = arguments
            group = 4 // (signature.args[0].dtype.bitwidth // 8)
            start = element_pointer(context, builder, signature.args[0], x, x_offset)
            begins = [
                builder.bitcast(
                    builder.gep(start, [builder.mul(ir.Constant(INT64, row), row_stride)]), INT32.as_pointer()
                )
                for row in range(rows)
            ]
            panel = builder.bitcast(
                element_pointer(context, builder, signature.args[3], weights, offset), INTEGERS.as_pointer()
            )
            base = element_pointer(context, builder, signature.args[6], sums, ir.Constant(INT64, 0))
            cells = [
                builder.bitcast(builder.gep(base, [ir.Constant(INT64, index * WIDTH)]), INTEGERS.as_pointer())
                for index in range(rows * vectors)
            ]
            steps = builder.sdiv(depth, ir.Constant(INT64, group))
            at_once = vectors_at_once(rows, vectors)
            for column in range(0, vectors, at_once):
                columns = range(column, min(column + at_once, vectors))
                own = [cells[row * vectors + column] for row in range(rows) for column in columns]
                _emit_loop(builder, begins, panel, own, steps, vectors, columns, group)
            return context.get_dummy_value()

        integers = (types.int64,)
        return types.void(x, *integers * 2, weights, *integers * 2, sums), generate

    return tile


def _emit_loop(
    builder: Any,
    begins: list[Any],
    panel: Any,
    cells: list[Any],
    steps: Any,
    vectors: int,
    columns: range,
    group: int,
) -> None:
    """for k in range(steps): every sum += group k of the row times group k of the panel; the sums in registers.

    Args:
        columns: which of the panel's `vectors`; `cells` are (rows, columns).
    """
    first = [builder.load(cell, align=4) for cell in cells]
    before = builder.block
    loop, after = builder.append_basic_block("depth"), builder.append_basic_block("done")
    builder.branch(loop)
    builder.position_at_end(loop)
    k = builder.phi(INT64)
    sums = [builder.phi(INTEGERS) for _ in cells]
    for value, start in zip([k, *sums], [ir.Constant(INT64, 0), *first], strict=True):
        value.add_incoming(start, before)
    place = builder.mul(k, ir.Constant(INT64, vectors))
    held = [
        builder.load(builder.gep(panel, [builder.add(place, ir.Constant(INT64, column))]), align=1)
        for column in columns
    ]
    new = list[Any]()
    for begin in begins:
        numbers = repeat(builder, builder.load(builder.gep(begin, [k]), align=1))
        for weights in held:
            new.append(_multiply_add(builder, sums[len(new)], numbers, weights, group))
    following = builder.add(k, ir.Constant(INT64, 1))
    for value, later in zip([k, *sums], [following, *new], strict=True):
        value.add_incoming(later, loop)
    builder.cbranch(builder.icmp_signed("<", following, steps), loop, after)
    builder.position_at_end(after)
    for cell, value in zip(cells, new, strict=True):
        builder.store(value, cell, align=4)


def _multiply_add(builder: Any, total: Any, numbers: Any, weights: Any, group: int) -> Any:
    """total + the products of each group, in one instruction where the processor has it."""
    if HAS_INT8:
        name = "llvm.x86.avx512.vpdpwssd.512" if group == 2 else "llvm.x86.avx512.vpdpbusd.512"
        return call(builder, name, INTEGERS, [total, numbers, weights])
    numbers, weights = builder.bitcast(numbers, SHORTS), builder.bitcast(weights, SHORTS)
    if group == 2:
        return builder.add(total, _pairs(builder, numbers, weights))
    # the bytes at even places and those at odd ones, each as 16 bits: products of bytes alone would not fit into them
    eight = ir.Constant(SHORTS, [8] * SHORTS.count)
    even = builder.and_(numbers, ir.Constant(SHORTS, [0xFF] * SHORTS.count))
    first = _pairs(builder, even, builder.ashr(builder.shl(weights, eight), eight))
    second = _pairs(builder, builder.lshr(numbers, eight), builder.ashr(weights, eight))
    return builder.add(builder.add(total, first), second)


def _pairs(builder: Any, numbers: Any, weights: Any) -> Any:
    """The products of pairs of 16 bits, added up: in this form LLVM knows the instruction that most processors have."""
    products = builder.mul(builder.sext(numbers, PRODUCTS), builder.sext(weights, PRODUCTS))
    nothing = ir.Constant(PRODUCTS, ir.Undefined)
    each = (
        builder.shuffle_vector(products, nothing, ir.Constant(INTEGERS, list(range(part, PRODUCTS.count, 2))))
        for part in (0, 1)
    )
    return builder.add(*each)


@intrinsic
def store_rounded(typingctx: Any, array: Any, offset: Any, vector: Any, shift: Any) -> Any:
    """Write the nearest whole numbers, `shift` added, to a flat array of int16 or uint8; they must fit."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array, offset, vector, shift = arguments
        nearest = call(builder, f"llvm.rint.v{WIDTH}f32", FLOATS, [vector])
        whole = builder.add(builder.fptosi(nearest, INTEGERS), repeat(builder, shift))
        small = ir.VectorType(ir.IntType(signature.args[0].dtype.bitwidth), WIDTH)
        pointer = element_pointer(context, builder, signature.args[0], array, offset)
        builder.store(builder.trunc(whole, small), builder.bitcast(pointer, small.as_pointer()), align=1)
        return context.get_dummy_value()

    return types.void(array, types.int64, VECTOR, types.int32), generate


@intrinsic
def load_whole(typingctx: Any, array: Any, offset: Any) -> Any:
    """WIDTH numbers of a flat int32 array, as float32."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        pointer = element_pointer(context, builder, signature.args[0], *arguments)
        whole = builder.load(builder.bitcast(pointer, INTEGERS.as_pointer()), align=4)
        return builder.sitofp(whole, FLOATS)

    return VECTOR(array, types.int64), generate


@intrinsic
def magnitude(typingctx: Any, vector: Any) -> Any:
    """The absolute values."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return call(builder, f"llvm.fabs.v{WIDTH}f32", FLOATS, [arguments[0]])

    return VECTOR(VECTOR), generate


@intrinsic
def greatest(typingctx: Any, vector: Any) -> Any:
    """The largest of a vector's numbers: float32. Of numbers with a nan among them, any."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        half, vector = WIDTH, arguments[0]
        while half > 1:
            half //= 2
            rest = ir.Constant(vector.type, ir.Undefined)
            lower, upper = (
                builder.shuffle_vector(
                    vector, rest, ir.Constant(ir.VectorType(INT32, half), list(range(at, at + half)))
                )
                for at in (0, half)
            )
            vector = builder.select(builder.fcmp_ordered(">", lower, upper), lower, upper)
        return builder.extract_element(vector, ir.Constant(INT32, 0))

    from_vector = types.float32(VECTOR)
    return from_vector, generate
