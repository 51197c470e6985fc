"""Notations that are spelled out before an answer is read: `1'000`, `1101_{two}`, `C(5,2)`, `12 (inches of snow)`, and
answers in numbered parts."""

from __future__ import annotations

import re

from r1zero.rewards.math.units import spelling

_APOSTROPHES = re.compile(r"(?<![\d'.,])([1-9]\d{0,2}(?:'\d{3})+)(?![\d'])")
_BASES = {
    name: str(number)
    for number, name in enumerate(
        "two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen".split(), start=2
    )
}
_NUMERAL = rf"(\d{{1,2}}|(?i:{'|'.join(_BASES)}))(?![A-Za-z\d])"
_TEXT_BASE = r"\\text\s*\{\s*\(?\s*(?:in\s+)?base\s*-?\s*"
_SUBSCRIPT = (  # every brace that is opened is closed: the others are not the base's
    rf"(?:(?:base\s*)?{_NUMERAL}|\\text\s*\{{\s*(?:base\s*)?{_NUMERAL}\s*\}}|\\text\s*\{{\s*base\s*\}}\s*{_NUMERAL})"
)
_BASE = re.compile(rf"(?<=[\dA-F)}}])\s*_\s*(?:\{{\s*{_SUBSCRIPT}\s*\}}|{_SUBSCRIPT})")
_IN_BASE = re.compile(
    rf"(?<=[\dA-F])(?:\s*,?\s*(?:in\s+)?base\s*-?\s*{_NUMERAL}|\s*\(\s*(?:in\s+)?base\s*-?\s*{_NUMERAL}\s*\)"
    rf"|\s*{_TEXT_BASE}{_NUMERAL}\s*\)?\s*\}}|\s*{_TEXT_BASE}\}}\s*{_NUMERAL})\s*\Z"
)
_BRACKETED_DIGITS = re.compile(r"\(\s*([\dA-F]+)\s*\)(?=\s*_)")
_DIGITS = r"(?:\{\s*(\d{1,4})\s*\}|(\d{1,4}))"
_LETTER_C = r"(?:\\text\s*\{\s*C\s*\}|C)"
_CHOOSE = (
    re.compile(r"(?<![\w.\\])(\d{1,4})\s*(?:\\text\s*\{\s*)?choose\s*\}?\s*(\d{1,4})(?![\w.])"),  # 5 choose 2
    re.compile(r"(?<![A-Za-z\\])(?:\\text\s*\{\s*nCr\s*\}|nCr)\s*\(\s*(\d{1,4})\s*,\s*(\d{1,4})\s*\)"),
    re.compile(rf"(?<![A-Za-z\\_]){_LETTER_C}\s*\(\s*(\d{{1,4}})\s*,\s*(\d{{1,4}})\s*\)"),  # C(5,2)
    re.compile(rf"(?<![A-Za-z\\\d}}]){_LETTER_C}\s*_\s*{_DIGITS}\s*\^\s*{_DIGITS}"),  # C_5^2
    re.compile(rf"(?:\{{\s*\}}\s*|(?<![\w}})]))[_^]\s*{_DIGITS}\s*{_LETTER_C}\s*_\s*{_DIGITS}"),  # {}_5C_2
    re.compile(r"(?<![\w.\\])(\d{1,4})\s?C\s?(\d{1,4})(?![\w.])"),  # 5C2
)
_CHOOSE_UP = re.compile(rf"(?<![A-Za-z\\\d}}]){_LETTER_C}\s*\^\s*{_DIGITS}\s*_\s*{_DIGITS}")  # C^2_5
_ASIDE = re.compile(r"(.*[\d)\]}π])\s*\(\s*(?:\\text\s*\{\s*)?([A-Za-z][A-Za-z .'-]{1,60}?)\s*\}?\s*\)", re.DOTALL)
_UNLIKE_A_UNIT = re.compile(
    r"\b(?:or|not|no|but|maybe|either|nor|wrong|incorrect|instead|mod|if|is|are|since|where)\b", re.I
)
_LONG_WORD = re.compile(r"[A-Za-z]{3,}")
_LABEL = re.compile(
    r"(?:^|(?<=[\s,;}]))(?:\\text\s*\{\s*)?(?:part\s+)?"
    r"(?:\(?([a-h]|[1-9]|i{1,3}|iv|v)\)|([a-h])[.:](?!\S))\s*:?\s*\}?(?=[\s~\\$\d.(-]|[A-Za-z])",
    re.IGNORECASE,
)
_SERIES = ("abcdefgh", "123456789", ("i", "ii", "iii", "iv", "v"))


def spelled_out(text: str) -> str:
    """A cleaned text with one spelling for grouped thousands, bases and binomial coefficients."""
    if "'" in text:
        text = _APOSTROPHES.sub(lambda match: match[1].replace("'", ""), text)
    if "_" in text:
        text = _BASE.sub(_in_digits, _BRACKETED_DIGITS.sub(r"\1", text))
    if "base" in text:
        text = _IN_BASE.sub(_in_digits, text)
    if "C" in text or "choose" in text:
        for pattern in _CHOOSE:
            text = pattern.sub(_binomial, text)
        text = _CHOOSE_UP.sub(lambda match: _binomial(match, swapped=True), text)
    return text


def _in_digits(match: re.Match[str]) -> str:
    numeral = next(group for group in match.groups() if group)
    return f"_{{{_BASES.get(numeral.lower(), numeral)}}}"


def _binomial(match: re.Match[str], swapped: bool = False) -> str:
    upper, lower = (group for group in match.groups() if group)
    if swapped:
        upper, lower = lower, upper
    return rf"\binom{{{upper}}}{{{lower}}}" if int(upper) >= int(lower) else match[0]


def aside(text: str) -> tuple[str, str] | None:
    """`12 (inches of snow)` as `12` and its unit; None for a text without words in brackets at its end. The words begin
    with a unit that is known, or are one that is not."""
    match = _ASIDE.fullmatch(text)
    if match is None or not _LONG_WORD.search(match[2]) or _UNLIKE_A_UNIT.search(match[2]):
        return None
    words = match[2].split()
    for end in range(len(words), 0, -1):
        unit = " ".join(words[:end])
        if (known := spelling(unit)) != unit:
            return match[1], known
    return match[1], match[2]


def labelled(text: str) -> list[str] | None:
    """The parts of `a) 5 b) 7` in order; None unless the text is at least two parts, labelled from the first one on."""
    found = list(_LABEL.finditer(text))
    if len(found) < 2 or found[0].start() > 0:
        return None
    labels = [(match[1] or match[2]).lower() for match in found]
    if not any(labels == list(series[: len(labels)]) for series in _SERIES):
        return None
    ends = [match.start() for match in found[1:]] + [len(text)]
    parts = [
        text[match.end() : end].strip(" ,;~\n").rstrip(" ,;.~\\\n") for match, end in zip(found, ends, strict=True)
    ]
    return parts if all(parts) else None
