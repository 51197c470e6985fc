"""Text that another project's code would evaluate, read instead: Python's literals and arithmetic, sympy's formulas.

Some scorers of reasoning-gym call `eval` or sympy's `parse_expr` (which is eval) on the answer. `without_evaluation`
puts the readers of this file in their place, and refuses any other way from a text to code.
"""

from __future__ import annotations

import ast
import operator
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

_LONGEST = 10_000  # characters
_MOST_NODES = 2_000
_MOST_BITS = 20_000  # of a whole number on the way
_INTEGER: dict[type[ast.AST], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.BitAnd: operator.and_,
    ast.BitOr: operator.or_,
    ast.BitXor: operator.xor,
    ast.LShift: operator.lshift,
    ast.RShift: operator.rshift,
}
_SIGNS: dict[type[ast.AST], Callable[[Any], Any]] = {
    ast.UAdd: operator.pos,
    ast.USub: operator.neg,
    ast.Invert: operator.invert,
}
_FUNCTIONS = frozenset(
    [
        *("sin", "cos", "tan", "cot", "sec", "csc", "asin", "acos", "atan", "exp", "log", "ln", "sqrt", "Abs"),
        *("sinh", "cosh", "tanh", "asinh", "acosh", "atanh"),
    ]
)
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_CONSTANTS = frozenset({"pi", "E", "I"})


class Refused(RuntimeError):
    """A library was about to run a text."""


def literal(text: Any, *_: Any) -> Any:
    """In the place of `eval`: a literal (numbers, strings, lists ...), or arithmetic of whole numbers. Raises
    ValueError for any other text."""
    tree = _parsed(text)
    if isinstance(tree, (ast.BinOp, ast.UnaryOp)):
        return _number(tree)
    return ast.literal_eval(tree)


def formula(text: Any, local_dict: Mapping[str, Any] | None = None, *_: Any, **__: Any) -> Any:
    """In the place of sympy's `parse_expr`: numbers, names, + - * / // % **, and the functions of `_FUNCTIONS`. Raises
    ValueError for any other text."""
    return _formula(_parsed(text), local_dict or {})


def _parsed(text: Any) -> ast.expr:
    if not isinstance(text, str) or len(text) > _LONGEST:
        raise ValueError("not a text of at most 10,000 characters")
    try:
        tree = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, RecursionError, MemoryError) as error:
        raise ValueError(f"not an expression: {error}") from None
    if sum(1 for _ in ast.walk(tree)) > _MOST_NODES:
        raise ValueError(f"more than {_MOST_NODES} parts")
    return tree


def _number(tree: ast.AST) -> Any:
    if isinstance(tree, ast.Constant) and type(tree.value) in (int, float):
        return tree.value
    if isinstance(tree, ast.UnaryOp) and type(tree.op) in _SIGNS:
        return _SIGNS[type(tree.op)](_number(tree.operand))
    if isinstance(tree, ast.BinOp) and type(tree.op) in _INTEGER:
        left, right = _number(tree.left), _number(tree.right)
        shifted = isinstance(tree.op, ast.LShift)
        if _bits(left) + (int(right) if shifted else _bits(right)) > _MOST_BITS:
            raise ValueError("the numbers grow too large")
        return _INTEGER[type(tree.op)](left, right)
    raise ValueError(f"{type(tree).__name__} is no arithmetic")


def _bits(value: Any) -> int:
    return value.bit_length() if isinstance(value, int) else 64


def _formula(tree: ast.AST, names: Mapping[str, Any]) -> Any:
    import sympy

    if isinstance(tree, ast.Constant) and type(tree.value) in (int, float):
        return sympy.Integer(tree.value) if isinstance(tree.value, int) else sympy.Float(repr(tree.value))
    if isinstance(tree, ast.Name):
        found = names.get(tree.id)
        if isinstance(found, sympy.Expr):
            return found
        return getattr(sympy, tree.id) if tree.id in _CONSTANTS else sympy.Symbol(tree.id)
    if isinstance(tree, ast.UnaryOp) and isinstance(tree.op, (ast.UAdd, ast.USub)):
        value = _formula(tree.operand, names)
        return -value if isinstance(tree.op, ast.USub) else value
    if isinstance(tree, ast.Call) and isinstance(tree.func, ast.Name) and tree.func.id in _FUNCTIONS:
        if tree.keywords or len(tree.args) > 2:
            raise ValueError(f"{tree.func.id} with other arguments than its own")
        return getattr(sympy, tree.func.id)(*(_formula(part, names) for part in tree.args))
    if isinstance(tree, ast.BinOp):
        return _combined(tree.op, _formula(tree.left, names), _formula(tree.right, names))
    raise ValueError(f"{type(tree).__name__} is no part of a formula")


def _combined(sign: ast.operator, left: Any, right: Any) -> Any:
    import sympy

    if isinstance(sign, ast.Pow):
        if right.is_number and (not right.is_Rational or abs(right) > 1000):
            raise ValueError("an exponent beyond 1000")
        if left.is_Rational and right.is_Rational:
            largest = max(abs(left.p), left.q).bit_length()
            if largest * max(1, abs(int(right))) > _MOST_BITS:
                raise ValueError("the numbers grow too large")
        elif not left.free_symbols and left.is_number and abs(right) > 100:
            raise ValueError("an exponent beyond 100")
        return left**right
    if isinstance(sign, ast.Add):
        return left + right
    if isinstance(sign, ast.Sub):
        return left - right
    if isinstance(sign, ast.Mult):
        return left * right
    if isinstance(sign, ast.Div):
        return left / right
    if isinstance(sign, ast.FloorDiv):
        return sympy.floor(left / right)
    if isinstance(sign, ast.Mod):
        return sympy.Mod(left, right)
    raise ValueError(f"{type(sign).__name__} is no part of a formula")


class _Guard:
    """Hears of every code that Python is about to run. It cannot be taken out again, so it has a switch."""

    def __init__(self) -> None:
        self.on = self.installed = False
        self.refused = ""

    def hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self.on:
            return
        text = event == "exec" and getattr(arguments[0], "co_filename", "") == "<string>"
        opened = event == "open" and isinstance(arguments[2], int) and arguments[2] & _WRITING
        if text or opened or event in _REFUSED or event.startswith(("socket.connect", "os.posix_spawn", "shutil.")):
            self.refused = event
            raise Refused(f"{event} is refused to a scorer")


_REFUSED = frozenset(
    [
        *("os.system", "os.exec", "os.fork", "os.forkpty", "os.kill", "os.putenv", "subprocess.Popen", "pty.spawn"),
        *("os.remove", "os.rename", "os.rmdir", "os.mkdir", "os.chmod", "os.link", "os.symlink"),
        *("ctypes.dlopen", "marshal.loads", "pickle.find_class"),
    ]
)
_GUARD = _Guard()


@contextmanager
def without_evaluation(package: str) -> Iterator[_Guard]:
    """Inside, the modules of `package` find `literal` and `formula` for `eval` and `parse_expr`, and what would run a
    text all the same raises Refused, which `refused` remembers. For one thread."""
    import sympy
    import sympy.parsing.sympy_parser as parser

    if not _GUARD.installed:
        sys.addaudithook(_GUARD.hear)
        _GUARD.installed = True
    modules = [vars(module) for name, module in list(sys.modules.items()) if name.split(".")[0] == package]
    places = [(names, "eval", literal) for names in modules]
    places += [(names, "parse_expr", formula) for names in modules if names.get("parse_expr") is parser.parse_expr]
    places += [(vars(module), "parse_expr", formula) for module in (sympy, parser)]
    before = [names.get(name) for names, name, _ in places]
    for names, name, reader in places:
        names[name] = reader
    _GUARD.on, _GUARD.refused = True, ""
    try:
        yield _GUARD
    finally:
        _GUARD.on = False
        for (names, name, _), old in zip(places, before, strict=True):
            if old is None:
                del names[name]
            else:
                names[name] = old
