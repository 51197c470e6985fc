"""Wrong answers around what models write in the field: mentioned boxes, `####`, phrases, units in brackets, numbered
parts, choices in prose, several boxes, pairs of equations, determinants, odd notations. Every item is a negative."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

from .adversarial import Cases, Negative

_LETTERS = "ABCDE"
_PHRASES = (
    ("a necessary but not sufficient condition", "a sufficient but not necessary condition"),
    ("a necessary but not sufficient condition", "a necessary and sufficient condition"),
    ("the line is tangent to the circle", "the line intersects the circle"),
    ("increases by a factor of two", "decreases by a factor of two"),
    ("it lies above the chord", "it lies below the chord"),
    ("neither even nor odd", "either even or odd"),
    ("monotonically increasing", "monotonically decreasing"),
    ("all of them are correct", "none of them are correct"),
    ("player one always wins", "player two always wins"),
    ("on the left of the axis", "on the right of the axis"),
)
_UNITS = ("inches of snow", "square meters", "times as many", "kilometers per hour", "red marbles", "ways to do it")
_BASES = ("two", "three", "four", "five", "six", "seven", "eight", "nine")


def field_negatives(seed: int = 0) -> Iterator[Negative]:
    """More than 2,000 wrong answers, the same for the same seed."""
    numbers = random.Random(f"field {seed}")
    makers: tuple[Callable[[random.Random], Cases], ...] = (
        _mentions,
        _hashes,
        _phrases,
        _units,
        _parts,
        _choices,
        _several_boxes,
        _pairs,
        _determinants,
        _notations,
        _references,
    )
    for make in makers:
        for kind, gold, response in make(numbers):
            yield Negative(kind, gold, response)


def _other(numbers: random.Random, *taken: int) -> int:
    return next(n for n in iter(lambda: numbers.randrange(2, 500), None) if n not in taken)


def _mentions(numbers: random.Random) -> Cases:
    for _ in range(40):
        n = numbers.randrange(2, 500)
        m = _other(numbers, n)
        yield "mentioned box", f"{n}", f"I considered {n}. I will put it in \\boxed{{}}. The answer is {m}."
        yield "mentioned box", f"{n}", f"Put {n} in \\boxed{{...}}? No. \\boxed{{{m}}}"
        yield "mentioned box", f"{n}", f"\\boxed{{{m}}}. I wrote it in \\boxed{{}} as asked, {n} times."
        yield "mentioned box", f"{n}", f"The answer goes in \\boxed at the end: {n} is too large, so the answer is {m}."
        yield "empty box", f"{n}", f"We get {n}, so \\boxed{{}}"
        yield "empty box", f"{n}", f"We get {n}, which is \\boxed{{...}}"
        yield "two boxes", f"{n}", f"\\boxed{{{n}}} \\boxed{{}} \\boxed{{{m}}}"
    for letter in "abcdnxyeiI":
        yield "article in a box", letter, "I must put the answer in \\boxed at the end. The answer is 5."
        yield "article in a box", letter, f"I put it in \\boxed {letter} moment ago. The answer is 5."


def _hashes(numbers: random.Random) -> Cases:
    for _ in range(40):
        n = numbers.randrange(2, 500)
        m = _other(numbers, n, n - 1)
        yield "hashes", f"{n}", f"so {n}.\n#### {m}\nI used {n} numbers."
        yield "hashes", f"{n}", f"#### {n}\nWait, that is wrong.\n#### {m}"
        yield "hashes", f"-{n}", f"It fell.\n#### {n}"
        yield "hashes", f"{n}", f"#### Step {n}\nWe add.\n#### Step {n + 1}\nThe answer is {m}."
        yield "hashes", f"{n}", f"#### {n}. Add\nThe answer is {m}."
        yield "hashes", f"{n}", f"#### {n}\nOn reflection the answer is {m}."
        yield "hashes", f"{n}", f"#### {n} or {m}\nDone."
        solution = f"She has {m} eggs and sells {n + 1}.\n#### {n}"
        yield "solution", solution, f"\\boxed{{{m}}}"
        yield "solution", solution, f"\\boxed{{{n + 1}}}"
        yield "solution", solution, f"#### {m}\nDone in {n} steps."


def _phrases(numbers: random.Random) -> Cases:
    for right, wrong in _PHRASES:
        for gold, said in ((right, wrong), (wrong, right)):
            yield "phrase", gold, f"\\boxed{{{said}}}"
            yield "phrase", gold, f"\\boxed{{\\text{{{said}}}}}"
            yield "phrase", gold, f"The answer is {said}."
            yield "phrase", gold, f"\\boxed{{{gold} or {said}}}"
            yield "phrase", gold, f"\\boxed{{not {gold}}}"
            yield "phrase", gold, f"\\boxed{{{gold.rsplit(' ', 1)[0]}}}"
            yield "phrase", gold, f"At first I took it for {gold}. The answer is {said}."
            yield "phrase", gold, f"\\boxed{{{' '.join(reversed(gold.split()))}}}"


def _units(numbers: random.Random) -> Cases:
    for _ in range(15):
        for unit in _UNITS:
            n = numbers.randrange(2, 500)
            m = _other(numbers, n)
            yield "unit in brackets", f"{n} ({unit})", f"\\boxed{{{m}}}"
            yield "unit in brackets", f"{n} ({unit})", f"\\boxed{{{m} ({unit})}}"
            yield "unit in brackets", f"{n}", f"\\boxed{{{m} ({unit})}}"
    for gold, said in (("square meters", "m"), ("kilometers per hour", "m/s"), ("inches", "feet"), ("days", "hours")):
        yield "another unit in brackets", f"45 ({gold})", f"\\boxed{{45 {said}}}"
        yield "another unit in brackets", f"45 {said}", f"\\boxed{{45 ({gold})}}"
    for said in ("12 (or thirteen)", "12 (not sure)", "12 (wrong)", "12 (but maybe more)"):
        yield "doubt in brackets", "12", f"\\boxed{{{said}}}"


def _parts(numbers: random.Random) -> Cases:
    for _ in range(30):
        a = numbers.randrange(2, 300)
        b = _other(numbers, a)
        c = _other(numbers, a, b)
        for gold in (f"a) {a} b) {b}", f"(a) {a}, (b) {b}", f"(1) {a}; (2) {b}", f"(i) {a} (ii) {b}"):
            yield "parts", gold, f"\\boxed{{{b}, {a}}}"
            yield "parts", gold, f"\\boxed{{(a) {a}, (b) {c}}}"
            yield "parts", gold, f"\\boxed{{(a) {b} (b) {a}}}"
            yield "parts", gold, f"\\boxed{{{a}}}"
            yield "parts", gold, f"\\boxed{{a) {a} b) {b} c) {c}}}"
        yield "parts", f"{a}", f"\\boxed{{a) {a} b) {b}}}"


def _choices(numbers: random.Random) -> Cases:
    for right in _LETTERS:
        for wrong in (letter for letter in _LETTERS if letter != right):
            third = next(letter for letter in _LETTERS if letter not in (right, wrong))
            for said in (
                f"for sure {wrong}, it can't be {right} or {third}",
                f"for sure {wrong}, it can't be {third} or {right}",
                f"I ruled out {right}, {third}, so {wrong}.",
                f"It's {wrong}. {right} and {third} are wrong.",
                f"{wrong} is correct; options {right} and {third} are incorrect.",
                f"It is either {right} or {wrong}, but {right} fails, so it must be {wrong}.",
                f"Option {wrong} is right, whereas option {right} is not",
                f"I think the answer is {wrong} rather than {right}.",
                f"not {right} but {wrong}",
                f"The answer cannot be {right}.",
                f"{right} or {wrong}",
                f"It is {right} or {wrong}.",
                f"The answer is {right} or {wrong}.",
                f"\\boxed{{{right}}} or \\boxed{{{wrong}}}",
                f"\\boxed{{\\text{{({wrong})}}}}",
                f"\\boxed{{\\text{{{right} and {wrong}}}}}",
            ):
                yield "choice", right, said
            yield "choice", f"\\text{{({right})}}", f"\\boxed{{{wrong}}}"
            yield "choice", f"Answer: {right}", f"The answer is ({wrong}), not ({right})."


def _several_boxes(numbers: random.Random) -> Cases:
    for _ in range(30):
        a = numbers.randrange(2, 300)
        b = _other(numbers, a)
        c = _other(numbers, a, b)
        for gold in (f"\\{{{a},{b}\\}}", f"{a},{b}"):
            yield "boxes", gold, f"\\boxed{{{a}}} and \\boxed{{{c}}}"
            yield "boxes", gold, f"\\boxed{{{a}}}, \\boxed{{{b}}} and \\boxed{{{c}}}"
            yield "boxes", gold, f"First \\boxed{{{a}}}. But no, it is only \\boxed{{{b}}}."
        yield "boxes", f"{a}", f"\\boxed{{{a}}} and \\boxed{{{b}}}"
        yield "tuples", f"({a},{b}),({b},{a})", f"\\boxed{{({a},{b}),({a},{b})}}"
        yield "tuples", f"({a},{b}),({b},{a})", f"\\boxed{{({a},{b}),({b},{a}),({c},{a})}}"
        yield "tuples", f"({a},{b})", f"\\boxed{{({a},{b}),({a},{c})}}"
        yield "values twice", f"{a},{b}", f"\\boxed{{{a},{b},{b}}}"


def _pairs(numbers: random.Random) -> Cases:
    for _ in range(30):
        a = numbers.randrange(2, 300)
        b = _other(numbers, a)
        yield "pair", f"({a},{b})", f"\\boxed{{x={b}, y={a}}}"
        yield "pair", f"({a},{b})", f"\\boxed{{y={a}, x={b}}}"
        yield "pair", f"x={a}, y={b}", f"\\boxed{{({b},{a})}}"
        yield "pair", f"x={a}, y={b}", f"\\boxed{{y={a}, x={b}}}"
        yield "pair", f"x={a}, y={b}", f"\\boxed{{x={a}}}"
        yield "pair", f"x={a},y={b} or x={b},y={a}", f"\\boxed{{({a},{b})}}"
        yield "system", f"({a},{b})", f"\\boxed{{\\begin{{cases}} x={b} \\\\ y={a} \\end{{cases}}}}"
        yield "system", f"{a}", f"\\boxed{{\\begin{{cases}} {a} & x>0 \\\\ {b} & x<0 \\end{{cases}}}}"
        yield "lines", f"y = x + {a}, y = {b}x", f"\\boxed{{y - {b}x = 0, y - x = -{a}}}"
        yield "lines", f"y = x + {a}, y = {b}x", f"\\boxed{{y = {b}x, y = x - {a}}}"
        yield "lines", f"x - y + {a} = 0 or x + y - {b} = 0", f"\\boxed{{x + y - {b} = 0}}"


def _determinants(numbers: random.Random) -> Cases:
    for _ in range(40):
        a, b, c, d = (numbers.randrange(2, 30) for _ in range(4))
        value = a * d - b * c
        shown = f"\\begin{{vmatrix}} {a} & {b} \\\\ {c} & {d} \\end{{vmatrix}}"
        yield "determinant", f"{value}", f"\\boxed{{{shown} = {value + 1}}}"
        yield "determinant", f"{value}", f"\\boxed{{{shown} = {a * d} - {b * c} = {value - 1}}}"
        yield "determinant", f"{shown} = {value}", f"\\boxed{{{value + 1}}}"
        if value != a * d:
            yield "determinant", f"{a * d}", f"\\boxed{{{shown} = {a * d} - {b * c} = {value}}}"


def _notations(numbers: random.Random) -> Cases:
    for _ in range(40):
        n, k = numbers.randrange(5, 30), numbers.randrange(2, 4)
        yield "binomial", f"C({n},{k})", f"\\boxed{{C({n},{k + 1})}}" if n != 2 * k + 1 else f"\\boxed{{{n}}}"
        yield "binomial", f"C({n},{k})", f"\\boxed{{{n * k + 1}}}"
        yield "binomial", f"C_{{{n}}}^{{{k}}}", f"\\boxed{{{n}^{k}}}"
        yield "binomial", f"{n}C{k}", f"\\boxed{{C({n + 1},{k})}}"
        yield "apostrophes", f"{n},{100 + k}", f"\\boxed{{{n}'{101 + k}}}"
        yield "apostrophes", f"{n}'{100 + k}", f"\\boxed{{{n}}}"
        yield "ordinal", f"{n}th", f"\\boxed{{{n + 1}th}}"
        yield "ordinal", f"{n}", f"\\boxed{{{n + 1}^{{th}}}}"
        yield "dozen", f"{12 * n}", f"\\boxed{{{n + 1} dozen}}"
        yield "dozen", f"{12 * n}", "\\boxed{a dozen}" if n > 1 else "\\boxed{two dozen}"
        yield "base", f"{n}", f"\\boxed{{{n} base 7}}" if n > 6 else "\\boxed{1}"
        yield "base", f"{n}_9", f"\\boxed{{({n})_8}}" if n > 8 else "\\boxed{1}"
        yield "dozen", f"{n} dozen eggs", f"\\boxed{{{12 * n + 1} eggs}}"
    for base in _BASES[2:]:
        digits = "".join(numbers.choice("123") for _ in range(4))
        wrong = digits[::-1] if digits != digits[::-1] else digits + "1"
        yield "base", f"{digits}_{{{base}}}", f"\\boxed{{{wrong}_{{{base}}}}}"
        yield "base", f"{digits}_{{{base}}}", f"\\boxed{{{digits}_2}}"
        yield "base", f"{digits}_{{\\text{{{base}}}}}", f"\\boxed{{{digits}_{{ten}}}}"
    for word in ("second", "third", "tenth"):
        yield "ordinal", "1st", f"\\boxed{{{word}}}"
    yield "ordinal", "3", "\\boxed{third}"


def _references(numbers: random.Random) -> Cases:
    for _ in range(30):
        n = numbers.randrange(2, 300)
        m = _other(numbers, n, n + 1)
        yield "announced", f"Answer: {n}", f"\\boxed{{{m}}}"
        yield "announced", f"The answer is {n}.", f"\\boxed{{{m}}}"
        yield "worked", f"We add {m} and {n + 1}. So it is $\\boxed{{{n}}}$.", f"\\boxed{{{m}}}"
        yield "worked", f"We add {m} and {n + 1}. So it is $\\boxed{{{n}}}$.", f"\\boxed{{{n + 1}}}"
        yield "copied", f"Answer: {n}", f"\\boxed{{Answer: {m}}}"
