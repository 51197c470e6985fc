"""Do two formulas have the same value, whatever their variables are?

Rational constants are compared exactly. Everything else is compared at fixed points with so many digits that a
difference cannot hide (R. A. DeMillo and R. J. Lipton, "A probabilistic remark on algebraic program testing", 1978;
the identity test of Schwartz and Zippel). Formulas outside the bounds of `evaluate` are equal only if they are
written alike."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Any

import mpmath

from r1zero.rewards.math.evaluate import MAX_PLACES, Numbers, TooLarge, Undefined, exact
from r1zero.rewards.math.expression import Node, variables

_PLACES = 60
_MARGIN = 20  # of them may be lost to rounding
_POINTS = 8
_ENOUGH = 3  # points at which both sides must be defined
_PRIMES = (2, 3, 5, 7, 11, 13, 17, 19, 23, 29)


def same(first: Node, second: Node) -> bool:
    """Whether two formulas are equal wherever both are real."""
    try:
        return first == second or _same_value(first, second)
    except TooLarge:
        return _canonical(first) == _canonical(second)


def proportional(first: Node, second: Node, *, positive: bool) -> bool:
    """Whether first = c * second with one constant c that is not 0 (and positive): equations and inequalities that
    say the same. Where both vanish says nothing."""
    names = sorted(variables(first) | variables(second))
    ratio, seen = None, 0
    try:
        for point in _points(names):
            values, places = _settled((first, second), point)
            if any(value is None or isinstance(value, mpmath.mpc) for value in values):
                continue
            if not values[0] and not values[1]:
                continue
            if not values[0] or not values[1]:
                return False
            here = values[0] / values[1]
            if ratio is not None and not _close(ratio, here, places - _MARGIN):
                return False
            ratio, seen = here, seen + 1
    except TooLarge:
        return _canonical(first) == _canonical(second)
    return ratio is not None and (seen >= _ENOUGH or not names) and (ratio > 0 or not positive)


def number(node: Node) -> Any | None:
    """The value of a constant formula as an mpmath number; None if it has none. Raises TooLarge."""
    return None if variables(node) else _settled((node,), {})[0][0]


def _same_value(first: Node, second: Node) -> bool:
    try:
        values = exact(first), exact(second)
    except Undefined:
        return False
    if None not in values:
        return values[0] == values[1]
    names = sorted(variables(first) | variables(second))
    if not names:
        return _agree_at({}, first, second) is True
    if "∞" in _names(first) | _names(second):
        return _canonical(first) == _canonical(second)
    real = "i" not in _names(first) | _names(second)
    agreed = _agreements(_points(names), first, second, real=real)
    if agreed is not None and agreed < _ENOUGH:
        agreed = _agreements(_whole_points(names), first, second)
    return agreed is not None and agreed >= _ENOUGH


def _agreements(points: Iterator[dict[str, Fraction]], first: Node, second: Node, real: bool = False) -> int | None:
    """At how many points two formulas are defined and agree; None as soon as they differ at one."""
    agreed = 0
    for point in points:
        verdict = _agree_at(point, first, second, real)
        if verdict is False:
            return None
        agreed += verdict is True
    return agreed


def _names(node: Node) -> frozenset[str]:
    if node[0] == "variable":
        return frozenset([node[1]])
    return frozenset().union(*(_names(part) for part in node[1:] if isinstance(part, tuple)))


def _points(names: list[str]) -> Iterator[dict[str, Fraction]]:
    """Half of the points positive, half of mixed signs; the same ones on every call."""
    for turn in range(_POINTS):
        yield {
            name: Fraction(_PRIMES[(place + turn) % 10] + 31 * turn, 37 - 3 * turn + place)
            * (-1 if turn % 2 and (place + turn // 2) % 2 == 0 else 1)
            for place, name in enumerate(names)
        }


def _whole_points(names: list[str]) -> Iterator[dict[str, Fraction]]:
    for turn in range(_POINTS):
        yield {name: Fraction(turn + 1 + 2 * place) for place, name in enumerate(names)}


def _agree_at(point: dict[str, Fraction], first: Node, second: Node, real: bool = False) -> bool | None:
    """Whether the values agree at a point; None where one is undefined, or not real though it should be."""
    try:
        rational = exact(first, point), exact(second, point)
    except Undefined:
        return None
    if None not in rational:
        return rational[0] == rational[1]
    (left, right), places = _settled((first, second), point)
    if left is None or right is None:
        return None
    if real and (isinstance(left, mpmath.mpc) or isinstance(right, mpmath.mpc)):
        return None
    return _close(left, right, places - _MARGIN)


def _close(first: Any, second: Any, digits: int) -> bool:
    with mpmath.workdps(digits + 2 * _MARGIN):
        return abs(first - second) <= max(abs(first), abs(second)) * mpmath.mpf(10) ** -digits


def _settled(nodes: Sequence[Node], point: dict[str, Fraction]) -> tuple[list[Any | None], int]:
    """Values and the decimal digits they were taken to, enough for the smallest term of any sum to count. A value is
    0 if it vanishes the more digits are taken, None if it is undefined."""
    places = _PLACES
    while True:
        numbers = Numbers(places, point)
        values = [_value(node, numbers, point) for node in nodes]
        need = numbers.spread + _PLACES
        if need <= places:
            return values, places
        if need > MAX_PLACES:
            raise TooLarge
        places = need


def _value(node: Node, numbers: Numbers, point: dict[str, Fraction]) -> Any | None:
    try:
        rough = numbers.value(node)
        fine = Numbers(2 * numbers.places, point).value(node)
    except Undefined:
        return None
    if not mpmath.isfinite(rough) or not mpmath.isfinite(fine):
        return None
    with mpmath.workdps(2 * numbers.places):
        ten = mpmath.mpf(10)
        if abs(fine) <= abs(rough) * ten ** -(numbers.places // 2):
            return mpmath.mpf(0)
        if isinstance(fine, mpmath.mpc):
            dust = abs(fine) * ten ** (_MARGIN - numbers.places)
            parts = [part if abs(part) > dust else mpmath.mpf(0) for part in (fine.real, fine.imag)]
            return mpmath.mpc(*parts) if parts[1] else parts[0]
    return fine


def _canonical(node: Node) -> Any:
    """A formula with the operands of sums and products in one order."""
    if node[0] in ("number", "variable"):
        return node[:2]
    parts = [_canonical(part) if isinstance(part, tuple) else part for part in node[1:]]
    if node[0] in ("add", "multiply"):
        parts.sort(key=repr)
    return (node[0], *parts)
