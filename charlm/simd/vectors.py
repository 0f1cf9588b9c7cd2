"""`Vector`: WIDTH float32 numbers in one register, as a type that compiled functions compute with.

`+ - * /` and unary minus take vectors, or a vector and a scalar. Sums of products may be fused into one
rounding. Arrays are flat and contiguous: float32, or uint16 that holds bfloat16.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic, models, overload, register_jitable, register_model

from charlm.simd.processor import WIDTH

FLOAT = ir.FloatType()
INT16, INT32, INT64 = ir.IntType(16), ir.IntType(32), ir.IntType(64)
FLOATS = ir.VectorType(FLOAT, WIDTH)
SHORTS = ir.VectorType(INT16, WIDTH)
INTEGERS = ir.VectorType(INT32, WIDTH)
TURNS = [index // 2 + index % 2 * WIDTH for index in range(2 * WIDTH)]
"""Of two vectors side by side, a number of each in turns."""


class BFloat16Type(ir.types._BaseFloatType):
    """LLVM's bfloat, which llvmlite has no name for."""

    null = "0.0"
    intrinsic_name = "bf16"

    def __str__(self) -> str:
        return "bfloat"


BFloat16Type._create_instance()
BFLOATS = ir.VectorType(BFloat16Type(), WIDTH)


class VectorType(types.Type):
    """Numba's name for a vector."""

    def __init__(self) -> None:
        super().__init__(name=f"Vector({WIDTH} x float32)")


VECTOR = VectorType()


@register_model(VectorType)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, dmm: Any, fe_type: Any) -> None:
        super().__init__(dmm, fe_type, FLOATS)


LINE = 64  # bytes of a cache line


@register_jitable
def empty_floats(count: int) -> Any:
    """A flat float32 array that holds anything, inside compiled functions; it begins with a cache line.

    A vector, or a row of a tile, that lies across two of them takes longer; every other array of Numba's makes it so.
    """
    room = np.empty(count + LINE // 4, np.float32)
    first = -room.ctypes.data % LINE // 4
    return room[first : first + count]


@register_jitable
def empty_shorts(count: int) -> Any:
    """The same of uint16."""
    room = np.empty(count + LINE // 2, np.uint16)
    first = -room.ctypes.data % LINE // 2
    return room[first : first + count]


def element_pointer(context: Any, builder: Any, array_type: Any, array: Any, offset: Any) -> Any:
    """Pointer to element `offset` of a flat array."""
    return builder.gep(context.make_array(array_type)(context, builder, array).data, [offset])


def call(builder: Any, name: str, result: Any, arguments: list[Any]) -> Any:
    """Call one of LLVM's own functions, such as ``llvm.fma.v16f32``."""
    kind = ir.FunctionType(result, [argument.type for argument in arguments])
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, name), arguments)


def repeat(builder: Any, scalar: Any) -> Any:
    """WIDTH copies of a scalar."""
    kind = ir.VectorType(scalar.type, WIDTH)
    single = builder.insert_element(ir.Constant(kind, ir.Undefined), scalar, ir.Constant(INT32, 0))
    return builder.shuffle_vector(single, ir.Constant(kind, ir.Undefined), ir.Constant(INTEGERS, None))


def holds_bfloat16(array_type: Any) -> bool:
    """Whether an array type is uint16, and so bfloat16."""
    return bool(array_type.dtype == types.uint16)


@intrinsic
def load(typingctx: Any, array: Any, offset: Any) -> Any:
    """Elements `offset` to `offset + WIDTH` of a flat array, as a vector."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        pointer = element_pointer(context, builder, signature.args[0], *arguments)
        if not holds_bfloat16(signature.args[0]):
            return builder.load(builder.bitcast(pointer, FLOATS.as_pointer()), align=4)
        short = builder.load(builder.bitcast(pointer, SHORTS.as_pointer()), align=2)
        # a bfloat16 is the upper half of a float32
        wide = builder.shl(builder.zext(short, INTEGERS), ir.Constant(INTEGERS, [16] * WIDTH))
        return builder.bitcast(wide, FLOATS)

    return VECTOR(array, types.int64), generate


@intrinsic
def store(typingctx: Any, array: Any, offset: Any, value: Any) -> Any:
    """Write a vector to elements `offset` to `offset + WIDTH`, rounded where the array holds bfloat16.

    To bfloat16 only where the processor has it (`HAS_BFLOAT16`).
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array, offset, value = arguments
        pointer = element_pointer(context, builder, signature.args[0], array, offset)
        if holds_bfloat16(signature.args[0]):
            short = builder.fptrunc(value, BFLOATS)
            builder.store(short, builder.bitcast(pointer, BFLOATS.as_pointer()), align=2)
        else:
            builder.store(value, builder.bitcast(pointer, FLOATS.as_pointer()), align=4)
        return context.get_dummy_value()

    return types.void(array, types.int64, value), generate


@intrinsic
def store_pairs(typingctx: Any, array: Any, offset: Any, first: Any, second: Any) -> Any:
    """Write two vectors to elements `offset` to `offset + 2 * WIDTH` in turns, a number of each, rounded to bfloat16.

    Only where the processor has it (`HAS_BFLOAT16`).
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array, offset, *values = arguments
        pointer = element_pointer(context, builder, signature.args[0], array, offset)
        order = ir.Constant(ir.VectorType(INT32, 2 * WIDTH), TURNS)
        pairs = builder.shuffle_vector(*(builder.fptrunc(value, BFLOATS) for value in values), order)
        builder.store(pairs, builder.bitcast(pointer, pairs.type.as_pointer()), align=2)
        return context.get_dummy_value()

    return types.void(array, types.int64, first, second), generate


@intrinsic
def copy_pairs(typingctx: Any, source: Any, first: Any, second: Any, target: Any, offset: Any) -> Any:
    """`store_pairs` of two places of another array of bfloat16: what stands there, as it is."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        source, *places, target, offset = arguments
        starts = [element_pointer(context, builder, signature.args[0], source, place) for place in places]
        values = [builder.load(builder.bitcast(start, SHORTS.as_pointer()), align=2) for start in starts]
        pairs = builder.shuffle_vector(*values, ir.Constant(ir.VectorType(INT32, 2 * WIDTH), TURNS))
        to = element_pointer(context, builder, signature.args[3], target, offset)
        builder.store(pairs, builder.bitcast(to, pairs.type.as_pointer()), align=2)
        return context.get_dummy_value()

    return types.void(source, types.int64, types.int64, target, types.int64), generate


@intrinsic
def turn(
    typingctx: Any, source: Any, source_offset: Any, source_stride: Any, target: Any, offset: Any, stride: Any
) -> Any:
    """A square of WIDTH x WIDTH numbers of float32, or pairs of bfloat16, turned about its diagonal.

    Row r begins at ``source_offset + r * source_stride``; the column that was number r at ``offset + r * stride`` of
    `target`, an array of the same format.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        source, source_offset, source_stride, target, offset, stride = arguments
        start = element_pointer(context, builder, signature.args[0], source, source_offset)

        def place(begin: Any, row: int, stride: Any) -> Any:
            there = builder.gep(begin, [builder.mul(ir.Constant(INT64, row), stride)])
            return builder.bitcast(there, INTEGERS.as_pointer())

        rows = [builder.load(place(start, row, source_stride), align=2) for row in range(WIDTH)]
        # in ever larger squares, the two off the diagonal change places
        side = 1
        while side < WIDTH:
            below = [column if not column & side else column - side + WIDTH for column in range(WIDTH)]
            above = [column + side if not column & side else column + WIDTH for column in range(WIDTH)]
            for row in range(WIDTH):
                if not row & side:
                    pair = rows[row], rows[row + side]
                    rows[row] = builder.shuffle_vector(*pair, ir.Constant(INTEGERS, below))
                    rows[row + side] = builder.shuffle_vector(*pair, ir.Constant(INTEGERS, above))
            side *= 2
        first = element_pointer(context, builder, signature.args[3], target, offset)
        for row, value in enumerate(rows):
            builder.store(value, place(first, row, stride), align=2)
        return context.get_dummy_value()

    return types.void(source, types.int64, types.int64, target, types.int64, types.int64), generate


@intrinsic
def fill(typingctx: Any, scalar: Any) -> Any:
    """A vector of equal numbers."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return repeat(builder, arguments[0])

    return VECTOR(types.float32), generate


@intrinsic
def where_at_least(typingctx: Any, array: Any, offset: Any, least: Any, vector: Any) -> Any:
    """The numbers of a vector where those of a flat array of int16, from `offset` on, are not below `least`, else 0."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array, offset, least, vector = arguments
        pointer = element_pointer(context, builder, signature.args[0], array, offset)
        numbers = builder.load(builder.bitcast(pointer, SHORTS.as_pointer()), align=2)
        enough = builder.icmp_signed(">=", numbers, repeat(builder, builder.trunc(least, INT16)))
        return builder.select(enough, vector, ir.Constant(FLOATS, [0.0] * WIDTH))

    return VECTOR(array, types.int64, types.int64, VECTOR), generate


@intrinsic
def total(typingctx: Any, vector: Any) -> Any:
    """The sum of a vector's numbers, in pairs: float32."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        half, vector = WIDTH, arguments[0]
        while half > 1:
            half //= 2
            upper = ir.Constant(ir.VectorType(INT32, half), [half + index for index in range(half)])
            lower = ir.Constant(ir.VectorType(INT32, half), list(range(half)))
            rest = ir.Constant(vector.type, ir.Undefined)
            vector = builder.fadd(
                builder.shuffle_vector(vector, rest, lower), builder.shuffle_vector(vector, rest, upper)
            )
        return builder.extract_element(vector, ir.Constant(INT32, 0))

    return types.float32(VECTOR), generate


def _binary(emit: Callable[[Any, Any, Any], Any]) -> Any:
    """A function of two vectors from the instruction that computes it."""

    @intrinsic
    def function(typingctx: Any, left: Any, right: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            return emit(builder, *arguments)

        return VECTOR(VECTOR, VECTOR), generate

    return function


# subtle: where one of the two is nan it is the second that comes out, so that `largest(bound, x)` keeps a nan
largest = _binary(lambda builder, a, b: builder.select(builder.fcmp_ordered(">", a, b), a, b))
smallest = _binary(lambda builder, a, b: builder.select(builder.fcmp_ordered("<", a, b), a, b))
# the second where the first is above zero, elsewhere 0
where_positive = _binary(
    lambda builder, a, b: builder.select(
        builder.fcmp_ordered(">", a, ir.Constant(FLOATS, [0.0] * WIDTH)), b, ir.Constant(FLOATS, [0.0] * WIDTH)
    )
)
_FUSED = ("contract",)
_OPERATORS: dict[Any, Any] = {
    operator.add: _binary(lambda builder, a, b: builder.fadd(a, b, flags=_FUSED)),
    operator.sub: _binary(lambda builder, a, b: builder.fsub(a, b, flags=_FUSED)),
    operator.mul: _binary(lambda builder, a, b: builder.fmul(a, b, flags=_FUSED)),
    operator.truediv: _binary(lambda builder, a, b: builder.fdiv(a, b)),
}


def _overload(symbol: Any, function: Any) -> None:
    # numba wants the same signature here and in what comes out, so there are no types
    def implement(a, b):
        vectors = isinstance(a, VectorType), isinstance(b, VectorType)
        if all(vectors):
            return lambda a, b: function(a, b)
        if vectors[0] and isinstance(b, types.Number):
            return lambda a, b: function(a, fill(b))
        if vectors[1] and isinstance(a, types.Number):
            return lambda a, b: function(fill(a), b)
        return None

    overload(symbol)(implement)


for _symbol, _function in _OPERATORS.items():
    _overload(_symbol, _function)


@overload(operator.neg)
def _negative(a):
    return (lambda a: 0.0 - a) if isinstance(a, VectorType) else None
