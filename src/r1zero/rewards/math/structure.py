"""What kind of thing an answer is: a formula, a tuple, an interval, a set, a union, a matrix, a relation, a ratio, a
text.

`read` splits a cleaned text at its outermost separators and leaves the pieces to `expression`.
"""

from __future__ import annotations

import re
from dataclasses import replace
from fractions import Fraction

from r1zero.rewards.math import expression
from r1zero.rewards.math.clean import clean
from r1zero.rewards.math.dates import date
from r1zero.rewards.math.expression import Node, NotAFormula, variables
from r1zero.rewards.math.notations import aside, labelled, spelled_out
from r1zero.rewards.math.units import amounts, factor, split_unit
from r1zero.rewards.math.values import ORDINAL, Difference, Formula, Items, Matrix, Ratio, Relation, Text, Union, Value

MAX_CHARACTERS = 4_000
_MAX_ITEMS = 200
_MAX_DEPTH = 12


_OPENERS, _CLOSERS = "([{⦃", ")]}⦄"
_RELATIONS = "=<>≤≥≠≈"
_WORDS_BETWEEN = re.compile(
    r"\s*(?:\\text\s*\{\s*)(?:,\s*)?(?:and|or|和|或)\s*\}\s*|(?<![A-Za-z\\])(?:and|or)(?![A-Za-z])|(?<=[\d)\]}])\s*[和或]\s*"
)
_THOUSANDS = re.compile(r"(?<![\d,._])([1-9]\d{0,2}(?:,\d{3})+)(?![\d,]|\.\d*,)")
_SPACED_THOUSANDS = re.compile(r"[-+]?[1-9]\d{0,2}(?: \d{3})+(?:\.\d+)?")
_PLAIN_NUMBER = re.compile(r"\s*([-+]?[0-9]{1,18})(?:\.([0-9]{1,18}))?\s*")
_ORDINAL = re.compile(r"(\d{1,9})\s*(?:\^\s*\{?\s*)?(?:\\text\s*\{\s*)?(?:st|nd|rd|th)[\s}]*")
_BOLD = re.compile(r"\s*\*\*([^*]+)\*\*\s*")
_DECIMAL = re.compile(r"[-+]?(\d*)\.(\d+)")
_PAIRED = re.compile(r"\$\$?([^$]+)\$\$?")
_MATRIX = re.compile(r"\\begin\s*\{([pbvVB]?(?:small)?matrix|array)\}(?:\{[^{}]*\})?(.*)\\end\s*\{\1\}", re.DOTALL)
_CASES = re.compile(
    r"(?:\\text\s*)?\\begin\s*\{(?:cases|aligned|array)\}(?:\{[^{}]*\})?(.*)\\end\s*\{(?:cases|aligned|array)\}",
    re.DOTALL,
)
_HALF = re.compile(r"\s*(?:\\text\s*\{\s*)?([ap])\.?\s?m\b\.?\s*\}?$", re.IGNORECASE)
_TO = re.compile(r"(?<=\d)\s*(?:\\text\s*\{\s*to\s*\}|\bto\b)\s*(?=\d)")
_RATIO_PART = re.compile(r"[^:]{1,60}")
_WORDS = re.compile(r"[^\W\d_][\w' .-]*", re.UNICODE)
_COMMAND = re.compile(r"\\(?!text)[a-zA-Z]")
_PLAIN_WORD = re.compile(r"(?<![\\A-Za-z{])[A-Za-z][a-z]{2,}(?![A-Za-z}])")
_TEXT_ONLY = re.compile(r"\\text\s*\{([^{}]*)\}")
_BUILDER = re.compile(r"\s*[A-Za-z]\s*(?:∈\s*ℝ\s*)?[|:](.*[<>≤≥≠=].*)")
_SET_NAME = re.compile(r"[A-Za-zα-ω](?:_\{?\w+\}?)?(?:\([A-Za-z]\))?|\([A-Za-z](?:\s*,\s*[A-Za-z])+\)")
_WORD = r"[A-Za-zα-ωΑ-Ω][A-Za-z_{}0-9]*(?:\([^()]{1,20}\))?'?"
_NAME = re.compile(
    rf"\\text\s*\{{[^{{}}]*\}}|(?:\\[a-z]+\s*)?(?:{_WORD}|\{{{_WORD}\}})|\|{_WORD}\||{_WORD}\s*:\s*{_WORD}"
    r"|\([A-Za-z](?:\s*,\s*[A-Za-z])*\)"
)


def read(text: str, *, gold: bool = False) -> Value | None:
    """The value of an answer as it stands; None if it is empty. Never raises for any text."""
    if plain := _PLAIN_NUMBER.fullmatch(text):
        return _number(plain[1], plain[2] or "")
    if bold := _BOLD.fullmatch(text):
        text = bold[1]
    if len(text) > MAX_CHARACTERS:
        return Text(text.strip()) if text.strip() else None
    return _read(_trim(spelled_out(clean(text))), gold, 0)


def _number(whole: str, places: str) -> Formula:
    """A plain number: most answers are one, and need no grammar."""
    node = ("number", Fraction(int(whole + places), 10 ** len(places)))
    return Formula(node, (len(places), len((whole + places).lstrip("+-0"))) if places else None)


def _read(text: str, gold: bool, depth: int) -> Value | None:
    text = _trim(text)
    if not text:
        return None
    if depth > _MAX_DEPTH:
        return Text(text)
    if quantity := amounts(text):
        return Formula(("number", quantity[0]), unit=quantity[1])
    if day := date(text):
        return Text(day)
    if pieces := labelled(text):
        return _several("()", pieces, gold, depth)
    if measured := _with_aside(text, gold, depth):
        return measured
    if only := _TEXT_ONLY.fullmatch(text):
        return _text(only[1], gold, depth)
    text = _joined(_system(text))
    if not text:
        return None
    for reader in (_memberships, _unions, _differences, _lists, _signs, _relations, _groups, _matrix, _ratio):
        if (value := reader(text, gold, depth)) is not None:
            return value
    if formula := _formula(text, gold):
        return formula
    formal = _COMMAND.search(text) is not None and not _PLAIN_WORD.search(text)
    return Text(text, formal=True) if formal else Text(plain(text))


def _with_aside(text: str, gold: bool, depth: int) -> Formula | None:
    """`12 (inches of snow)`: a number with its unit in brackets."""
    found = aside(text) if text.endswith(")") else None
    value = _read(found[0], gold, depth + 1) if found else None
    if found is None or not isinstance(value, Formula) or variables(value.node):
        return None
    if value.unit:  # `$12 (per hour)`
        return value if value.unit in "$€£¥₹" or factor(found[1], value.unit) == 1 else None
    return replace(value, unit=found[1], other=None)


def _trim(text: str) -> str:
    """Without dollars, spaces and final punctuation around the answer."""
    before = None
    while before != text:
        before = text
        text = text.strip().rstrip(".,;:\\").strip("`*").lstrip("=≈").strip()
        for pair in ("$$", "$"):
            if len(text) > 2 * len(pair) and text.startswith(pair) and text.endswith(pair):
                text = text[len(pair) : -len(pair)]
        for left, right in ((r"\(", r"\)"), (r"\[", r"\]")):
            if len(text) > 4 and text.startswith(left) and text.endswith(right):
                text = text[2:-2]
        if text.count("$") >= 2 and text.count("$") % 2 == 0:
            text = _PAIRED.sub(r" \1 ", text)
    return text


def _joined(text: str) -> str:
    """Words between several answers become commas."""
    if "and" in text or "or" in text or "和" in text or "或" in text:
        text = _WORDS_BETWEEN.sub(",", text)
    return re.sub(r",\s*(?:,\s*)+", ", ", text).strip(" ,")


def _system(text: str) -> str:
    """A system of equations, `\\begin{cases} x=1 \\\\ y=2 \\end{cases}`, as a list; a function by cases stays."""
    match = _CASES.fullmatch(text)
    if match is None:
        return text
    lines = [line.replace("&", "").strip(" ,;.") for line in re.split(r"\\\\", match[1]) if line.strip()]
    return ", ".join(lines) if all(line.count("=") == 1 and "," not in line for line in lines) else text


def _text(words: str, gold: bool, depth: int) -> Value | None:
    """The inside of \\text{}: a number or a letter is what it says, and so is a number with a unit."""
    inner = _trim(words)
    if len(inner) == 1 or re.fullmatch(r"[-+\d.,/%$ ()\[\]]+", inner):
        return _read(inner, gold, depth + 1)
    if inner[:1].isdigit() and isinstance(value := _read(inner, gold, depth + 1), Formula | Ratio):
        return value
    return Text(plain(inner)) if inner else None


def split(text: str, separators: str) -> tuple[list[str], list[str]]:
    """Pieces between separators outside of all brackets, and the separators. Thousands commas are none."""
    depth, start = 0, 0
    pieces, found = [], []
    for place, character in enumerate(text):
        if character in _OPENERS:
            depth += 1
        elif character in _CLOSERS:
            depth -= 1
        elif character in separators and depth <= 0:
            pieces.append(text[start:place])
            found.append(character)
            start = place + 1
    return [*pieces, text[start:]], found


def _several(brackets: str, pieces: list[str], gold: bool, depth: int) -> Value | None:
    if len(pieces) > _MAX_ITEMS:
        return Text(",".join(pieces))
    items: list[Value] = []
    for piece in pieces:
        item = _read(piece, gold, depth + 1)
        if isinstance(item, Items) and not item.brackets and "±" in piece:
            items += item.items
        elif item is not None:
            items.append(item)
    return Items(brackets, tuple(items))


def _memberships(text: str, gold: bool, depth: int) -> Value | None:
    if "∈" not in text:
        return None
    pieces, _ = split(text, "∈")
    if len(pieces) == 2 and _SET_NAME.fullmatch(pieces[0].strip()):
        return _read(pieces[1], gold, depth + 1)
    return None


def _unions(text: str, gold: bool, depth: int) -> Value | None:
    if "∪" not in text:
        return None
    pieces, found = split(text, "∪")
    if not found:
        return None
    if "=" in pieces[0]:
        pieces[0] = split(pieces[0], "=")[0][-1]
    # a `{1,3}` whose backslashes were lost is a set where a set must be
    pieces = [re.sub(r"^\s*\{(.*)\}\s*$", r"⦃\1⦄", piece) for piece in pieces]
    parts = [_read(piece, gold, depth + 1) for piece in pieces]
    return Union(tuple(part for part in parts if part is not None)) if None not in parts else None


def _differences(text: str, gold: bool, depth: int) -> Value | None:
    pieces, found = split(text, "∖")
    if len(found) != 1:
        return None
    whole, removed = (_read(re.sub(r"^\s*\{(.*)\}\s*$", r"⦃\1⦄", piece), gold, depth + 1) for piece in pieces)
    return None if whole is None or removed is None else Difference(whole, removed)


def _lists(text: str, gold: bool, depth: int) -> Value | None:
    if not any(mark in text for mark in ",;"):
        return None
    pieces, found = split(text, ";")
    if found:
        return _several("", pieces, gold, depth)
    pieces, found = split(_without_thousands(text), ",")
    return _several("", pieces, gold, depth) if found else None


def _without_thousands(text: str) -> str:
    """Thousands commas outside of brackets vanish: `32,349`, but neither `32, 349` nor `(32,349)`."""
    depth, whole = 0, []
    for piece in re.split(r"([()\[\]{}⦃⦄])", text):
        depth += (piece in _OPENERS) - (piece in _CLOSERS) if piece else 0
        whole.append(piece if depth > 0 else _THOUSANDS.sub(lambda match: match[1].replace(",", ""), piece))
    return "".join(whole)


def _signs(text: str, gold: bool, depth: int) -> Value | None:
    """`1 ± √2` is two values."""
    if "±" not in text and "∓" not in text:
        return None
    both = [text.replace("±", sign).replace("∓", other) for sign, other in (("+", "-"), ("-", "+"))]
    if "=" in text:
        both[1] = split(both[1], "=")[0][-1]
    return _several("", both, gold, depth)


def _relations(text: str, gold: bool, depth: int) -> Value | None:
    if not any(mark in text for mark in _RELATIONS):
        return None
    pieces, operators = split(text, _RELATIONS)
    if not operators or not pieces[-1].strip():
        return None
    if operators == ["="] and _NAME.fullmatch(pieces[1].strip()) and not _NAME.fullmatch(pieces[0].strip()):
        pieces.reverse()  # `4 = x`
    name = pieces[0].strip() if operators[0] in "=≈" and _NAME.fullmatch(pieces[0].strip()) else ""
    if name and "≈" in operators and operators.index("≈") > 0:  # x = 1/3 ≈ 0.33: what is exact counts
        end = operators.index("≈")
        pieces, operators = pieces[: end + 1], operators[:end]
    if not name and operators == ["≈"]:
        return _read(pieces[0], gold, depth + 1)
    sides = [_read(piece, gold, depth + 1) if piece.strip() else Text("") for piece in pieces]
    if None in sides:
        return None
    return Relation(tuple(operators), tuple(side for side in sides if side is not None), re.sub(r"[\s{}]", "", name))


def _groups(text: str, gold: bool, depth: int) -> Value | None:
    if text[0] not in _OPENERS or text[-1] not in _CLOSERS or not _wraps(text):
        return None
    inside, brackets = text[1:-1], text[0] + text[-1]
    if brackets == "⦃⦄":
        return _set(inside, gold, depth)
    pieces, found = split(inside, ";")
    if not found:
        pieces, found = split(inside, ",")
    if not found:
        return _read(inside, gold, depth + 1) if brackets in ("()", "[]", "{}") else None
    if brackets == "{}":  # TeX's own group, or a set without its backslashes
        return _several("", pieces, gold, depth)
    return _several(brackets, pieces, gold, depth)


def _set(inside: str, gold: bool, depth: int) -> Value | None:
    if builder := _BUILDER.fullmatch(inside):
        return _read(builder[1], gold, depth + 1)
    return _several("⦃⦄", split(inside, ",;")[0], gold, depth) if inside.strip() else Text("∅")


def _wraps(text: str) -> bool:
    """Whether the first bracket is closed by the last character."""
    depth = 0
    for place, character in enumerate(text):
        depth += (character in _OPENERS) - (character in _CLOSERS)
        if depth == 0:
            return place == len(text) - 1
    return False


def _matrix(text: str, gold: bool, depth: int) -> Value | None:
    match = _MATRIX.fullmatch(text)
    if match is None or "\\begin" in match[2]:
        return None
    body = re.sub(r"\\\\\s*(?:\[[^\]]*\])?|\\cr", "\n", match[2].replace("\n", " ")).replace("\\hline", "")
    rows = [[_read(cell, gold, depth + 1) for cell in row.split("&")] for row in body.split("\n") if row.strip()]
    if not rows or any(cell is None for row in rows for cell in row) or sum(map(len, rows)) > _MAX_ITEMS:
        return None
    kind = "|" if match[1].startswith(("v", "V")) else ""
    return Matrix(kind, tuple(tuple(cell for cell in row if cell is not None) for row in rows))


def _ratio(text: str, gold: bool, depth: int) -> Value | None:
    text = _TO.sub(":", text)
    if ":" not in text:
        return None
    half = _HALF.search(text)
    pieces, found = split(text[: half.start()] if half else text, ":")
    if not found or not all(_RATIO_PART.fullmatch(piece) and piece.strip() for piece in pieces):
        return None
    values = [_read(piece, gold, depth + 1) for piece in pieces]
    if any(value is None or (isinstance(value, Text) and value.words != "…") for value in values):
        return None
    return Ratio(
        tuple(piece.strip() for piece in pieces),
        tuple(value for value in values if value is not None),
        half[1].lower() + "m" if half else "",
    )


def _formula(text: str, gold: bool) -> Formula | None:
    if ordinal := _ORDINAL.fullmatch(text):
        return Formula(("number", Fraction(ordinal[1])), unit=ORDINAL)
    whole = _parsed(text)
    pieces = split_unit(text)
    if pieces is None:
        return None if whole is None else Formula(whole, _decimals(text))
    value, unit, certain = pieces
    node = _parsed(value)
    if node is None:
        return None if whole is None else Formula(whole, _decimals(text))
    measured = Formula(node, _decimals(value), unit)
    if whole is None or certain:
        return measured
    return Formula(whole, other=measured) if gold else replace(measured, other=Formula(whole))


def _parsed(text: str) -> Node | None:
    text = _without_thousands(text.strip())
    if _SPACED_THOUSANDS.fullmatch(text):
        text = text.replace(" ", "")
    try:
        return expression.parse(text)
    except NotAFormula:
        return None


def _decimals(text: str) -> tuple[int, int] | None:
    match = _DECIMAL.fullmatch(_without_thousands(text.strip()))
    return (len(match[2]), len((match[1] + match[2]).lstrip("0"))) if match else None


def plain(text: str) -> str:
    """Words for comparison: without markup, case and final punctuation."""
    words = _TEXT_ONLY.sub(r" \1 ", text)
    return " ".join(words.replace("$", " ").strip(" .,;:!\"'").casefold().split())
