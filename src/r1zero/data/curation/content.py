"""What a problem says, whatever its typography: its words, its formulas and its numbers.

`Compute $\\dfrac{1}{2} + \\left( x \\right)$.` and `compute \\(\\frac12+(x)\\)` have the same content. Every rule here
runs in linear time, because questions are untrusted text.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise

_NUMBERS = (
    "two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen "
    "nineteen twenty"
)
# "one" is left out: it is a pronoun more often than a number
_NUMBER_WORDS = {word: str(value) for value, word in enumerate(_NUMBERS.split(), start=2)} | {
    "thirty": "30",
    "forty": "40",
    "fifty": "50",
    "sixty": "60",
    "seventy": "70",
    "eighty": "80",
    "ninety": "90",
}
_SPELLINGS: dict[str, str] = {
    **dict.fromkeys(("dfrac", "tfrac", "cfrac"), "frac"),
    **dict.fromkeys(("le", "leq", "leqslant"), "<="),
    **dict.fromkeys(("ge", "geq", "geqslant"), ">="),
    **dict.fromkeys(("ne", "neq"), "!="),
    **dict.fromkeys(("lt",), "<"),
    **dict.fromkeys(("gt",), ">"),
    **dict.fromkeys(("times", "cdot", "ast"), "*"),
    **dict.fromkeys(("ldots", "cdots", "dots", "dotsc", "dotsb"), "..."),
    **dict.fromkeys(("degree", "circ"), "degree"),
    **dict.fromkeys(("to", "rightarrow", "longrightarrow"), "->"),
    **dict.fromkeys(("rvert", "lvert", "vert", "mid"), "|"),
    "div": "/",
}
# commands that change how a formula looks and not what it says
_LOOKS_LIST = (
    "left right big Big bigg Bigg bigl bigr Bigl Bigr displaystyle textstyle limits quad qquad text mbox "
    "textrm textbf textit mathrm mathbf mathit mathsf operatorname emph hspace vspace phantom hline begin end "
    "hfill noindent allowbreak nonumber"
)
_LOOKS = frozenset(_LOOKS_LIST.split())
_LAYOUTS_LIST = (
    "align aligned array cases center eqnarray equation gather gathered split tabular flalign matrix pmatrix bmatrix "
    "vmatrix smallmatrix"
)
_LAYOUTS = frozenset(_LAYOUTS_LIST.split())
_SYMBOLS = {  # by code point: many look like another character
    0x00D7: "*",
    0x00B7: "*",
    0x22C5: "*",
    0x00F7: "/",
    0x2212: "-",
    0x2264: "<=",
    0x2265: ">=",
    0x2260: "!=",
    0x00B0: " degree ",
    0x221A: "\\sqrt ",
    0x2026: "...",
    0x2018: "'",
    0x2019: "'",
    0x201C: '"',
    0x201D: '"',
    0x2013: "-",
    0x2014: " - ",
    0x03C0: "\\pi ",
    0x221E: "\\infty ",
}

_FRACTION = re.compile(r"\\[dtc]?frac\s*(?:\{([^{}\\]{1,40})\}|([0-9a-z]))\s*(?:\{([^{}\\]{1,40})\}|([0-9a-z]))")
_THOUSANDS = re.compile(r"(?<=[0-9])(?:\{,\}|,\\!|,)(?=[0-9]{3}(?![0-9]))")
_TOKEN = re.compile(
    r"\\[a-zA-Z]+|[0-9]+(?:\.[0-9]+)?|\.[0-9]+|[^\W\d_]+(?:'[^\W\d_]+)*|\.\.\.|<=|>=|!=|->|[-+*/=<>^|!%()\[\]]|[$,;:.?]|\S"
)
_DRAWING = ("[asy]", "[/asy]")
_BREAKS = frozenset("$,;:.?")
_BRACKETS = frozenset("()[]")
_OPERATORS = frozenset("+-*/=<>^|!%") | {"<=", ">=", "!=", "->", "..."}


@dataclass(frozen=True, slots=True)
class Content:
    """A text's `tokens`, in order: words, names, and formulas (the runs of symbols between words and punctuation, each
    without spaces). `numbers` are those in formulas and the spelled ones.

    Example: `Find two $x$ with $x + 1 = 3$.` has words (find, with), formulas (2, x, x+1=3) and numbers (2, 1, 3).
    Names (words with a capital inside a sentence) are no words: a story with other people in it is the same problem.
    Subscript marks are left out, authors set them differently; brackets too, but not in `tokens`.
    """

    tokens: tuple[str, ...]
    words: tuple[str, ...]
    formulas: tuple[str, ...]
    numbers: tuple[str, ...]


def content(text: str) -> Content:
    tokens: list[str] = []
    words: list[str] = []
    formulas: list[str] = []
    numbers: list[str] = []
    run: list[str] = []

    def close() -> None:
        if any(character.isalnum() for token in run for character in token):
            run[:] = run[:-1] if run[-1] == "-" else run  # of `12-sided` the number
            formulas.append("".join(token for token in run if token not in _BRACKETS))
            tokens.append("".join(run))
        run.clear()

    def add(token: str, to: list[str]) -> None:
        to.append(token)
        tokens.append(token)

    prose, drawings = _without_drawings(text)
    for kind, token in _tokens(prose):
        if kind == "maths":
            run.append(token)
        else:
            close()
        if kind == "word":
            add(token, words)
        elif kind == "name":
            tokens.append(token)
        elif kind in ("number word", "capitals"):
            add(token, formulas)
        if kind == "number word" or (kind == "maths" and token[0].isdigit()):
            numbers.append(token)
    close()
    for drawing in drawings:
        add(drawing, formulas)
    return Content(tuple(tokens), tuple(words), tuple(formulas), tuple(numbers))


def _tokens(text: str) -> Iterator[tuple[str, str]]:
    """(kind, token) with kind `word`, `number word`, `name`, `capitals` (points, letters), `maths` or `break`."""
    tokens = _TOKEN.findall(_plain(text))
    names = {_base(token) for before, token in pairwise(tokens) if token[0].isupper() and before.islower()}
    for place, token in enumerate(tokens):
        if token in _BREAKS:
            yield "break", ""
        elif token[0] == "\\":
            name = token[1:]
            if name and name not in _LOOKS:
                yield "maths", _SPELLINGS[name] if name in _SPELLINGS else name  # noqa: SIM401
        elif token[0].isdigit() or token[0] == ".":
            yield "maths", _number(token)
        elif token in _OPERATORS or token in _BRACKETS:
            yield "maths", token
        elif token[0].isalpha():
            yield from _word(token, _base(token) in names, tokens[place - 1 : place], tokens[place + 1 : place + 2])


def _is_article(before: list[str], after: list[str]) -> bool:
    """Whether a letter `a` stands between words or numbers rather than in a formula."""
    return before != ["$"] and bool(after) and after[0][0].isalnum()


def _base(token: str) -> str:
    return token.removesuffix("'s")


def _word(token: str, named: bool, before: list[str], after: list[str]) -> Iterator[tuple[str, str]]:
    capitals, token = _base(token).isupper(), _base(token).lower()
    if capitals and len(token) > 1:
        yield "capitals", token
    elif named and len(token) > 1:
        yield "name", token
    elif token in _NUMBER_WORDS:
        yield "number word", _NUMBER_WORDS[token]
    elif token in _LAYOUTS:
        yield "break", ""
    elif len(token) > 1:
        yield "word", token
    elif token == "a" and _is_article(before, after):
        yield "break", ""
    else:
        yield "maths", token


def _plain(text: str) -> str:
    text = unicodedata.normalize("NFKC", text).translate(_SYMBOLS)
    text = text.replace("\\$", " ").replace("\\%", "%").replace("\\!", "").replace("\\,", " ").replace("\\;", " ")
    text = text.replace("\\(", "$").replace("\\)", "$").replace("\\[", "$").replace("\\]", "$").replace("\\\\", " ; ")
    text = _THOUSANDS.sub("", text)
    for _ in range(3):  # innermost first; deeper nesting keeps its \frac on both sides of a comparison
        text = _FRACTION.sub(lambda found: " " + "/".join(part for part in found.groups() if part) + " ", text)
    return text.replace("{", "").replace("}", "").replace("_", "").replace("&", " ")


def _without_drawings(text: str) -> tuple[str, list[str]]:
    """A drawing in code counts as one formula, whose spaces, brackets and dollars say nothing."""
    kept, drawings, place = [], [], 0
    while (start := text.find(_DRAWING[0], place)) >= 0:
        kept.append(text[place:start])
        end = text.find(_DRAWING[1], start)
        place = len(text) if end < 0 else end + len(_DRAWING[1])
        drawings.append("".join(mark for mark in text[start:place].lower() if mark.isalnum() or mark in ".-"))
    return " ".join((*kept, text[place:])), drawings


def _number(token: str) -> str:
    whole, point, decimals = token.partition(".")
    decimals = decimals.rstrip("0")
    return (whole.lstrip("0") or "0") + (point + decimals if decimals else "")


def counted(items: Iterable[str]) -> Iterator[str]:
    """Every item with the number of its occurrence, so that sets of them compare like multisets."""
    seen: Counter[str] = Counter()
    for item in items:
        seen[item] += 1
        yield f"{item}#{seen[item]}"


def word_ngrams(text: str, size: int) -> set[str]:
    """Open-R1's n-grams (scripts/decontaminate.py): lower case, split at white space, nothing else."""
    words = text.lower().split()
    return {" ".join(words[start : start + size]) for start in range(len(words) - size + 1)}
