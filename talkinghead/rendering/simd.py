"""Vectors of 16 float32 inside numba kernels: a row of a tile is one value.

LLVM turns them into whatever the processor has (one 512-bit, two 256-bit or four 128-bit registers), so kernels are
written once and do not hope for automatic vectorisation. Only for use in code compiled by `jit.kernel`:

    x = load(array, index); y = splat(np.float32(2)) * x; store(array, index, select(y > x, y, x))
"""

# ruff: noqa: ARG001, ARG002 (numba dictates these signatures)
# mypy: disable-error-code="no-untyped-call, misc"

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import llvmlite.ir as ir  # type: ignore[import-untyped]
import numpy as np
from numba import types
from numba.core import cgutils
from numba.core.typing.templates import AbstractTemplate, infer_global, signature
from numba.extending import intrinsic, lower_builtin, models, register_model

LANES = 16

_FLOATS = ir.VectorType(ir.FloatType(), LANES)
_INTS = ir.VectorType(ir.IntType(32), LANES)
_BITS = ir.VectorType(ir.IntType(1), LANES)
_BYTE = ir.IntType(8)


class _Floats(types.Type):
    def __init__(self) -> None:
        super().__init__(name=f"float32x{LANES}")


class _Mask(types.Type):
    def __init__(self) -> None:
        super().__init__(name=f"bool_x{LANES}")


def _intrinsic(function: Callable[..., Any]) -> Any:
    return intrinsic(function)


def _register_model(kind: type[Any]) -> Callable[[type[Any]], type[Any]]:
    registered: Callable[[type[Any]], type[Any]] = register_model(kind)
    return registered


floats = _Floats()
mask = _Mask()


@_register_model(_Floats)
class _FloatsModel(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: Any) -> None:
        super().__init__(manager, kind, _FLOATS)


@_register_model(_Mask)
class _MaskModel(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: Any) -> None:
        super().__init__(manager, kind, _BITS)


def _register(function: Any, operand: Any, result: Any, build: Any) -> None:
    """Define a binary operator on vectors."""

    class Template(AbstractTemplate):
        def generic(self, args: Any, kws: Any) -> Any:
            return signature(result, operand, operand) if tuple(args) == (operand, operand) else None

    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return build(builder, *args)

    infer_global(function)(Template)
    lower_builtin(function, operand, operand)(lower)


_register(operator.add, floats, floats, lambda builder, a, b: builder.fadd(a, b))
_register(operator.sub, floats, floats, lambda builder, a, b: builder.fsub(a, b))
_register(operator.mul, floats, floats, lambda builder, a, b: builder.fmul(a, b))
_register(operator.le, floats, mask, lambda builder, a, b: builder.fcmp_ordered("<=", a, b))
_register(operator.ge, floats, mask, lambda builder, a, b: builder.fcmp_ordered(">=", a, b))
_register(operator.lt, floats, mask, lambda builder, a, b: builder.fcmp_ordered("<", a, b))
_register(operator.gt, floats, mask, lambda builder, a, b: builder.fcmp_ordered(">", a, b))
_register(operator.and_, mask, mask, lambda builder, a, b: builder.and_(a, b))


def _broadcast(builder: Any, value: Any, kind: Any) -> Any:
    one = builder.insert_element(ir.Constant(kind, ir.Undefined), value, ir.Constant(ir.IntType(32), 0))
    zeros = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)
    return builder.shuffle_vector(one, ir.Constant(kind, ir.Undefined), zeros)


def _address(context: Any, builder: Any, array_type: Any, array: Any, index: Any) -> Any:
    """Pointer to LANES floats of a one-dimensional contiguous array."""
    data = context.make_array(array_type)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [index]), _FLOATS.as_pointer())


@_intrinsic
def splat(typing_context: Any, value: Any) -> Any:
    """The same float32 in all lanes."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return _broadcast(builder, args[0], _FLOATS)

    return floats(types.float32), generate


@_intrinsic
def ramp(typing_context: Any) -> Any:
    """0, 1, 2, ... LANES - 1."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return ir.Constant(_FLOATS, [float(lane) for lane in range(LANES)])

    return floats(), generate


@_intrinsic
def load(typing_context: Any, array: Any, index: Any) -> Any:
    """array[index:index + LANES] of a contiguous float32 array [n]."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return builder.load(_address(context, builder, sig.args[0], args[0], args[1]), align=4)

    return floats(array, types.intp), generate


@_intrinsic
def store(typing_context: Any, array: Any, index: Any, value: Any) -> Any:
    """array[index:index + LANES] = value."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        builder.store(args[2], _address(context, builder, sig.args[0], args[0], args[1]), align=4)
        return context.get_dummy_value()

    return types.void(array, types.intp, floats), generate


@_intrinsic
def multiply_add(typing_context: Any, a: Any, b: Any, c: Any) -> Any:
    """a * b + c, with one rounding where the processor has it."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        kind = ir.FunctionType(_FLOATS, [_FLOATS] * 3)
        function = cgutils.get_or_insert_function(builder.module, kind, f"llvm.fmuladd.v{LANES}f32")
        return builder.call(function, args)

    return floats(floats, floats, floats), generate


def _choose(relation: str) -> Any:
    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return builder.select(builder.fcmp_ordered(relation, *args), *args)

    return generate


@_intrinsic
def smaller(typing_context: Any, a: Any, b: Any) -> Any:
    """Lane by lane minimum."""
    return floats(floats, floats), _choose("<")


@_intrinsic
def larger(typing_context: Any, a: Any, b: Any) -> Any:
    """Lane by lane maximum."""
    return floats(floats, floats), _choose(">")


@_intrinsic
def select(typing_context: Any, condition: Any, yes: Any, no: Any) -> Any:
    """`yes` in lanes where the condition holds, else `no`."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return builder.select(*args)

    return floats(mask, floats, floats), generate


@_intrinsic
def count(typing_context: Any, condition: Any) -> Any:
    """Number of lanes where the condition holds, int32."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        bits = builder.bitcast(args[0], ir.IntType(LANES))
        return builder.zext(builder.ctpop(bits), ir.IntType(32))

    return types.int32(mask), generate


@_intrinsic
def power_of_two(typing_context: Any, whole: Any) -> Any:
    """2^n from n + 1.5 * 2^23 (the float whose low bits are n), n in [-126, 127]."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        bits = builder.bitcast(args[0], _INTS)
        shifted = builder.shl(bits, ir.Constant(_INTS, [23] * LANES))
        one = ir.Constant(_INTS, [int(np.float32(1).view(np.int32))] * LANES)
        return builder.bitcast(builder.add(shifted, one), _FLOATS)

    return floats(floats), generate


@_intrinsic
def float_bits(typing_context: Any, value: Any) -> Any:
    """The bits of one float32 as int32."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return builder.bitcast(args[0], ir.IntType(32))

    return types.int32(types.float32), generate


@_intrinsic
def prefetch(typing_context: Any, array: Any, index: Any) -> Any:
    """Ask for the memory at element `index` of a contiguous array (in row-major order), to be read soon."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        data = context.make_array(sig.args[0])(context, builder, args[0]).data
        address = builder.bitcast(builder.gep(data, [args[1]]), _BYTE.as_pointer())
        kind = ir.FunctionType(ir.VoidType(), [_BYTE.as_pointer(), *[ir.IntType(32)] * 3])
        function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
        for_reading, keep, data_cache = (ir.Constant(ir.IntType(32), value) for value in (0, 3, 1))
        builder.call(function, [address, for_reading, keep, data_cache])
        return context.get_dummy_value()

    return types.void(array, types.intp), generate
