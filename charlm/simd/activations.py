"""exp and sigmoid of vectors, to a few units in the last place of float32; tanh to a few at 1, less near 0.

nan comes out where nan goes in; nothing overflows.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.extending import intrinsic, register_jitable

from charlm.simd.processor import WIDTH
from charlm.simd.vectors import FLOATS, INT32, INTEGERS, VECTOR, call, fill, largest, smallest

# exp is 2^n times a polynomial in what is left, at most half of log 2
LOG2_E = 1.4426950408889634
LOG_2_HIGH, LOG_2_LOW = 0.693145751953125, 1.428606765330187e-06  # two floats that add up to log 2
LOG2_E_HIGH, LOG2_E_LOW = 1.4426950216293335, 1.925963033500011e-08  # two floats that add up to it
LOG_2 = 0.6931471805599453
LEAST, MOST = -87.0, 87.0
# e to this is just below 2^125; one over 2^126 would have lost digits
FARTHEST = 86.5
# added to a number of less than 2^22, this leaves the nearest integer in the lowest bits
ROUNDER = 12582912.0
EXPONENT_OF_ONE = 127


@intrinsic
def _power_of_two(typingctx: Any, shifted: Any) -> Any:
    """2^n of an n to which ROUNDER was added."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        bits = builder.add(builder.bitcast(arguments[0], INTEGERS), ir.Constant(INTEGERS, [EXPONENT_OF_ONE] * WIDTH))
        return builder.bitcast(builder.shl(bits, ir.Constant(INTEGERS, [23] * WIDTH)), FLOATS)

    return VECTOR(VECTOR), generate


@intrinsic
def _one_over(typingctx: Any, vector: Any) -> Any:
    """1 / x, to a unit in the last place, of x from 1 to 2^126."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        (x,) = arguments
        if WIDTH != 16:
            return builder.fdiv(ir.Constant(FLOATS, [1.0] * WIDTH), x)
        # a division takes as long as ten products; the processor's guess has 14 bits, one step of Newton's doubles them
        whole = ir.Constant(ir.IntType(16), -1)
        guess = call(builder, "llvm.x86.avx512.rcp14.ps.512", FLOATS, [x, x, whole])
        negative = builder.fneg(x)
        rest = call(builder, "llvm.fma.v16f32", FLOATS, [negative, guess, ir.Constant(FLOATS, [2.0] * WIDTH)])
        return builder.fmul(guess, rest)

    return VECTOR(VECTOR), generate


@register_jitable
def exp(x: Any) -> Any:
    """e^x; x is first brought into [-87, 87]. The polynomial is Taylor's, of degree 6."""
    x = largest(fill(LEAST), smallest(fill(MOST), x))
    shifted = x * LOG2_E + ROUNDER
    n = shifted - ROUNDER
    r = x - n * LOG_2_HIGH - n * LOG_2_LOW
    p = r * (1 / 720) + (1 / 120)
    p = p * r + (1 / 24)
    p = p * r + (1 / 6)
    p = p * r + 0.5
    p = p * r + 1.0
    p = p * r + 1.0
    return p * _power_of_two(shifted)


@intrinsic
def _nearest(typingctx: Any, vector: Any) -> Any:
    """The nearest integers, in one instruction of AVX-512."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return call(builder, "llvm.rint.v16f32", FLOATS, [arguments[0]])

    return VECTOR(VECTOR), generate


@intrinsic
def _scaled(typingctx: Any, vector: Any, exponents: Any) -> Any:
    """vector * 2^exponents, in one instruction of AVX-512; 0 or inf where that is."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        value, exponents = arguments
        whole, as_it_is = ir.Constant(ir.IntType(16), -1), ir.Constant(INT32, 4)
        name = "llvm.x86.avx512.mask.scalef.ps.512"
        return call(builder, name, FLOATS, [value, exponents, value, whole, as_it_is])

    return VECTOR(VECTOR, VECTOR), generate


@intrinsic
def _fused(typingctx: Any, left: Any, right: Any, added: Any) -> Any:
    """left * right + added, rounded once."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return call(builder, "llvm.fma.v16f32", FLOATS, list(arguments))

    return VECTOR(VECTOR, VECTOR, VECTOR), generate


# The squashing functions take most of the time that a small layer does not spend in products.
if WIDTH == 16:

    @register_jitable
    def _exp_of_product(x: Any, factor: float) -> Any:
        """e^(factor * x) for a factor that is a power of two, and a product of at most FARTHEST in size.

        2^n times Taylor's polynomial of degree 6 in what is left of the exponent, at most a half.
        """
        n = _nearest(x * (factor * LOG2_E_HIGH))
        r = _fused(x, fill(factor * LOG2_E_HIGH), -n)
        r = _fused(x, fill(factor * LOG2_E_LOW), r)
        p = r * 1.5403530393381606e-04 + 1.3333558146428443e-03
        p = p * r + 9.618129107628477e-03
        p = p * r + 5.550410866482158e-02
        p = p * r + 2.4022650695910072e-01
        p = p * r + LOG_2
        p = p * r + 1.0
        return _scaled(p, n)

else:

    @register_jitable
    def _exp_of_product(x: Any, factor: float) -> Any:
        """e^(factor * x)"""
        return exp(x * factor)


@register_jitable
def _between(x: Any, most: float) -> Any:
    """x, or the nearer bound where it is beyond -most or most."""
    return largest(fill(-most), smallest(fill(most), x))


@register_jitable
def sigmoid(x: Any) -> Any:
    """1 / (1 + e^-x)"""
    return _one_over(1.0 + _exp_of_product(_between(x, FARTHEST), -1.0))


@register_jitable
def tanh(x: Any) -> Any:
    """(1 - e^-2x) / (1 + e^-2x)"""
    e = _exp_of_product(_between(x, FARTHEST / 2), -2.0)
    return (1.0 - e) * _one_over(1.0 + e)
