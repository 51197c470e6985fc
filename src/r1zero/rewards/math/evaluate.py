"""What a formula is worth: exactly where it is rational, else to as many digits as a comparison needs.

Nothing here can run away: rational results are bounded in bits, powers in magnitude, digits in number. What exceeds a
bound raises TooLarge, and the judge then compares the formulas as they are written."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any

import mpmath
from mpmath.libmp import NoConvergence

from r1zero.rewards.math.expression import Node

MAX_BITS = 200_000  # of an exact numerator or denominator
MAX_MAGNITUDE = 10**9  # of log10 of a number
MAX_PLACES = 12_000  # decimal digits of one evaluation
_MAX_FACTORIAL = 20_000


class TooLarge(ArithmeticError):
    """A number outside the bounds: no judgement by value."""


class Undefined(ArithmeticError):
    """No value, as 1/0 has none."""


def exact(node: Node, point: Mapping[str, Fraction] | None = None) -> Fraction | None:
    """The rational value of a formula, with rational numbers for its variables; None if it is not obviously rational.
    Raises TooLarge and Undefined."""
    kind = node[0]
    if kind == "number":
        return node[1]
    if kind == "variable":
        return point.get(node[1]) if point else None
    values = []
    for part in node[2 if kind == "call" else 1 :]:
        value = exact(part, point)
        if value is None:
            return None
        values.append(value)
    if kind == "add":
        return _bounded(sum(values, Fraction(0)))
    if kind == "multiply":
        product = Fraction(1)
        for value in values:
            product = _bounded(product * value)
        return product
    return _exact_power(*values) if kind == "power" else _exact_call(node[1], values)


def _bits(value: Fraction) -> int:
    return max(value.numerator.bit_length(), value.denominator.bit_length())


def _bounded(value: Fraction) -> Fraction:
    if _bits(value) > MAX_BITS:
        raise TooLarge
    return value


def _exact_power(base: Fraction, exponent: Fraction) -> Fraction | None:
    if base == 0 and exponent <= 0:
        raise Undefined
    if base in (0, 1):
        return base
    if exponent.denominator == 1:
        if _bits(base) * abs(exponent) > MAX_BITS:
            return None  # the numeric evaluation has wider bounds
        return base ** int(exponent)
    if base < 0 or exponent.denominator > 64:
        return None
    roots = [_integer_root(part, exponent.denominator) for part in (base.numerator, base.denominator)]
    if None in roots or _bits(base) * abs(exponent) > MAX_BITS:
        return None
    return Fraction(*roots) ** exponent.numerator  # type: ignore[arg-type]


def _integer_root(value: int, degree: int) -> int | None:
    """The degree-th root of a natural number, if it is one."""
    if value.bit_length() > 4096:
        return None
    if degree == 2:
        root = math.isqrt(value)
    else:
        root = 1 << (value.bit_length() // degree + 1)
        while (better := ((degree - 1) * root + value // root ** (degree - 1)) // degree) < root:
            root = better
    return root if root**degree == value else None


def _exact_call(name: str, values: list[Fraction]) -> Fraction | None:
    whole = all(value.denominator == 1 for value in values)
    if name == "factorial" and whole and 0 <= values[0] <= 3000:
        return Fraction(math.factorial(int(values[0])))
    if name == "binomial" and whole and 0 <= values[1] <= values[0] <= 3000:
        return Fraction(math.comb(int(values[0]), int(values[1])))
    if name == "root" and whole and 1 <= values[1] <= 64:
        sign = -1 if values[0] < 0 and values[1] % 2 else 1
        power = _exact_power(values[0] * sign, 1 / values[1])
        return None if power is None else power * sign
    if name in ("gcd", "lcm") and whole:
        return _bounded(Fraction(getattr(math, name)(*(int(value) for value in values))))
    simple: dict[str, Callable[..., Any]] = {"abs": abs, "floor": math.floor, "ceil": math.ceil}
    if name in simple and len(values) == 1:
        return Fraction(simple[name](values[0]))
    return Fraction(max(values) if name == "max" else min(values)) if name in ("max", "min") else None


class Numbers:
    """Evaluation to `places` decimal digits at given values of the variables.

    `spread` is the largest ratio, in decimal digits, between the terms of a sum: so many digits more are needed for the
    smallest term to count. Without them 1 + e^-10000 would equal 1 + e^-10001.
    """

    def __init__(self, places: int, point: Mapping[str, Fraction]) -> None:
        self.places = places
        self.point = point
        self.spread = 0

    def value(self, node: Node) -> Any:
        """An mpmath number. Raises TooLarge and Undefined."""
        with mpmath.workdps(self.places):
            try:
                return self._value(node)
            except (ZeroDivisionError, ValueError, NoConvergence):
                raise Undefined from None
            except (OverflowError, MemoryError, TypeError):
                raise TooLarge from None

    def _value(self, node: Node) -> Any:
        kind = node[0]
        if kind == "number":
            return mpmath.mpf(node[1].numerator) / node[1].denominator
        if kind == "variable":
            return self._variable(node[1])
        values = [self._value(part) for part in node[2 if kind == "call" else 1 :]]
        if kind == "add":
            return self._sum(values)
        if kind == "multiply":
            return mpmath.fprod(values)
        return _power(values[0], values[1], node[2]) if kind == "power" else _call(node[1], values)

    def _variable(self, name: str) -> Any:
        constants = {"π": +mpmath.pi, "e": +mpmath.e, "i": mpmath.mpc(0, 1)}
        if name in constants:
            return constants[name]
        if name not in self.point:
            raise Undefined
        return mpmath.mpf(self.point[name].numerator) / self.point[name].denominator

    def _sum(self, values: list[Any]) -> Any:
        sizes = [int(mpmath.mag(value) * 0.30103) for value in values if value]
        if sizes:
            self.spread = max(self.spread, max(sizes) - min(sizes))
        return mpmath.fsum(values)


def _real(value: Any) -> bool:
    return not isinstance(value, mpmath.mpc) or value.imag == 0


def _power(base: Any, exponent: Any, written: Node) -> Any:
    """Fractional powers with an odd denominator take the real root of a negative number, as \\sqrt[3]{-8} does."""
    if base == 0:
        if not _real(exponent) or mpmath.re(exponent) <= 0:
            raise Undefined
        return base
    if abs(exponent) * (abs(mpmath.mag(base)) + 1) > MAX_MAGNITUDE:
        raise TooLarge
    if _real(base) and mpmath.re(base) < 0 and _real(exponent) and not mpmath.isint(exponent):
        fraction = exact_or_none(written)
        if fraction is not None and fraction.denominator % 2:
            size = mpmath.power(-mpmath.re(base), exponent)
            return -size if fraction.numerator % 2 else size
    return mpmath.power(base, exponent)


def exact_or_none(node: Node) -> Fraction | None:
    try:
        return exact(node)
    except ArithmeticError:
        return None


def _root(radicand: Any, degree: Any) -> Any:
    if _real(radicand) and mpmath.re(radicand) < 0 and mpmath.isint(degree) and int(mpmath.re(degree)) % 2:
        return -mpmath.power(-mpmath.re(radicand), 1 / degree)
    return mpmath.power(radicand, 1 / degree)


def _factorial(value: Any) -> Any:
    if not _real(value) or abs(value) > _MAX_FACTORIAL:
        raise TooLarge
    return mpmath.factorial(value)


def _binomial(n: Any, k: Any) -> Any:
    if not (_real(n) and _real(k)) or abs(n) > _MAX_FACTORIAL or abs(k) > _MAX_FACTORIAL:
        raise TooLarge
    return mpmath.binomial(n, k)


def _exponential(value: Any) -> Any:
    if abs(value) > MAX_MAGNITUDE:
        raise TooLarge
    return mpmath.exp(value)


def _periodic(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Of a huge angle every digit would be needed."""

    def bounded(value: Any) -> Any:
        if abs(value) > 10**30:
            raise TooLarge
        return function(value)

    return bounded


def _log(value: Any) -> Any:
    if value == 0:
        raise Undefined
    return mpmath.log(value)


_CALLS: dict[str, Callable[..., Any]] = {
    **{name: _periodic(getattr(mpmath, name)) for name in ("sin", "cos", "tan", "cot", "sec", "csc")},
    **{name: _periodic(getattr(mpmath, name)) for name in ("sinh", "cosh", "tanh", "asin", "acos", "atan")},
    **{f"arc{name}": getattr(mpmath, f"a{name}") for name in ("sin", "cos", "tan", "cot")},
    "ln": _log,
    "log": lambda value: _log(value) / mpmath.log(10),  # as math-verify reads a log without a base
    "lg": lambda value: _log(value) / mpmath.log(10),
    "log_base": lambda value, base: _log(value) / _log(base),
    "exp": _exponential,
    "abs": abs,
    "factorial": _factorial,
    "binomial": _binomial,
    "root": _root,
    "floor": mpmath.floor,
    "ceil": mpmath.ceil,
    "max": max,
    "min": min,
}


def _call(name: str, values: list[Any]) -> Any:
    if name not in _CALLS:
        raise Undefined
    return _CALLS[name](*values)
