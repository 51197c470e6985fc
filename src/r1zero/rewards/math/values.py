"""The kinds of answers: a formula, a text, a collection, a set of numbers, a matrix, a relation, a ratio."""

from __future__ import annotations

from dataclasses import dataclass

from r1zero.rewards.math.expression import Node

ORDINAL = "th"  # the unit of `1st`


@dataclass(frozen=True, slots=True)
class Formula:
    """`decimals` is (places after the point, significant digits) of a plain decimal number. `unit` may be empty.

    `other` is a second reading: `3m` in an answer is first of all a length, in a reference a product."""

    node: Node
    decimals: tuple[int, int] | None = None
    unit: str = ""
    other: Formula | None = None


@dataclass(frozen=True, slots=True)
class Text:
    """Words. Example: `east`. `formal`: LaTeX that `expression` does not cover."""

    words: str
    formal: bool = False


@dataclass(frozen=True, slots=True)
class Items:
    """Several values. `brackets` is `` for a bare list, `⦃⦄` for a set, else the brackets as written."""

    brackets: str
    items: tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class Union:
    parts: tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class Difference:
    whole: Value
    removed: Value


@dataclass(frozen=True, slots=True)
class Matrix:
    kind: str  # "" or "|" for a determinant
    rows: tuple[tuple[Value, ...], ...]


@dataclass(frozen=True, slots=True)
class Relation:
    """`sides` has one entry more than `operators`. `name` is the left side of an assignment."""

    operators: tuple[str, ...]
    sides: tuple[Value, ...]
    name: str = ""


@dataclass(frozen=True, slots=True)
class Ratio:
    """A ratio or a time of the day; `half` is `am` or `pm`."""

    parts: tuple[str, ...]
    values: tuple[Value, ...]
    half: str = ""


Value = Formula | Text | Items | Union | Difference | Matrix | Relation | Ratio


def parts(value: Value) -> tuple[Value, ...]:
    """The values inside a value."""
    match value:
        case Items(items=inner) | Union(parts=inner) | Relation(sides=inner) | Ratio(values=inner):
            return inner
        case Matrix(rows=rows):
            return tuple(cell for row in rows for cell in row)
    return ()
