"""Sets of real numbers as intervals without overlap: unions, differences, inequalities and set-builders that say the
same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import mpmath

from r1zero.rewards.math.evaluate import TooLarge
from r1zero.rewards.math.expression import Node, negative, variables
from r1zero.rewards.math.formulas import number, same
from r1zero.rewards.math.values import Difference, Formula, Items, Relation, Text, Union, Value

_INFINITY: Node = ("variable", "∞")
_MINUS_INFINITY: Node = negative(_INFINITY)
_FLIPPED = {"<": ">", ">": "<", "≤": "≥", "≥": "≤"}


@dataclass(frozen=True, slots=True)
class Interval:
    """`low` and `high` with their values as mpmath numbers; a point is a closed interval."""

    low: Node
    high: Node
    closed: tuple[bool, bool]
    start: Any
    end: Any


Region = tuple[Interval, ...]


def region(value: Value) -> Region | None:
    """The real numbers that a value describes; None if it describes none, or its bounds are no numbers."""
    try:
        found = _intervals(value)
    except TooLarge:
        return None
    return None if found is None else _merged(found)


def equal(gold: Region, answer: Region) -> bool:
    return len(gold) == len(answer) and all(
        left.closed == right.closed and same(left.low, right.low) and same(left.high, right.high)
        for left, right in zip(gold, answer, strict=True)
    )


def ascending(relation: Relation) -> Relation:
    """`3 > x > 1` as `1 < x < 3`."""
    if not all(operator in _FLIPPED and operator in ">≥" for operator in relation.operators):
        return relation
    operators = tuple(_FLIPPED[operator] for operator in relation.operators[::-1])
    return Relation(operators, relation.sides[::-1], relation.name)


def _intervals(value: Value) -> list[Interval] | None:
    match value:
        case Text(words="ℝ"):
            return [_interval(_MINUS_INFINITY, _INFINITY, "()")]
        case Relation():
            return _solutions(value)
        case Items(brackets="⦃⦄", items=items):
            return _points(items)
        case Items(brackets="", items=items):
            return _joined(items)
        case Items(brackets=brackets, items=(Formula(node=low), Formula(node=high))):
            return None if variables(low) - {"∞"} or variables(high) - {"∞"} else [_interval(low, high, brackets)]
        case Union(parts=parts):
            return _all(parts)
        case Difference(whole=whole, removed=removed):
            return _without(_intervals(whole), _intervals(removed))
    return None


def _interval(low: Node, high: Node, brackets: str) -> Interval:
    return Interval(low, high, (brackets[0] == "[", brackets[1] == "]"), _bound(low), _bound(high))


def _bound(node: Node) -> Any:
    if node in (_INFINITY, _MINUS_INFINITY):
        return mpmath.inf if node == _INFINITY else -mpmath.inf
    value = number(node)
    if value is None or isinstance(value, mpmath.mpc):
        raise TooLarge
    return value


def _points(items: Sequence[Value]) -> list[Interval] | None:
    nodes = [item.node for item in items if isinstance(item, Formula) and not variables(item.node)]
    return [_interval(node, node, "[]") for node in nodes] if len(nodes) == len(items) else None


def _all(parts: Sequence[Value]) -> list[Interval] | None:
    found = [_intervals(part) for part in parts]
    return None if None in found else [interval for one in found if one is not None for interval in one]


def _joined(items: Sequence[Value]) -> list[Interval] | None:
    """Inequalities in a row: `x < 1 or x > 3` is a union, and `x > 0 and x < 1`, whose union would be everything, an
    intersection."""
    if not items or not all(isinstance(item, Relation | Items) for item in items):
        return _points(items)
    found = _all(items)
    if found is None or not all(isinstance(item, Relation) for item in items):
        return found
    low, high = max(found, key=lambda one: one.start), min(found, key=lambda one: one.end)
    if len(found) == 2 and low.start < high.end and mpmath.isinf(low.end) and mpmath.isinf(high.start):
        return [Interval(low.low, high.high, (low.closed[0], high.closed[1]), low.start, high.end)]
    return found


def _solutions(relation: Relation) -> list[Interval] | None:
    """The numbers that satisfy an inequality with a variable alone on its side."""
    relation = ascending(relation)
    nodes = [side.node for side in relation.sides if isinstance(side, Formula)]
    free = [bool(variables(node)) for node in nodes]
    if len(nodes) != len(relation.sides) or not all(node[0] == "variable" for node in nodes if variables(node)):
        return _of_function(relation) if len(nodes) == 3 and len(relation.sides) == 3 else None
    operators = relation.operators
    if operators == ("≠",) and free == [True, False]:
        return [_interval(_MINUS_INFINITY, nodes[1], "()"), _interval(nodes[1], _INFINITY, "()")]
    if not all(operator in "<≤" for operator in operators):
        return None
    left, right = ("(" if operators[0] == "<" else "["), (")" if operators[-1] == "<" else "]")
    if free == [True, False]:
        return [_interval(_MINUS_INFINITY, nodes[1], "(" + right)]
    if free == [False, True]:
        return [_interval(nodes[0], _INFINITY, left + ")")]
    return [_interval(nodes[0], nodes[2], left + right)] if free == [False, True, False] else None


def _of_function(relation: Relation) -> list[Interval] | None:
    """The range in `0 < f(x) < 1`: a letter applied to a letter."""
    middle = relation.sides[1]
    assert isinstance(middle, Formula)
    product = middle.node
    applied = product[0] == "multiply" and len(product) == 3 and all(part[0] == "variable" for part in product[1:])
    if not applied:
        return None
    named = Formula(("variable", "f"))
    return _solutions(Relation(relation.operators, (relation.sides[0], named, relation.sides[2])))


def _without(whole: list[Interval] | None, removed: list[Interval] | None) -> list[Interval] | None:
    """Intervals without single points."""
    if whole is None or removed is None or any(one.start != one.end for one in removed):
        return None
    for point in removed:
        cut: list[Interval] = []
        for one in whole:
            if not one.start <= point.start <= one.end:
                cut.append(one)
                continue
            if one.start < point.start:
                cut.append(Interval(one.low, point.low, (one.closed[0], False), one.start, point.start))
            if point.start < one.end:
                cut.append(Interval(point.low, one.high, (False, one.closed[1]), point.start, one.end))
        whole = cut
    return whole


def _merged(found: list[Interval]) -> Region:
    """In order, with overlapping and touching intervals made one."""
    merged: list[Interval] = []
    for one in sorted(found, key=lambda one: (one.start, not one.closed[0])):
        last = merged[-1] if merged else None
        touches = last is not None and one.start == last.end and (one.closed[0] or last.closed[1])
        if last is None or not (one.start < last.end or touches):
            merged.append(one)
        elif one.end > last.end:
            merged[-1] = Interval(last.low, one.high, (last.closed[0], one.closed[1]), last.start, one.end)
        elif one.end == last.end and one.closed[1]:
            merged[-1] = Interval(last.low, last.high, (last.closed[0], True), last.start, last.end)
    return tuple(merged)
