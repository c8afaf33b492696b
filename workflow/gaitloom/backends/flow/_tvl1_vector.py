"""Vectors of 16 float32 for numba, so that a kernel's loads, stores and roundings are those that it says.

numba's own vectoriser must prove that a dozen rows do not overlap, and gives up. LLVM splits these vectors into what
the processor has (AVX-512, AVX2, NEON); each lane is one IEEE operation at a time, so results do not depend on that.
"""

# pyright: reportOptionalCall=false, reportCallIssue=false
import operator
from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.typing.templates import ConcreteTemplate, infer_global, signature
from numba.extending import intrinsic, lower_builtin, models, register_model

LANES = 16
_IR = ir.VectorType(ir.FloatType(), LANES)
_I32 = ir.IntType(32)


class Vector(types.Type):
    """numba's type of a vector."""

    def __init__(self) -> None:
        super().__init__(f"float32x{LANES}")


vector = Vector()


@register_model(Vector)
class _Model(models.PrimitiveModel):
    def __init__(self, dmm: Any, fe_type: Any) -> None:
        super().__init__(dmm, fe_type, _IR)


def _define(symbol: Any, instruction: str) -> None:
    @infer_global(symbol)
    class Template(ConcreteTemplate):
        cases = [signature(vector, vector, vector)]  # noqa: RUF012

    @lower_builtin(symbol, vector, vector)
    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return getattr(builder, instruction)(*args)


for _symbol, _instruction in (
    (operator.add, "fadd"),
    (operator.sub, "fsub"),
    (operator.mul, "fmul"),
    (operator.truediv, "fdiv"),
):
    _define(_symbol, _instruction)


def _at(context: Any, builder: Any, array_type: Any, array: Any, index: Any) -> Any:
    data = context.make_array(array_type)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [index]), _IR.as_pointer())


def _shuffled(builder: Any, one: Any, other: Any, lanes: list[int]) -> Any:
    return builder.shuffle_vector(one, other, ir.Constant(ir.VectorType(_I32, LANES), lanes))


@intrinsic
def load(typing: Any, array: Any, index: Any) -> Any:
    """The 16 values of a flat float32 array from `index` on."""

    def make(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return builder.load(_at(context, builder, sig.args[0], *args), align=4)

    return vector(array, types.intp), make


@intrinsic
def store(typing: Any, array: Any, index: Any, value: Any) -> Any:
    """Write 16 values into a flat float32 array from `index` on."""

    def make(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        builder.store(args[2], _at(context, builder, sig.args[0], *args[:2]), align=4)
        return context.get_dummy_value()

    return types.void(array, types.intp, vector), make


@intrinsic
def splat(typing: Any, value: Any) -> Any:
    """16 times the same float32."""

    def make(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        first = builder.insert_element(ir.Constant(_IR, ir.Undefined), args[0], ir.Constant(_I32, 0))
        return _shuffled(builder, first, first, [0] * LANES)

    return vector(types.float32), make


@intrinsic
def fma(typing: Any, a: Any, b: Any, c: Any) -> Any:
    """a * b + c of three float32 numbers, rounded once."""

    def make(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return builder.fma(*args)

    return types.float32(types.float32, types.float32, types.float32), make


@intrinsic
def fold(typing: Any, a: Any, b: Any, c: Any, d: Any) -> Any:
    """Lanes 0 to 3: the sum over the four vectors, in order, of the sums over each one's quarters, in order."""

    def make(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        quarters = []  # of all four vectors, side by side
        for first in range(0, LANES, 4):
            pick = [*range(first, first + 4), *range(LANES + first, LANES + first + 4)] * 2
            one, other = _shuffled(builder, *args[:2], pick), _shuffled(builder, *args[2:], pick)
            quarters.append(_shuffled(builder, one, other, [*range(8), *range(LANES + 8, LANES + 16)]))
        sums = _summed(builder, quarters)
        turned = [_shuffled(builder, sums, sums, [(i + by) % LANES for i in range(LANES)]) for by in (4, 8, 12)]
        return _summed(builder, [sums, *turned])

    return vector(vector, vector, vector, vector), make


def _summed(builder: Any, values: list[Any]) -> Any:
    total = values[0]
    for value in values[1:]:
        total = builder.fadd(total, value)
    return total


@intrinsic
def root(typing: Any, value: Any) -> Any:
    """The exact square root."""

    def make(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        name = f"llvm.sqrt.v{LANES}f32"
        return builder.call(cgutils.get_or_insert_function(builder.module, ir.FunctionType(_IR, [_IR]), name), args)

    return vector(vector), make


@intrinsic
def hypot(typing: Any, one: Any, other: Any) -> Any:
    """The length of (one, other), computed in float64 and rounded once."""

    def make(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        double = ir.VectorType(ir.DoubleType(), LANES)
        a, b = (builder.fpext(x, double) for x in args)
        name = f"llvm.sqrt.v{LANES}f64"
        sqrt = cgutils.get_or_insert_function(builder.module, ir.FunctionType(double, [double]), name)
        return builder.fptrunc(builder.call(sqrt, [builder.fadd(builder.fmul(a, a), builder.fmul(b, b))]), _IR)

    return vector(vector, vector), make


def _lane(number: int) -> Callable[..., Any]:
    @intrinsic
    def lane(typing: Any, value: Any) -> Any:
        def make(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            return builder.extract_element(args[0], ir.Constant(_I32, number))

        return types.float32(vector), make

    return lane


def _chosen(comparison: str) -> Callable[..., Any]:
    @intrinsic
    def chosen(typing: Any, one: Any, other: Any) -> Any:
        def make(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            return builder.select(builder.fcmp_ordered(comparison, *args), *args)

        return vector(vector, vector), make

    return chosen


lane0, lane1, lane2 = (_lane(i) for i in range(3))
least, most = _chosen("<"), _chosen(">")


@intrinsic
def inverse_above(typing: Any, value: Any, limit: Any) -> Any:
    """1 / value where value > limit, and 0 elsewhere."""

    def make(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        ones, zeros = (ir.Constant(_IR, [x] * LANES) for x in (1.0, 0.0))
        above = builder.fcmp_ordered(">", *args)
        return builder.select(above, builder.fdiv(ones, builder.select(above, args[0], ones)), zeros)

    return vector(vector, vector), make


@intrinsic
def data_step(typing: Any, rho: Any, norm: Any, low: Any, high: Any, flat: Any) -> Any:
    """The paper's three cases in OpenCV's words: low and high beyond low * norm and high * norm, and in between
    rho / norm, or 0 where norm is no more than flat."""

    def make(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        rho, norm, low, high, flat = args
        zeros = ir.Constant(_IR, [0.0] * LANES)
        inner = builder.select(builder.fcmp_ordered(">", norm, flat), builder.fdiv(rho, norm), zeros)
        inner = builder.select(builder.fcmp_ordered(">", rho, builder.fmul(high, norm)), high, inner)
        return builder.select(builder.fcmp_ordered("<", rho, builder.fmul(low, norm)), low, inner)

    return vector(vector, vector, vector, vector, vector), make


@intrinsic
def blend(typing: Any, where: Any, one: Any, other: Any) -> Any:
    """`one` in the lanes where `where` is not zero, and `other` elsewhere."""

    def make(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        zeros = ir.Constant(_IR, [0.0] * LANES)
        return builder.select(builder.fcmp_ordered("!=", args[0], zeros), *args[1:])

    return vector(vector, vector, vector), make
