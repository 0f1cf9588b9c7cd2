"""`accumulate_halves`: rows times a panel of `charlm.simd.halves`, in matrix tiles (AMX)."""

# compiled functions have the types that Numba finds
# mypy: disallow-untyped-defs=False, disallow-untyped-calls=False, disallow-untyped-decorators=False

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic, overload, register_jitable

from charlm.simd import amx, halves
from charlm.simd.amx import PAIRED, ROW, ROWS, SECOND_ROWS, TILE
from charlm.simd.halves import HALVES_PANEL
from charlm.simd.processor import WIDTH
from charlm.simd.vectors import INT64, element_pointer, fill, load, store

UPPER, LOWER = 0, 1

filled_depth = register_jitable(halves.filled_depth)  # the same, in compiled functions


@register_jitable
def store_halves(values, begin, depth, target, to):
    """Write both halves of so many float32 numbers, whole vectors; inside compiled functions only."""
    lower = to + filled_depth(depth)
    for place in range(0, depth, WIDTH):
        value = load(values, begin + place)
        store(target, to + place, value)
        store(target, lower + place, value - load(target, to + place))
    for place in range(depth, filled_depth(depth), WIDTH):
        store(target, to + place, fill(0.0))
        store(target, lower + place, fill(0.0))


def accumulate_halves(
    x: Any,
    x_offset: int,
    rows: int,
    height: int,
    weights: Any,
    offset: int,
    depth: int,
    vectors: int,
    result: Any,
    begin: int,
    stride: int,
) -> None:
    """result += x @ panel, inside compiled functions only, between `begin_products` and `end_products` of `x`.

    Args:
        x: flat uint16; halves of a row as `store_halves` writes them, those of the next row behind them.
        rows, height: of a tile, as `charlm.simd.tiles` divides rows of bfloat16.
        weights: flat uint16; the panel begins at `offset`.
        depth: numbers of a row, filled up: a multiple of TILE_DEPTH.
        vectors: of the panel that count, 1 or 2; a literal number.
        result: flat float32; row r begins at ``begin + r * stride``.
    """
    raise NotImplementedError("a compiled function calls this")


@overload(accumulate_halves, prefer_literal=True)
def _accumulate(x, x_offset, rows, height, weights, offset, depth, vectors, result, begin, stride):
    if not isinstance(vectors, types.IntegerLiteral):
        return None
    product = _product(vectors.literal_value)
    return lambda x, x_offset, rows, height, weights, offset, depth, vectors, result, begin, stride: product(
        x, x_offset, rows, height, weights, offset, depth, result, begin, stride
    )


def _product(vectors: int) -> Any:
    """The product with so many vectors, as an intrinsic."""

    @intrinsic
    def product(
        typingctx: Any,
        x: Any,
        x_offset: Any,
        rows: Any,
        height: Any,
        weights: Any,
        offset: Any,
        depth: Any,
        result: Any,
        begin: Any,
        stride: Any,
    ) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            x, x_offset, rows, height, weights, offset, depth, result, begin, stride = arguments
            x_type, _, _, _, weights_type, _, _, result_type, _, _ = signature.args
            operation = _Operation(
                builder,
                row=amx.to_bytes(builder, element_pointer(context, builder, x_type, x, x_offset)),
                length=builder.shl(depth, ir.Constant(INT64, 1)),
                panel=amx.to_bytes(builder, element_pointer(context, builder, weights_type, weights, offset)),
                sums=amx.to_bytes(builder, element_pointer(context, builder, result_type, result, begin)),
                stride=builder.shl(stride, ir.Constant(INT64, 2)),
                beyond=builder.sub(rows, height),
                vectors=vectors,
            )
            with builder.if_else(builder.icmp_signed("==", rows, height)) as (alone, paired):
                with alone:
                    operation.emit([ROWS])
                with paired:
                    operation.emit([ROWS, SECOND_ROWS])
            return context.get_dummy_value()

        integers = (types.int64,)
        return types.void(x, *integers * 3, weights, *integers * 2, result, *integers * 2), generate

    return product


class _Operation:
    """result += x @ panel, as instructions. Pointers are to bytes."""

    def __init__(
        self,
        builder: Any,
        *,
        row: Any,
        length: Any,
        panel: Any,
        sums: Any,
        stride: Any,
        beyond: Any,
        vectors: int,
    ) -> None:
        """
        Args:
            row, length: where the first row begins, and the bytes of its upper halves.
            sums, stride: where the first row of the result begins, and the bytes from one to the next.
            beyond: rows of the first tile that the second leaves out.
        """
        self.builder, self.length, self.panel, self.stride, self.vectors = builder, length, panel, stride, vectors
        self.row_stride = builder.shl(length, ir.Constant(INT64, 1))
        self.rows = [row, builder.gep(row, [builder.mul(beyond, self.row_stride)])]
        self.sums = [sums, builder.gep(sums, [builder.mul(beyond, stride)])]

    def emit(self, rows: list[int]) -> None:
        """The product of one or two tiles of rows, each by its number, from the first depth to the last."""
        builder, vectors = self.builder, range(self.vectors)
        sums = [
            (line * self.vectors + vector, amx.ahead(builder, self.sums[line], vector * ROW))
            for line in range(len(rows))
            for vector in vectors
        ]
        for tile, pointer in sums:
            amx.load(builder, tile, pointer, self.stride)
        with amx.counted(builder, self.length, ROW) as at:  # bytes into the upper halves
            self._emit_depth(rows, at)
        for tile, pointer in sums:
            amx.save(builder, tile, pointer, self.stride)

    def _emit_depth(self, rows: list[int], at: Any) -> None:
        """One depth: the rows' upper halves times both halves of the weights, then their lower ones times the upper."""
        builder, bytes_of_panel = self.builder, 2 * HALVES_PANEL * TILE
        panel = builder.gep(self.panel, [builder.mul(at, ir.Constant(INT64, bytes_of_panel // ROW))])
        uppers = [builder.gep(row, [at]) for row in self.rows[: len(rows)]]
        for tile, upper in zip(rows, uppers, strict=True):
            amx.load(builder, tile, upper, self.row_stride)
        # the upper halves of the weights come last, and stay for the rows' lower ones
        for half in (LOWER, UPPER):
            for vector in range(self.vectors):
                weights = amx.ahead(builder, panel, (2 * vector + half) * TILE)
                amx.load(builder, PAIRED[vector], weights, ir.Constant(INT64, ROW))
                # the same tile of the next depth; it may lie beyond the last
                amx.fetch(builder, amx.ahead(builder, weights, bytes_of_panel))
                self._add(rows, vector)
        for tile, upper in zip(rows, uppers, strict=True):
            amx.load(builder, tile, builder.gep(upper, [self.length]), self.row_stride)
        for vector in range(self.vectors):
            self._add(rows, vector)

    def _add(self, rows: list[int], vector: int) -> None:
        for line, tile in enumerate(rows):
            amx.multiply(self.builder, line * self.vectors + vector, tile, PAIRED[vector])
