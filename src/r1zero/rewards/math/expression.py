"""A small grammar of formulas: text that `clean` has seen becomes a tree, without evaluating anything.

A node is a tuple: ("number", Fraction), ("variable", name), ("add", a, b, ...), ("multiply", a, b, ...), ("power", a,
b), ("call", name, a, ...). Depth and length are bounded, so that no text can exhaust the stack or the clock.
"""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Any

Node = tuple[Any, ...]

MAX_CHARACTERS = 2_000
MAX_DEPTH = 40
MAX_DIGITS = 4_000
_MAX_POWER_OF_TEN = 10_000

FUNCTIONS = frozenset(
    "sin cos tan cot sec csc arcsin arccos arctan arccot sinh cosh tanh asin acos atan ln log lg exp sqrt abs gcd "
    "lcm max min floor ceil".split()
)
NAMES = {"pi": "π", "infty": "∞", "inf": "∞", "infinity": "∞", "theta": "θ", "alpha": "α", "beta": "β", "lambda": "λ"}
PROSE = frozenset(
    "the and not its for are was has can but you all any one two per how who why is it so to of at by or on an as we "
    "no be he do if let get".split()
)
_NUMBER = re.compile(r"(?:\d+\.?\d*|\.\d+)(?:[eE](?:\+?\d{1,5}|-\d{2,5})(?![\d.])|E-\d(?!\d))?")
_INTEGER = re.compile(r"\d+")
_LETTERS = re.compile(r"[A-Za-z]+")
_MIXED = re.compile(
    r"(\d+)(?:\s*\\frac\s*(?:\{\s*(\d+)\s*\}\s*\{\s*(\d+)\s*\}|(\d)\s*(\d))|\s+(\d+)\s*/\s*(\d+)(?![\d.]))"
)
_REPEATING = re.compile(
    r"(\d*)\.(\d{0,60}?)(?:(\d)\3{2,60}…|\\overline\s*\{\s*(\d+)\s*\}|\\dot\s*\{\s*(\d)\s*\}(?:\s*(\d*?)\s*\\dot\s*\{\s*(\d)\s*\})?)"
)
_COMMAND = re.compile(r"\\([a-zA-Z]+)")
_CLOSERS = {"(": ")", "[": "]", "{": "}", "⌊": "⌋", "⌈": "⌉"}
ONE = ("number", Fraction(1))
MINUS_ONE = ("number", Fraction(-1))
HALF = ("number", Fraction(1, 2))


class NotAFormula(ValueError):
    """The text is outside the grammar."""


def parse(text: str) -> Node:
    """The tree of a formula. Raises NotAFormula for anything else, prose among it."""
    if len(text) > MAX_CHARACTERS:
        raise NotAFormula("too long")
    parser = _Parser(text)
    node = parser.sum(0)
    parser.skip()
    if parser.place != len(text):
        raise NotAFormula(f"unexpected {text[parser.place : parser.place + 10]!r}")
    return node


def negative(node: Node) -> Node:
    return ("number", -node[1]) if node[0] == "number" else ("multiply", MINUS_ONE, node)


def variables(node: Node) -> frozenset[str]:
    """Names of the free variables; e and i are constants."""
    if node[0] == "variable":
        return frozenset() if node[1] in ("e", "i", "π", "∞") else frozenset([node[1]])
    return frozenset().union(*(variables(part) for part in node[1:] if isinstance(part, tuple)))


def _repeating(whole: str, fixed: str, *period: str) -> Fraction:
    """0.1\\overline{6} is 0.1666..."""
    digits = "".join(period)[:40]
    decimals = Fraction(int(fixed[:40] or 0)) + Fraction(int(digits), 10 ** len(digits) - 1)
    return int(whole[:40] or 0) + decimals / 10 ** len(fixed[:40])


class _Parser:
    def __init__(self, text: str) -> None:
        self.text = text
        self.place = 0
        self.bars = 0  # open absolute values: a bar then closes
        self.repeats = any(mark in text for mark in ("overline", "dot", "…"))

    def skip(self) -> None:
        while self.place < len(self.text) and self.text[self.place].isspace():
            self.place += 1

    def peek(self) -> str:
        self.skip()
        return self.text[self.place] if self.place < len(self.text) else ""

    def take(self, character: str) -> bool:
        if self.peek() != character:
            return False
        self.place += 1
        return True

    def expect(self, character: str) -> None:
        if not self.take(character):
            raise NotAFormula(f"expected {character!r} at {self.place}")

    def sum(self, depth: int) -> Node:
        if depth > MAX_DEPTH:
            raise NotAFormula("too deep")
        terms = [self.product(depth)]
        while (sign := self.peek()) in ("+", "-") and sign:
            self.place += 1
            term = self.product(depth)
            terms.append(negative(term) if sign == "-" else term)
        return terms[0] if len(terms) == 1 else ("add", *terms)

    def product(self, depth: int) -> Node:
        factors = [self.signed(depth)]
        while True:
            operator = self.peek()
            if operator in ("*", "/") and operator:
                self.place += 1
                factor = self.signed(depth)
                factors.append(("power", factor, MINUS_ONE) if operator == "/" else factor)
            elif self.starts_factor(operator):
                if operator.isdigit() or operator == ".":
                    raise NotAFormula("two numbers side by side")
                factors.append(self.power(depth))
            else:
                return factors[0] if len(factors) == 1 else ("multiply", *factors)

    def starts_factor(self, character: str) -> bool:
        if not character:
            return False
        if character == "|":
            return self.bars == 0
        return character.isalnum() or character in "([{\\.⌊⌈π∞"

    def signed(self, depth: int) -> Node:
        flip = False
        while self.peek() in ("+", "-") and self.peek():
            flip ^= self.peek() == "-"
            self.place += 1
        node = self.power(depth)
        return negative(node) if flip else node

    def power(self, depth: int) -> Node:
        if depth > MAX_DEPTH:
            raise NotAFormula("too deep")
        base = self.postfix(self.atom(depth))
        if self.take("^"):
            base = ("power", base, self.exponent(depth + 1))
            base = self.postfix(base)
        return base

    def postfix(self, node: Node) -> Node:
        while self.peek() in ("!", "%", "°") and self.peek():
            mark = self.text[self.place]
            self.place += 1
            if mark == "!":
                if self.peek() == "!":
                    raise NotAFormula("a double factorial")
                node = ("call", "factorial", node)
            elif mark == "%":
                node = ("multiply", node, ("number", Fraction(1, 100)))
            else:
                node = ("multiply", node, ("variable", "π"), ("number", Fraction(1, 180)))
        return node

    def exponent(self, depth: int) -> Node:
        if self.take("{"):
            node = self.sum(depth)
            self.expect("}")
            return node
        if self.peek() in ("+", "-") and self.peek():
            sign = self.text[self.place]
            self.place += 1
            node = self.power(depth)
            return negative(node) if sign == "-" else node
        node = self.atom(depth)
        return ("power", node, self.exponent(depth + 1)) if self.take("^") else node

    def atom(self, depth: int) -> Node:
        character = self.peek()
        if character.isdigit() or character == ".":
            return self.number()
        if character in ("(", "[", "{", "⌊", "⌈") and character:
            return self.group(character, depth)
        if character == "|":
            return self.absolute(depth)
        if character == "\\":
            return self.command(depth)
        if character.isascii() and character.isalpha():
            return self.letters(depth)
        if character and (character in "π∞" or "α" <= character <= "ω" or "Α" <= character <= "Ω"):
            self.place += 1
            return ("variable", character + ("" if character in "π∞" else self.subscript()))
        raise NotAFormula(f"unexpected {character!r} at {self.place}")

    def number(self) -> Node:
        if mixed := _MIXED.match(self.text, self.place):
            whole, *parts = (int(part) for part in mixed.groups() if part is not None)
            if len(mixed[1]) <= 30 and 0 < parts[0] < parts[1]:
                self.place = mixed.end()
                return ("number", whole + Fraction(parts[0], parts[1]))
        repeating = _REPEATING.match(self.text, self.place) if self.repeats else None
        if repeating:
            self.place = repeating.end()
            return ("number", _repeating(*repeating.groups(default="")))
        match = _NUMBER.match(self.text, self.place)
        if match is None or len(match[0]) > MAX_DIGITS:
            raise NotAFormula("not a number, or one of too many digits")
        exponent = re.search(r"[eE]([+-]?\d+)$", match[0])
        if exponent and abs(int(exponent[1])) > _MAX_POWER_OF_TEN:
            raise NotAFormula("exponent too large")
        self.place = match.end()
        if self.peek() == "_":
            return self.in_base(match[0])
        return ("number", Fraction(match[0]))

    def in_base(self, digits: str) -> Node:
        base = self.subscript().strip("_()")
        if not _INTEGER.fullmatch(digits) or not _INTEGER.fullmatch(base) or not 2 <= int(base[:6]) <= 36:
            raise NotAFormula("a subscript of a number that is no base")
        if any(int(digit) >= int(base) for digit in digits) or len(digits) > 200:
            raise NotAFormula("a digit that its base does not have")
        return ("number", Fraction(int(digits, int(base))))

    def group(self, opener: str, depth: int) -> Node:
        self.place += 1
        bars, self.bars = self.bars, 0
        node = self.sum(depth + 1)
        self.bars = bars
        self.expect(_CLOSERS[opener])
        return ("call", "floor" if opener == "⌊" else "ceil", node) if opener in "⌊⌈" else node

    def absolute(self, depth: int) -> Node:
        self.place += 1
        bars, self.bars = self.bars, 1
        node = self.sum(depth + 1)
        self.bars = bars
        self.expect("|")
        return ("call", "abs", node)

    def letters(self, depth: int) -> Node:
        match = _LETTERS.match(self.text, self.place)
        assert match is not None
        run = match[0]
        if run in NAMES:
            self.place = match.end()
            return ("variable", NAMES[run])
        function = next((name for name in sorted(FUNCTIONS, key=len, reverse=True) if run.startswith(name)), None)
        if function and (run == function or (len(run) == len(function) + 1 and run not in PROSE)):
            self.place += len(function)
            return self.call(function, depth)
        if (len(run) > 3 and not (run.isupper() and len(run) <= 6)) or run.lower() in PROSE:
            raise NotAFormula(f"the word {run!r}")
        self.place += 1
        return ("variable", run[0] + self.subscript())

    def subscript(self) -> str:
        """`_1`, `_{n+1}`, `_n` as part of a name."""
        if not self.take("_"):
            return ""
        if self.take("{"):
            end = self.text.find("}", self.place)
            if end < 0 or end - self.place > 20:
                raise NotAFormula("an open or long subscript")
            name, self.place = self.text[self.place : end], end + 1
        else:
            match = _INTEGER.match(self.text, self.place) or re.compile(r"\w").match(self.text, self.place)
            if match is None:
                raise NotAFormula("an empty subscript")
            name, self.place = match[0], match.end()
        return "_" + name.replace(" ", "")

    def command(self, depth: int) -> Node:
        match = _COMMAND.match(self.text, self.place)
        if match is None:
            raise NotAFormula("a stray backslash")
        name, self.place = match[1], match.end()
        if name == "frac":
            return ("multiply", self.argument(depth), ("power", self.argument(depth), MINUS_ONE))
        if name == "sqrt":
            return self.root(depth)
        if name == "binom":
            return ("call", "binomial", self.argument(depth), self.argument(depth))
        if name == "text":
            return self.text_command(depth)
        if name in FUNCTIONS:
            return self.call(name, depth)
        raise NotAFormula(f"the command \\{name}")

    def text_command(self, depth: int) -> Node:
        self.expect("{")
        end = self.text.find("}", self.place)
        word = self.text[self.place : end].strip() if end >= 0 else ""
        self.place = end + 1
        if word in FUNCTIONS:
            return self.call(word, depth)
        if len(word) == 1 and word.isalpha():
            return ("variable", word + self.subscript())
        raise NotAFormula(f"the text {word[:20]!r}")

    def root(self, depth: int) -> Node:
        degree = None
        if self.take("["):
            degree = self.sum(depth + 1)
            self.expect("]")
        if (digits := _INTEGER.match(self.text, self.place + (self.peek() == " "))) and self.peek().isdigit():
            radicand: Node = ("number", Fraction(digits[0]))
            self.place = digits.end()
        else:
            radicand = self.argument(depth)
        return ("power", radicand, HALF) if degree is None else ("call", "root", radicand, degree)

    def argument(self, depth: int) -> Node:
        """What a TeX command takes: a group, or one character."""
        character = self.peek()
        if character == "{":
            return self.group("{", depth)
        if character.isdigit():
            self.place += 1
            return ("number", Fraction(int(character)))
        if character == "(":
            return self.group("(", depth)
        return self.power(depth + 1) if character == "\\" else self.atom(depth + 1)

    def call(self, name: str, depth: int) -> Node:
        """A function with or without parentheses, power and base: `\\sin^2 x`, `\\log_2 8`, `exp(16)`."""
        base = exponent = None
        while self.peek() in ("_", "^") and self.peek():
            mark = self.text[self.place]
            self.place += 1
            if mark == "_":
                base = self.argument(depth + 1)
            else:
                exponent = self.exponent(depth + 1)
        node = self.applied(name, base, depth)
        if exponent == MINUS_ONE and name in ("sin", "cos", "tan"):
            return ("call", "arc" + name, *node[2:])
        return node if exponent is None else ("power", node, exponent)

    def applied(self, name: str, base: Node | None, depth: int) -> Node:
        character = self.peek()
        if character and character in "({[":
            arguments = self.arguments(character, depth)
        else:
            arguments = [self.implicit(depth)]
        if name == "sqrt":
            return ("power", arguments[0], HALF)
        if name in ("log", "lg") and base is not None:
            return ("call", "log_base", arguments[0], base)
        return ("call", name, *arguments)

    def arguments(self, opener: str, depth: int) -> list[Node]:
        self.place += 1
        bars, self.bars = self.bars, 0
        found = [self.sum(depth + 1)]
        while self.take(","):
            found.append(self.sum(depth + 1))
        self.bars = bars
        self.expect(_CLOSERS[opener])
        return found

    def implicit(self, depth: int) -> Node:
        """The argument of a function without parentheses: factors side by side, up to an operator or a function."""
        self.skip()
        factors = [self.signed(depth + 1)]
        while (character := self.peek()) and (character.isalpha() or character in "π") and not self.function_ahead():
            factors.append(self.power(depth + 1))
        return factors[0] if len(factors) == 1 else ("multiply", *factors)

    def function_ahead(self) -> bool:
        match = _LETTERS.match(self.text, self.place)
        return match is not None and match[0] in FUNCTIONS
