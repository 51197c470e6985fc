"""What our grammar does not cover (sums, integrals, limits, matrix products): math-verify's parser and comparison.

It sees small expressions only: text and tree are bounded in size, digits and exponents first. It calls numbers equal
that differ by little, so what it accepts is checked again to 50 digits."""

from __future__ import annotations

import re
from typing import Any

from r1zero.rewards.math.clean import clean
from r1zero.rewards.math.extract import Found
from r1zero.rewards.math.values import Text, Value, parts

MAX_CHARACTERS = 400
MAX_OPERATIONS = 300
MAX_EXPONENT = 200
MAX_PRODUCT = 10**5
MAX_TERMS = 1_000
MAX_INTEGRAND = 12
_TOO_MUCH = (
    re.compile(r"\d{40}"),
    re.compile(r"\^\s*\{?\s*\(?\s*[-+]?\d{4}"),  # a large exponent
    re.compile(r"\^[^+\-*/=,&\\ ]*\^[^+\-*/=,&\\ ]*\^"),  # a tower
    re.compile(r"\d{4,}\s*!|!\s*!"),
    re.compile(r"\\binom\s*\{[^}]*\d{4}|\\(?:prod|sum)[^}]*\d{5}"),
    re.compile(r"(?:\{[^{}]*){30}"),
)
_SMALL_FACTORIAL = re.compile(r"\(\s*\d{0,2}\s*[a-z]?\s*(?:[-+]\s*\d{1,3}\s*)?\)\s*!")  # `(2n+1)!`
_EXPONENT = re.compile(r"\^\s*(?:\{((?:[^{}]|\{[^{}]*\})*)\}|-?\w|\\\w+)")
_POWER_OF_POWER = re.compile(r"[\d)}!]\s*\^")
_REPEATED = re.compile(r"\\(?:sum|prod)")
_PLACES = 50


def equal(gold: Found, answer: Found) -> bool:
    """Whether math-verify finds two answers equal, of which at least one is outside of our grammar."""
    assert gold.value is not None and answer.value is not None
    if not (_formal(gold.value) or _formal(answer.value)):
        return False
    if not (_small(gold.text) and _small(answer.text)):
        return False
    from math_verify import verify

    first, second = _parsed(gold.text), _parsed(answer.text)
    if first is None or second is None or not (_bounded(first) and _bounded(second)):
        return False
    return bool(verify(first, second, timeout_seconds=None)) and not _differ(first, second)


def _formal(value: Value) -> bool:
    return value.formal if isinstance(value, Text) else any(_formal(part) for part in parts(value))


def _small(text: str) -> bool:
    """Whether math-verify may parse a text: sympy computes powers and factorials of numbers while it reads them."""
    if len(text) > MAX_CHARACTERS:
        return False
    text = clean(text)
    if any(pattern.search(text) for pattern in _TOO_MUCH) or re.search(r"[)\]}]\s*!", _SMALL_FACTORIAL.sub("", text)):
        return False
    return _small_powers(text)


def _small_powers(text: str) -> bool:
    """Whether all numbers in exponents together multiply to little, and no exponent is itself a power."""
    exponents = list(_EXPONENT.finditer(text))
    total = 1
    for exponent in exponents:
        inside = exponent[1] or exponent[0]
        if "^" in (exponent[1] or "") and (_POWER_OF_POWER.search(inside) or _REPEATED.search(text)):
            return False
        for number in re.findall(r"\d+", inside):
            total *= max(int(number), 1)
    return total <= MAX_PRODUCT and text.count("^") == sum(match[0].count("^") for match in exponents)


def _parsed(text: str) -> Any | None:
    from math_verify import LatexExtractionConfig, parse

    configs = [LatexExtractionConfig(boxed_match_priority=0)]
    # no time limit of its own: it uses SIGALRM, which C code ignores; the pool's limit is a kill
    found = parse(f"\\boxed{{{text}}}", configs, fallback_mode="no_fallback", parsing_timeout=0)
    return found[0] if found else None


def _bounded(tree: Any) -> bool:
    """Whether math-verify may evaluate a tree: few operations, small exponents, short sums, simple integrands."""
    import sympy

    if isinstance(tree, sympy.MatrixBase):
        return all(_bounded(entry) for entry in tree.flat())
    if sympy.count_ops(tree, visual=False) > MAX_OPERATIONS:
        return False
    for part in sympy.preorder_traversal(tree):
        if isinstance(part, sympy.Pow) and not _small_exponent(part):
            return False
        if isinstance(part, sympy.Sum | sympy.Product) and not all(_short(*limits) for limits in part.limits):
            return False
        if isinstance(part, sympy.Integral) and sympy.count_ops(part.function, visual=False) > MAX_INTEGRAND:
            return False
    return True


def _small_exponent(power: Any) -> bool:
    if power.exp.is_number:
        return bool(abs(power.exp.evalf(5)) <= MAX_EXPONENT)
    return not any(part.is_Pow for part in power.exp.args) and not power.exp.is_Pow


def _short(variable: Any, *bounds: Any) -> bool:
    """Whether a sum over these limits has few terms, or infinitely many, which need a formula anyway."""
    if len(bounds) != 2 or not all(bound.is_number for bound in bounds):
        return True
    return bool(bounds[1].is_infinite) or bool(abs(bounds[1] - bounds[0]) <= MAX_TERMS)


def _differ(first: Any, second: Any) -> bool:
    """Whether two numbers that were called equal are not, to 50 digits."""
    import sympy

    if not (isinstance(first, sympy.Expr) and isinstance(second, sympy.Expr)):
        return False
    if first.free_symbols or second.free_symbols:
        return False
    values = [sympy.N(expression, _PLACES) for expression in (first, second)]
    if any(not value.is_number or not value.is_finite for value in values):
        return False
    return bool(abs(values[0] - values[1]) > sympy.Float(10, _PLACES) ** -30 * max(map(abs, values)))
