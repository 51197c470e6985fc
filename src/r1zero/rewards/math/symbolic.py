"""What our grammar does not cover (sums, integrals, limits, matrix products): math-verify's parser and comparison.

It sees small expressions only: text and tree are bounded in size, digits and exponents first. It calls numbers equal that
differ by little, so what it accepts is checked again to 50 digits.
"""

from __future__ import annotations

import re
from typing import Any

from r1zero.rewards.math.clean import clean
from r1zero.rewards.math.extract import Found
from r1zero.rewards.math.structure import Text, Value, parts

MAX_CHARACTERS = 400
MAX_OPERATIONS = 300
MAX_EXPONENT = 200
_TOO_MUCH = (
    re.compile(r"\d{40}"),
    re.compile(r"\^\s*\{?\s*\(?\s*[-+]?\d{4}"),  # a large exponent
    re.compile(r"\^[^+\-*/=,&\\ ]*\^[^+\-*/=,&\\ ]*\^"),  # a tower
    re.compile(r"\d{4,}\s*\)?\s*!|\)\s*!\s*!|!\s*\)\s*!"),
    re.compile(r"\\binom\s*\{[^}]*\d{4}|\\(?:prod|sum)[^}]*\d{5}"),
    re.compile(r"(?:\{[^{}]*){30}"),
)
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
    return len(text) <= MAX_CHARACTERS and not any(pattern.search(clean(text)) for pattern in _TOO_MUCH)


def _parsed(text: str) -> Any | None:
    from math_verify import LatexExtractionConfig, parse

    configs = [LatexExtractionConfig(boxed_match_priority=0)]
    # no time limit of its own: it uses SIGALRM, which C code ignores; the pool's limit is a kill
    found = parse(f"\\boxed{{{text}}}", configs, fallback_mode="no_fallback", parsing_timeout=0)
    return found[0] if found else None


def _bounded(tree: Any) -> bool:
    import sympy

    if isinstance(tree, sympy.MatrixBase):
        return all(_bounded(entry) for entry in tree.flat())
    if sympy.count_ops(tree, visual=False) > MAX_OPERATIONS:
        return False
    powers = [part.exp for part in sympy.preorder_traversal(tree) if isinstance(part, sympy.Pow)]
    return not any(exponent.is_number and abs(exponent.evalf(5)) > MAX_EXPONENT for exponent in powers)


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
