"""Are two values the same answer?

The policies, each in one function: order counts in tuples and not in lists and sets; brackets of intervals count; an
assignment equals its right side; a relation equals another that says the same; a decimal equals what it rounds.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import mpmath

from r1zero.rewards.math import regions
from r1zero.rewards.math.evaluate import TooLarge, Undefined, exact, exact_or_none
from r1zero.rewards.math.expression import MINUS_ONE, Node, negative, variables
from r1zero.rewards.math.formulas import number, proportional, same
from r1zero.rewards.math.units import factor
from r1zero.rewards.math.values import ORDINAL, Difference, Formula, Items, Matrix, Ratio, Relation, Text, Union, Value

_SIGNIFICANT = 6  # digits a decimal needs to stand for a number that it rounds
_FLOAT_DIGITS = 15  # a decimal as long as this is a printed float, whose last digits are noise
_SUBSCRIPT = re.compile(r"_?\d+$")  # x_1 and x_2 are two values of x
_DIGITS = "zero one two three four five six seven eight nine".split()
_TEENS = "ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen".split()
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety".split()
_NUMBER_WORDS = [*_DIGITS, *_TEENS]
for _ten in _TENS:
    _NUMBER_WORDS += [_ten, *(f"{_ten}-{_digit}" for _digit in _DIGITS[1:])]


_ORDINALS = (
    "first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth thirteenth fourteenth fifteenth "
    "sixteenth seventeenth eighteenth nineteenth twentieth"
).split()
_DOZEN = "dozen"


def equal(gold: Value, answer: Value) -> bool:
    """Whether an answer is the reference answer."""
    gold, answer = _bare(gold, answer)
    if isinstance(gold, Relation) and isinstance(answer, Relation):
        return _relations(gold, answer)
    if _describes(gold) or _describes(answer):
        first, second = regions.region(gold), regions.region(answer)
        if first is not None and second is not None:
            return regions.equal(first, second)
    if isinstance(gold, Union) and isinstance(answer, Union):
        return _unordered(gold.parts, answer.parts)
    gold, answer = _tidy(gold), _tidy(answer)
    if isinstance(gold, Items) and isinstance(answer, Items):
        return _items(gold, answer)
    if isinstance(gold, Matrix) or isinstance(answer, Matrix):
        return _matrices(gold, answer)
    if isinstance(gold, Ratio) or isinstance(answer, Ratio):
        return _ratios(gold, answer)
    if isinstance(gold, Formula) and isinstance(answer, Formula):
        return _formulas(gold, answer)
    if isinstance(gold, Text) and isinstance(answer, Text):
        return gold.words == answer.words or (gold.formal and _tight(gold) == _tight(answer))
    return _word_and_number(gold, answer) or _word_and_number(answer, gold)


def _describes(value: Value) -> bool:
    """Whether a value says in words or signs which real numbers it means: `x > 2`, `ℝ`, `A ∪ B`, `x < 1 or x > 3`."""
    if isinstance(value, Items) and not value.brackets and value.items:
        return all(isinstance(item, Relation) and not item.name for item in value.items)
    return isinstance(value, Relation | Union | Difference) or (isinstance(value, Text) and value.words == "ℝ")


def _bare(gold: Value, answer: Value) -> tuple[Value, Value]:
    """An assignment against something that is none is its right side: `x = 4` and `4`. So is an answer that ends a
    calculation, `3 * 4 = 12`; but no equation in variables is: `2x + z = 1` is not `1`."""
    if isinstance(gold, Relation) and not isinstance(answer, Relation) and (gold.name or _determinant(gold)):
        return gold.sides[-1], answer
    if isinstance(answer, Relation) and not isinstance(gold, Relation) and _ends_calculation(answer):
        return gold, answer.sides[-1]
    return gold, answer


def _ends_calculation(relation: Relation) -> bool:
    if set(relation.operators) - set("=≈"):
        return False
    first = relation.sides[0]
    constant = isinstance(first, Formula) and not variables(first.node)
    return (
        bool(relation.name) or constant or isinstance(first, Text) or len(relation.sides) > 2 or _determinant(relation)
    )


def _determinant(relation: Relation) -> bool:
    """Whether a relation says what a determinant is."""
    first = relation.sides[0]
    return set(relation.operators) <= set("=≈") and isinstance(first, Matrix) and first.kind == "|"


def _tidy(value: Value) -> Value:
    """`{5}` is 5, and `p=5, q=2, p=7, q=2` is two pairs."""
    if not isinstance(value, Items):
        return value
    if value.brackets in ("", "⦃⦄") and len(value.items) == 1:
        return _tidy(value.items[0])
    names = _names(value)
    period = names.index(names[0], 1) if len(names) > 1 and names[0] and names[0] in names[1:] else 0
    if period > 1 and len(names) % period == 0 and names == names[:period] * (len(names) // period):
        chunks = [value.items[start : start + period] for start in range(0, len(names), period)]
        return Items("", tuple(Items("", chunk) for chunk in chunks))
    return value


def _names(value: Items) -> list[str]:
    return [item.name if isinstance(item, Relation) else "" for item in value.items]


def _items(gold: Items, answer: Items) -> bool:
    kinds = {gold.brackets, answer.brackets}
    if kinds <= {"", "⦃⦄"}:
        if len({_SUBSCRIPT.sub("", name) for name in _names(gold)} - {""}) > 1 and not any(_names(answer)):
            return _ordered(gold.items, answer.items)
        first, second = _values(gold, answer)
        if "⦃⦄" in kinds or all(isinstance(item, Items) and item.brackets == "()" for item in (*first, *second)):
            first, second = _distinct(first), _distinct(second)
        return _unordered(first, second)
    if kinds == {"", "()"} or len(kinds) == 1:
        return _ordered(_by_name(gold), _by_name(answer))
    return False


def _by_name(value: Items) -> Sequence[Value]:
    """`y = 2, x = 1` in the order of coordinates."""
    names = _names(value)
    coordinates = len(set(names)) == len(names) and set(names) <= {"x", "y", "z"}
    return sorted(value.items, key=lambda item: names[value.items.index(item)]) if coordinates else value.items


def _values(gold: Items, answer: Items) -> tuple[Sequence[Value], Sequence[Value]]:
    """`n = 1, 2, 3` is three values of n: with one name in all, the name says nothing."""
    named = [{_SUBSCRIPT.sub("", name) for name in _names(value)} - {""} for value in (gold, answer)]
    if len(named[0] | named[1]) > 1 or (all(named) and len(set(_names(gold)) - {""}) > 1) or _equations(gold, answer):
        return gold.items, answer.items
    return tuple(map(_right_side, gold.items)), tuple(map(_right_side, answer.items))


def _equations(gold: Items, answer: Items) -> bool:
    """Whether one side has equations that are no assignments, so that the others are equations too."""
    return any(isinstance(item, Relation) and not item.name for item in (*gold.items, *answer.items))


def _right_side(value: Value) -> Value:
    return value.sides[-1] if isinstance(value, Relation) and value.name else value


def _distinct(items: Sequence[Value]) -> list[Value]:
    kept: list[Value] = []
    for item in items:
        if not any(equal(other, item) for other in kept):
            kept.append(item)
    return kept


def _ordered(gold: Sequence[Value], answer: Sequence[Value]) -> bool:
    return len(gold) == len(answer) and all(equal(left, right) for left, right in zip(gold, answer, strict=True))


def _unordered(gold: Sequence[Value], answer: Sequence[Value]) -> bool:
    if len(gold) != len(answer):
        return False
    left = list(answer)
    for item in gold:
        place = next((place for place, other in enumerate(left) if equal(item, other)), None)
        if place is None:
            return False
        del left[place]
    return True


def _relations(gold: Relation, answer: Relation) -> bool:
    if gold.name and gold.name == answer.name:
        return equal(gold.sides[-1], answer.sides[-1])
    if len(gold.sides) != len(answer.sides):
        return False
    gold, answer = regions.ascending(gold), regions.ascending(answer)
    if gold.operators != answer.operators:
        return False
    if len(gold.sides) == 2 and all(isinstance(side, Formula) for side in (*gold.sides, *answer.sides)):
        differences = [_difference(relation) for relation in (gold, answer)]
        return proportional(*differences, positive=gold.operators[0] in "<≤")
    return _ordered(gold.sides, answer.sides)


def _difference(relation: Relation) -> Node:
    left, right = relation.sides
    assert isinstance(left, Formula) and isinstance(right, Formula)
    return ("add", left.node, negative(right.node))


def _matrices(gold: Value, answer: Value) -> bool:
    """A vector may be written as a row, a column or a tuple."""
    if isinstance(gold, Matrix) and isinstance(answer, Matrix):
        shapes = [[len(row) for row in matrix.rows] for matrix in (gold, answer)]
        entries = [[cell for row in matrix.rows for cell in row] for matrix in (gold, answer)]
        return gold.kind == answer.kind and shapes[0] == shapes[1] and _ordered(*entries)
    gold, answer = _as_matrix(gold), _as_matrix(answer)
    if isinstance(gold, Matrix) and isinstance(answer, Matrix):
        return _matrices(gold, answer)
    first, second = _vector(gold), _vector(answer)
    return first is not None and second is not None and _ordered(first, second)


def _as_matrix(value: Value) -> Value:
    """`[[1, 2], [3, 4]]`, as programs write a matrix."""
    if not (isinstance(value, Items) and value.brackets == "[]" and value.items):
        return value
    rows = [row.items for row in value.items if isinstance(row, Items) and row.brackets == "[]"]
    return Matrix("", tuple(rows)) if len(rows) == len(value.items) else value


def _vector(value: Value) -> Sequence[Value] | None:
    if isinstance(value, Items) and value.brackets == "()":
        return value.items
    if isinstance(value, Matrix) and not value.kind and 1 in (len(value.rows), max(map(len, value.rows))):
        return [cell for row in value.rows for cell in row]
    return None


def _ratios(gold: Value, answer: Value) -> bool:
    """2:4 is 1:2 is 1/2; but with a zero in it, or an ellipsis, it is a time or a pattern and must be written alike."""
    if not (isinstance(gold, Ratio) and isinstance(answer, Ratio)):
        ratio, other = (gold, answer) if isinstance(gold, Ratio) else (answer, gold)
        if not (isinstance(ratio, Ratio) and isinstance(other, Formula) and len(ratio.values) == 2):
            return False
        over, under = ratio.values
        return (
            not _clock(ratio)
            and _proper(ratio)
            and same(("multiply", _node(over), ("power", _node(under), MINUS_ONE)), other.node)
        )
    if len(gold.values) != len(answer.values) or (gold.half and answer.half and gold.half != answer.half):
        return False
    if gold.half or answer.half:
        return gold.parts == answer.parts or _after_noon(gold) == _after_noon(answer)
    if _clock(gold) or not (_proper(gold) and _proper(answer)):
        return gold.parts == answer.parts
    first, *rest = zip(map(_node, gold.values), map(_node, answer.values), strict=True)
    return all(same(("multiply", first[0], right), ("multiply", first[1], left)) for left, right in rest)


def _clock(ratio: Ratio) -> bool:
    """Whether a ratio looks like a time of the day: `3:30`, which no ratio in lowest terms is, `3:05`, `3:30 pm`."""
    if ratio.half:
        return True
    if not all(part.isdecimal() and len(part) <= 2 for part in ratio.parts) or not all(
        len(part) == 2 and int(part) < 60 for part in ratio.parts[1:]
    ):
        return False
    return int(ratio.parts[0]) < 24 and math.gcd(*map(int, ratio.parts)) > 1


def _after_noon(ratio: Ratio) -> tuple[str, ...]:
    """The parts of a time on a clock of 24 hours."""
    hour, *rest = ratio.parts
    if not (ratio.half and hour.isdecimal() and 1 <= int(hour[:3]) <= 12):
        return ratio.parts
    return (str(int(hour) % 12 + 12 * (ratio.half == "pm")), *rest)


def _proper(ratio: Ratio) -> bool:
    """Whether all parts are numbers or formulas, none of them 0 or written with a leading 0."""
    if any(part.startswith("0") and part[1:2].isdigit() for part in ratio.parts):
        return False
    return all(isinstance(value, Formula) and not same(value.node, _ZERO) for value in ratio.values)


_ZERO: Node = ("number", Fraction(0))


def _node(value: Value) -> Node:
    assert isinstance(value, Formula)
    return value.node


def _tight(text: Text) -> str:
    return "".join(character for character in text.words if character not in " {}")


def _word_and_number(word: Value, value: Value) -> bool:
    if not isinstance(word, Text) or not isinstance(value, Formula):
        return False
    if word.words.rstrip("s").endswith(" dozen") and not value.unit.startswith(_DOZEN):
        count = word.words.rstrip("s").removesuffix(" dozen")
        known = {"a": 1, **{name: number for number, name in enumerate(_NUMBER_WORDS)}}
        return count in known and same(("number", Fraction(12 * known[count])), value.node)
    if value.unit == ORDINAL and word.words in _ORDINALS:
        return same(("number", Fraction(_ORDINALS.index(word.words) + 1)), value.node)
    if word.words not in _NUMBER_WORDS:
        return False
    return same(("number", Fraction(_NUMBER_WORDS.index(word.words))), value.node)


def _formulas(gold: Formula, answer: Formula) -> bool:
    if gold.unit.startswith(_DOZEN) != answer.unit.startswith(_DOZEN) and same(*map(_counted, (gold, answer))):
        return True
    if answer.other is not None and variables(gold.node) and same(gold.node, answer.other.node):
        return True
    if gold.other is not None and answer.unit and _formulas(gold.other, answer):
        return True
    if gold.unit != answer.unit and {"%", "°"} & {gold.unit, answer.unit}:
        return _marked(gold, answer)
    scale = factor(gold.unit, answer.unit)
    if scale is None:
        return False
    if scale != 1:
        return same(gold.node, ("multiply", ("number", scale), answer.node))
    return same(gold.node, answer.node) or _rounds(answer, gold) or _rounds(gold, answer)


def _counted(value: Formula) -> Node:
    """`3 dozen eggs` as 36."""
    return ("multiply", ("number", Fraction(12)), value.node) if value.unit.startswith(_DOZEN) else value.node


def _marked(gold: Formula, answer: Formula) -> bool:
    """One side has a percent or degree sign. 28% is 0.28; and as the sign is often left out, 28% is 28 too, but 0.5%
    is not 0.5: a number below 1 is a share itself."""
    marked, other = (gold, answer) if gold.unit in ("%", "°") else (answer, gold)
    if other.unit not in ("", "rad"):
        return False
    plain: Node = ("multiply", ("number", Fraction(1, 100)), marked.node)
    if marked.unit == "°":
        plain = ("multiply", ("number", Fraction(1, 180)), ("variable", "π"), marked.node)
    if same(plain, other.node):
        return True
    share = marked.unit == "%" and (value := exact_or_none(marked.node)) is not None and abs(value) < 1
    return not other.unit and not share and same(marked.node, other.node)


def _rounds(decimal: Formula, value: Formula) -> bool:
    """Whether a decimal of at least 6 significant digits is the other number rounded or cut at its last digit.
    Numbers that are decimals themselves are compared exactly, but for the noise at the end of a printed float."""
    if decimal.decimals is None or decimal.decimals[1] < _SIGNIFICANT or variables(value.node):
        return False
    written = exact(decimal.node)
    assert written is not None
    try:
        whole = exact(value.node)
        target: Any = whole if whole is not None else number(value.node)
    except (TooLarge, Undefined):
        return False
    if target is None or isinstance(target, mpmath.mpc):
        return False
    with mpmath.workdps(60):
        target = target if whole is not None else _fraction(target)
    distance = abs(target - written)
    if decimal.decimals[1] >= _FLOAT_DIGITS and distance <= abs(target) * Fraction(1, 10**14):
        return True
    if whole is not None and _terminates(whole):
        return False
    step = Fraction(1, 10 ** decimal.decimals[0])
    return distance <= step / 2 or (distance < step and abs(written) < abs(target) and written * target > 0)


def _fraction(value: Any) -> Fraction:
    sign, mantissa, exponent, _ = value._mpf_
    if abs(exponent) > 10_000:
        return Fraction(0)
    return (-1 if sign else 1) * Fraction(mantissa) * Fraction(2) ** exponent


def _terminates(value: Fraction) -> bool:
    """Whether a rational number has a finite decimal expansion."""
    rest = value.denominator
    for prime in (2, 5):
        while rest % prime == 0:
            rest //= prime
    return rest == 1
