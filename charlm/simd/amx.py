"""Products in the processor's matrix tiles (AMX): 16 x 16 sums of float32, added to by pairs of bfloat16.

Of the eight tiles four hold sums; what the others hold depends on the rows that are multiplied at a time. Up to 16 are
one tile, times the panel's vectors one after the other. More are two tiles, times two vectors at a time: each tile of
weights is read once for both. The two are of equal height and may overlap; what both compute is the same.

How high tiles are is said by `configure`, once before a loop, for it takes as long as a dozen products.

Source: Intel 64 and IA-32 Architectures Software Developer's Manual, volume 1, chapter 18.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from charlm.simd.vectors import INT32, INT64, call, element_pointer

HEIGHT = 16
"""Rows of the highest tile."""

ROW = 64  # bytes of a tile's row
TILE = HEIGHT * ROW
BYTE = ir.IntType(8)
# tiles by number: the sums are 0 to 3
ROWS, SECOND_ROWS = 4, 5
ALONE, PAIRED = (5, 6, 7), (6, 7)  # weights, where the rows are one tile or two
# of what `ldtilecfg` reads: bytes, and where the bytes of a row and the rows of each tile stand in it
CONFIGURATION, WIDTHS, HEIGHTS = 64, 16, 48


@intrinsic
def configure(typingctx: Any, height: Any, paired: Any) -> Any:
    """Tiles of sums and rows get `height`, 1 to HEIGHT; `paired` where there are two of rows. For this thread."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        height, paired = arguments
        room = cgutils.alloca_once(builder, ir.ArrayType(BYTE, CONFIGURATION))
        start = builder.bitcast(room, BYTE.as_pointer())
        fixed = [1] + [0] * (CONFIGURATION - 1)  # the palette: eight tiles of 16 rows
        fixed[WIDTHS : WIDTHS + 16 : 2] = [ROW] * 8
        fixed[HEIGHTS : HEIGHTS + 8] = [HEIGHT] * 8
        builder.store(ir.Constant(ir.ArrayType(BYTE, CONFIGURATION), fixed), room)
        rows = builder.trunc(height, BYTE)
        second = builder.select(paired, rows, ir.Constant(BYTE, HEIGHT))
        for tile, value in (*((tile, rows) for tile in range(ROWS + 1)), (SECOND_ROWS, second)):
            builder.store(value, ahead(builder, start, HEIGHTS + tile))
        call(builder, "llvm.x86.ldtilecfg", ir.VoidType(), [start])
        return context.get_dummy_value()

    return types.void(types.int64, types.boolean), generate


@intrinsic
def release(typingctx: Any) -> Any:
    """The tiles are not needed any more."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        call(builder, "llvm.x86.tilerelease", ir.VoidType(), [])
        return context.get_dummy_value()

    return types.void(), generate


def product(vectors: int, fresh: bool) -> Any:
    """`charlm.simd.tiles.accumulate`, or `multiply`, for panels of so many vectors, at most 4, as an intrinsic."""

    @intrinsic
    def tiled(
        typingctx: Any,
        x: Any,
        x_offset: Any,
        row_stride: Any,
        rows: Any,
        height: Any,
        weights: Any,
        offset: Any,
        depth: Any,
        sums: Any,
    ) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            x, x_offset, row_stride, rows, height, weights, offset, depth, sums = arguments
            x_type, *_, weights_type, _, _, sums_type = signature.args
            operation = _Operation(
                builder,
                begin=to_bytes(builder, element_pointer(context, builder, x_type, x, x_offset)),
                row=builder.shl(row_stride, ir.Constant(INT64, 1)),
                panel=to_bytes(builder, element_pointer(context, builder, weights_type, weights, offset)),
                steps=builder.ashr(depth, ir.Constant(INT64, 5)),
                sums=to_bytes(builder, element_pointer(context, builder, sums_type, sums, ir.Constant(INT64, 0))),
                beyond=builder.sub(rows, height),
                vectors=vectors,
                fresh=fresh,
            )
            one = builder.icmp_signed("==", rows, height)
            with builder.if_else(one) as (alone, paired):
                with alone:
                    operation.emit(range(vectors), [ROWS], ALONE)
                with paired:
                    for first in range(0, vectors, 2):
                        operation.emit(range(first, min(first + 2, vectors)), [ROWS, SECOND_ROWS], PAIRED)
            return context.get_dummy_value()

        integers = (types.int64,)
        return types.void(x, *integers * 4, weights, *integers * 2, sums), generate

    return tiled


class _Operation:
    """sums += rows @ panel, or sums = rows @ panel, as instructions. Pointers are to bytes."""

    def __init__(
        self,
        builder: Any,
        *,
        begin: Any,
        row: Any,
        panel: Any,
        steps: Any,
        sums: Any,
        beyond: Any,
        vectors: int,
        fresh: bool,
    ) -> None:
        """
        Args:
            begin, row: where the first row begins, and how far apart rows are.
            steps: depths in units of TILE_DEPTH.
            beyond: rows of the first tile that the second leaves out.
            vectors: of the panel, and of a row of sums.
            fresh: sums begin at zero, whatever is there.
        """
        self.builder, self.row, self.panel, self.steps, self.fresh = builder, row, panel, steps, fresh
        self.wide = ir.Constant(INT64, vectors * ROW)
        self.step_of_panel = ir.Constant(INT64, vectors * TILE)
        self.begins = [begin, builder.gep(begin, [builder.mul(beyond, row)])]
        self.sums = [sums, builder.gep(sums, [builder.mul(beyond, self.wide)])]

    def emit(self, columns: range, rows: list[int], weights: tuple[int, ...]) -> None:
        """The product of one or two tiles of rows with some vectors of the panel, from the first depth to the last."""
        builder = self.builder
        cells = [
            (line * len(columns) + place, line, place, ahead(builder, self.sums[line], column * ROW))
            for line in range(len(rows))
            for place, column in enumerate(columns)
        ]
        for cell, _, _, pointer in cells:
            if self.fresh:
                call(builder, "llvm.x86.tilezero", ir.VoidType(), _numbers(cell))
            else:
                load(builder, cell, pointer, self.wide)
        with counted(builder, self.steps, 1) as k:
            here, panel = builder.mul(k, ir.Constant(INT64, ROW)), builder.mul(k, self.step_of_panel)
            for cell, line, place, _ in cells:
                held = weights[place % len(weights)]
                if not place:
                    load(builder, rows[line], builder.gep(self.begins[line], [here]), self.row)
                if not line:
                    tile = ahead(builder, builder.gep(self.panel, [panel]), columns[place] * TILE)
                    load(builder, held, tile, ir.Constant(INT64, ROW))
                    # the same tile of the next depths; it may lie beyond the last
                    fetch(builder, builder.gep(tile, [self.step_of_panel]))
                multiply(builder, cell, rows[line], held)
        for cell, _, _, pointer in cells:
            save(builder, cell, pointer, self.wide)


@contextmanager
def counted(builder: Any, end: Any, step: int) -> Iterator[Any]:
    """A loop, as instructions: over 0, `step`, 2 `step`, ... below `end`, and 0 in any case."""
    before = builder.block
    loop, after = builder.append_basic_block("depth"), builder.append_basic_block("done")
    builder.branch(loop)
    builder.position_at_end(loop)
    at = builder.phi(INT64)
    at.add_incoming(ir.Constant(INT64, 0), before)
    yield at
    following = builder.add(at, ir.Constant(INT64, step))
    at.add_incoming(following, builder.block)
    builder.cbranch(builder.icmp_signed("<", following, end), loop, after)
    builder.position_at_end(after)


def load(builder: Any, tile: int, pointer: Any, stride: Any) -> None:
    """A tile from memory, its rows so many bytes apart."""
    call(builder, "llvm.x86.tileloadd64", ir.VoidType(), [*_numbers(tile), pointer, stride])


def save(builder: Any, tile: int, pointer: Any, stride: Any) -> None:
    """A tile to memory."""
    call(builder, "llvm.x86.tilestored64", ir.VoidType(), [*_numbers(tile), pointer, stride])


def multiply(builder: Any, sums: int, rows: int, weights: int) -> None:
    """sums += rows @ weights, all three tiles."""
    call(builder, "llvm.x86.tdpbf16ps", ir.VoidType(), _numbers(sums, rows, weights))


def fetch(builder: Any, pointer: Any) -> None:
    """Ask for a tile in one piece, while others are multiplied. It need not be there."""
    to_read, soon, data = (ir.Constant(INT32, number) for number in (0, 3, 1))
    for line in range(HEIGHT):
        call(builder, "llvm.prefetch.p0", ir.VoidType(), [ahead(builder, pointer, line * ROW), to_read, soon, data])


def to_bytes(builder: Any, pointer: Any) -> Any:
    """A pointer to what it points to, as bytes."""
    return builder.bitcast(pointer, BYTE.as_pointer())


def ahead(builder: Any, pointer: Any, distance: int) -> Any:
    """A pointer to bytes, so many ahead."""
    return builder.gep(pointer, [ir.Constant(INT64, distance)])


def _numbers(*tiles: int) -> list[Any]:
    return [ir.Constant(BYTE, tile) for tile in tiles]
