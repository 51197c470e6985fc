"""One spelling for everything LaTeX, Unicode and plain text write in several ways.

`clean` keeps structure (braces, brackets, commas, \\frac, \\sqrt, \\begin) and turns the rest into single characters,
so that `structure` can split and `expression` can parse without knowing synonyms.
"""

from __future__ import annotations

import re
import unicodedata

_SUPERSCRIPTS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻ⁿ", "0123456789+-n")
_SUPERSCRIPT_RUN = re.compile("[⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻ⁿ]+")
_SUBSCRIPTS = str.maketrans("₀₁₂₃₄₅₆₇₈₉", "0123456789")
_SUBSCRIPT_RUN = re.compile("[₀₁₂₃₄₅₆₇₈₉]+")
_CHARACTERS = str.maketrans(
    {
        **dict.fromkeys("−–—﹣", "-"),
        **dict.fromkeys("×∙⋅·", "*"),
        **dict.fromkeys("“”", '"'),
        **dict.fromkeys("‘’", "'"),
        **dict.fromkeys("\u00a0\u2002\u2003\u2009\u202f\u3000", " "),
        **dict.fromkeys("\u200b\u200c\u200d\ufeff", ""),
        **dict.fromkeys("⩽≦", "≤"),
        **dict.fromkeys("⩾≧", "≥"),
        "÷": "/", "⁄": "/", "∕": "/", "，": ",", "、": ",", "；": ";", "：": ":", "（": "(", "）": ")", "［": "[",
        "］": "]", "｛": "{", "｝": "}", "％": "%", "＝": "=", "＋": "+", "－": "-", "＜": "<", "＞": ">", "。": ".",
        "√": r"\sqrt ", "º": "°", "⟨": "(", "⟩": ")", "∣": "|", "＄": "$",
    }
)  # fmt: skip
_VULGAR = {"½": "1/2", "⅓": "1/3", "⅔": "2/3", "¼": "1/4", "¾": "3/4", "⅕": "1/5", "⅖": "2/5", "⅗": "3/5", "⅘": "4/5",
           "⅙": "1/6", "⅚": "5/6", "⅛": "1/8", "⅜": "3/8", "⅝": "5/8", "⅞": "7/8"}  # fmt: skip

GREEK = tuple(
    "alpha beta gamma delta epsilon varepsilon zeta eta theta vartheta iota kappa lambda mu nu xi rho sigma tau "
    "upsilon phi varphi chi psi omega Gamma Delta Theta Lambda Xi Pi Sigma Phi Psi Omega".split()
)
_GREEK_LETTERS = "αβγδεϵζηθϑικλμνξρστυφϕχψωΓΔΘΛΞΠΣΦΨΩ"
_SPELLINGS = {  # command -> what replaces it
    **dict.fromkeys(("left", "right", "mleft", "mright", "bigl", "bigr", "Bigl", "Bigr", "biggl", "biggr"), ""),
    **dict.fromkeys(("Biggl", "Biggr", "big", "Big", "bigg", "Bigg", "displaystyle", "textstyle"), ""),
    **dict.fromkeys(("limits", "nolimits"), ""),
    **dict.fromkeys(("quad", "qquad", "space", "thinspace", "hspace", "enspace"), " "),
    **dict.fromkeys(("dfrac", "tfrac", "cfrac", "frac"), r"\frac"),
    **dict.fromkeys(("dbinom", "tbinom", "binom"), r"\binom"),
    **dict.fromkeys(
        ("text", "mathrm", "mathbf", "mathit", "textbf", "textit", "textrm", "textnormal", "mbox", "hbox", "mathsf",
         "mathtt", "texttt", "textsf", "emph", "operatorname", "boldsymbol", "bm", "mathnormal", "rm", "bf"), r"\text"),
    **dict.fromkeys(("le", "leq", "leqslant", "leqq"), "≤"),
    **dict.fromkeys(("ge", "geq", "geqslant", "geqq"), "≥"),
    **dict.fromkeys(("ne", "neq", "not="), "≠"),
    **dict.fromkeys(("approx", "simeq", "thickapprox"), "≈"),
    **dict.fromkeys(("times", "cdot", "ast", "cdotp", "bullet"), "*"),
    **dict.fromkeys(("ldots", "cdots", "dots", "dotsc", "dotsb"), "…"),
    **dict.fromkeys(("lbrace",), "⦃"),
    **dict.fromkeys(("rbrace",), "⦄"),
    **dict.fromkeys(("langle", "lgroup", "lparen"), "("),
    **dict.fromkeys(("rangle", "rgroup", "rparen"), ")"),
    **dict.fromkeys(("lbrack",), "["),
    **dict.fromkeys(("rbrack",), "]"),
    **dict.fromkeys(("vert", "lvert", "rvert", "mid"), "|"),
    **dict.fromkeys(("emptyset", "varnothing"), "∅"),
    **dict.fromkeys(("setminus", "smallsetminus", "backslash"), "∖"),
    **dict.fromkeys(("degree", "degrees"), "°"),
    **dict.fromkeys(("land", "wedge"), ","),
    **dict.fromkeys(("lor", "vee"), ","),
    "lt": "<", "gt": ">", "div": "/", "pm": "±", "mp": "∓", "in": "∈", "cup": "∪", "bigcup": "∪", "cap": "∩",
    "infty": "∞", "infinity": "∞", "pi": "π", "circ": "°", "colon": ":", "imath": "i", "lfloor": "⌊", "rfloor": "⌋",
    "lceil": "⌈", "rceil": "⌉", "%": "%", "dollar": "$", "notin": "∉", "percent": "%", "rightarrow": "→",
    "to": "→", "Rightarrow": "→", "implies": "→", "iff": "→", "euro": "€", "pounds": "£",
}  # fmt: skip
_COMMAND = re.compile(r"\\([a-zA-Z]+)")
_GLUED = re.compile(r"\\q?quad(?=[a-zA-Z])")  # `\quadx`: the model forgot the space
_SPACES = re.compile(r"(?<!\\)\\[,;:> \n]|~")
_THOUSANDS = re.compile(r"(?<=\d)(?:\{,\}|,\\!|\\,)\s*(?=\d{3}(?!\d))")
_SETS = re.compile(r"\\(?:mathbb|mathbf|Bbb)\s*\{?\s*([NZQRC])\s*\}?")
_LETTER_SETS = dict(zip("NZQRC", "ℕℤℚℝℂ", strict=True))
_MODULUS = re.compile(r"\\[pb]?mod\s*(?:\{\s*(\w+)\s*\}|(\w+))")
_DEGREES = re.compile(r"\^\s*(?:\{\s*°\s*\}|°)")
_ESCAPED = re.compile(r"\\\\(?=[a-zA-Z({\[$%])")  # JSON written twice
_SIMPLE = re.compile(r"[A-Za-z0-9 ,+-]*\.?[A-Za-z0-9 ,+-]*")  # nothing here has another spelling
_CONTROL = {"\x08": r"\b", "\x0c": r"\f"}  # `\boxed`, `\frac` after a careless decoder


def clean(text: str) -> str:
    """One spelling of a short piece of LaTeX or plain text. Sets' braces become ⦃ ⦄."""
    if _SIMPLE.fullmatch(text):
        return text
    for control, command in _CONTROL.items():
        text = text.replace(control, command)
    if not text.isascii():
        text = _without_unicode(text)
    if "begin" not in text:
        text = _ESCAPED.sub(r"\\", text)
    text = _THOUSANDS.sub("", text).replace("{,}", ",").replace("{:}", ":")
    text = text.replace(r"\!", "").replace(r"\{", "⦃").replace(r"\}", "⦄").replace(r"\|", "|")
    if "\\" in text:
        text = _GLUED.sub(" ", text)
        text = _SPACES.sub(" ", text)
        text = _SETS.sub(lambda match: _LETTER_SETS[match[1]], text)
        text = text.replace(r"\$", "$").replace(r"\%", "%").replace(r"\#", "#").replace(r"\_", "_")
        text = _MODULUS.sub(lambda match: rf"\mod{{{match[1] or match[2]}}}", text)
        text = _COMMAND.sub(_spelling, text)
    text = text.replace("<=", "≤").replace(">=", "≥").replace("!=", "≠").replace("**", "^").replace("==", "=")
    text = text.replace("...", "…")
    return _DEGREES.sub("°", text)


def _spelling(match: re.Match[str]) -> str:
    name = match[1]
    if name in _SPELLINGS:
        return _SPELLINGS[name] + (" " if _SPELLINGS[name].startswith("\\") else "")
    if name in GREEK:
        return _GREEK_LETTERS[GREEK.index(name)]
    return match[0]


def _without_unicode(text: str) -> str:
    for letter, fraction in _VULGAR.items():
        if letter in text:
            text = re.sub(rf"(?<=\d)\s*{letter}", f" {fraction}", text).replace(letter, fraction)
    text = _SUPERSCRIPT_RUN.sub(lambda match: "^{" + match[0].translate(_SUPERSCRIPTS) + "}", text)
    text = _SUBSCRIPT_RUN.sub(lambda match: "_{" + match[0].translate(_SUBSCRIPTS) + "}", text)
    text = text.translate(_CHARACTERS)
    return "".join(character if character.isascii() else _digit(character) for character in text)


def _digit(character: str) -> str:
    """Decimal digits of any script are digits; letters of the full-width block are letters."""
    value = unicodedata.decimal(character, None)
    if value is not None:
        return str(value)
    return unicodedata.normalize("NFKC", character) if "！" <= character <= "～" else character
