"""Planted copies for `benchmarks/curate.py`: a problem rewritten as people and pipelines rewrite problems.

`paraphrase` keeps the mathematics and changes the wording: other words, another sentence order, other typography, other
names, a sentence before or after. `reworded` is a light edit of the wording and `renumbered` an edit of numbers: the
two sides that near-duplicate removal has to keep apart.
"""

from __future__ import annotations

import random
import re

SYNONYMS = {
    "find": ["determine", "work out", "calculate"],
    "compute": ["calculate", "evaluate", "determine"],
    "evaluate": ["compute", "work out"],
    "determine": ["find", "establish"],
    "what is": ["determine", "find", "state"],
    "what are": ["list", "give"],
    "how many": ["count how many", "determine how many", "what number of"],
    "how much": ["what amount", "calculate how much"],
    "let": ["suppose that", "denote by"],
    "suppose": ["assume", "imagine"],
    "given that": ["knowing that", "provided that"],
    "such that": ["for which", "so that", "satisfying that"],
    "positive integers": ["natural numbers", "whole numbers above zero"],
    "positive integer": ["natural number", "whole number above zero"],
    "integers": ["whole numbers"],
    "integer": ["whole number"],
    "real numbers": ["reals"],
    "real number": ["real"],
    "the smallest": ["the least", "the minimal"],
    "smallest": ["least", "minimal"],
    "the largest": ["the greatest", "the biggest"],
    "largest": ["greatest", "biggest"],
    "greatest": ["largest"],
    "least": ["smallest"],
    "possible": ["feasible", "admissible"],
    "values": ["numbers"],
    "exactly": ["precisely"],
    "each": ["every"],
    "every": ["each"],
    "all": ["every one of the"],
    "total": ["overall"],
    "sum of": ["total of"],
    "product of": ["result of multiplying"],
    "remainder when": ["residue when"],
    "divided by": ["split by", "over"],
    "satisfies": ["fulfils", "obeys"],
    "satisfy": ["fulfil", "obey"],
    "contains": ["holds", "includes"],
    "called": ["named", "said to be"],
    "consider": ["look at", "take"],
    "express your answer": ["write your result", "give the result"],
    "answer": ["result"],
    "area": ["surface"],
    "length": ["extent"],
    "circle": ["disc"],
    "probability": ["chance", "likelihood"],
    "randomly": ["at random"],
    "different": ["distinct"],
    "distinct": ["different"],
    "buys": ["purchases"],
    "bought": ["purchased"],
    "sells": ["trades"],
    "sold": ["traded away"],
    "has": ["owns", "possesses"],
    "have": ["own", "possess"],
    "gets": ["receives"],
    "got": ["received"],
    "gives": ["hands"],
    "gave": ["handed"],
    "makes": ["produces"],
    "made": ["produced"],
    "wants": ["wishes", "intends"],
    "needs": ["requires"],
    "costs": ["is priced at"],
    "cost": ["price"],
    "money": ["cash"],
    "day": ["single day"],
    "more than": ["above"],
    "less than": ["below"],
    "also": ["in addition"],
    "then": ["afterwards"],
    "if": ["in case", "when"],
    "when": ["whenever"],
    "there are": ["one finds", "we have"],
    "there is": ["one finds", "we have"],
    "which": ["that"],
    "where": ["in which"],
    "together": ["jointly"],
    "left": ["remaining"],
    "walks": ["strolls"],
    "eats": ["consumes"],
    "children": ["kids"],
    "kids": ["children"],
    "friends": ["pals"],
    "house": ["home"],
    "car": ["vehicle"],
    "begins": ["starts"],
    "ends": ["finishes"],
    "write": ["put down"],
    "simplify": ["reduce", "bring to simplest form:"],
    "the function": ["the map"],
    "the equation": ["the relation"],
    "solve": ["find the solutions of"],
    "must": ["has to"],
    "can": ["is able to", "may"],
    "use": ["employ"],
    "number of": ["count of"],
    "following": ["next"],
    "only": ["solely"],
    "shown": ["drawn", "depicted"],
    "average": ["mean"],
    "ways": ["manners"],
}
BEFORE = [
    "Solve the following problem.",
    "Here is a question for you:",
    "Consider this exercise carefully and reason step by step.",
    "Problem.",
    "Please think before you answer.",
]
AFTER = [
    "Give only the final result.",
    "Put the final answer in a box.",
    "Explain each step of your reasoning.",
    "State the result in simplest form.",
    "Round nothing.",
]
FILLERS = ["now", "here", "in fact", "say", "of course"]
NAMES = ["Maria", "Tobias", "Yuki", "Omar", "Priya", "Lars", "Chiara", "Mateo", "Ingrid", "Kofi", "Leila", "Bruno"]
COMMON_STARTS_LIST = (
    "The A An If In On At Of For Let Find What How When There Each Every She He They It His Her Their Two "
    "Three Suppose Given Compute Determine Evaluate Express Enter Write Simplify Consider Note Assume Then "
    "And But After Before So All Some One Point Points Triangle Circle Square Line Segment Monday Tuesday "
    "Wednesday Thursday Friday Saturday Sunday January February March April May June July August September "
    "October November December"
)
COMMON_STARTS = frozenset(COMMON_STARTS_LIST.split())
TURNS = {
    "smallest": "largest",
    "largest": "smallest",
    "least": "greatest",
    "greatest": "least",
    "sum": "product",
    "product": "sum",
    "area": "perimeter",
    "perimeter": "area",
    "even": "odd",
    "odd": "even",
    "positive": "negative",
    "more": "fewer",
    "less": "more",
    "before": "after",
    "hours": "days",
    "minutes": "hours",
    "days": "weeks",
    "morning": "evening",
    "boys": "girls",
    "red": "blue",
    "radius": "diameter",
    "mean": "median",
    "left": "right",
    "cost": "weigh",
}
_TURN = re.compile(r"(?<![\\$])\b(" + "|".join(TURNS) + r")\b")
_SYNONYM = re.compile(r"\b(" + "|".join(sorted(SYNONYMS, key=len, reverse=True)) + r")\b", re.IGNORECASE)


def paraphrase(text: str, rng: random.Random) -> str:
    """A copy that keeps the mathematics and, of the wording, about half."""
    text = _names(text, rng)
    text = _outside_maths(text, lambda part: _synonyms(part, rng, 0.75))
    text = _outside_maths(text, lambda part: _fill(part, rng, 0.06))
    if rng.random() < 0.5:
        text = _question_first(text)
    text = _restyle(text, rng)
    if rng.random() < 0.6:
        text = f"{rng.choice(BEFORE)} {text}"
    if rng.random() < 0.5:
        text = f"{text} {rng.choice(AFTER)}"
    return text


def reworded(text: str, rng: random.Random) -> str:
    """A light edit: some words replaced or added, typography changed; numbers and formulas stay."""
    text = _outside_maths(text, lambda part: _synonyms(part, rng, 0.25))
    text = _outside_maths(text, lambda part: _fill(part, rng, 0.02))
    return _restyle(text, rng)


def renumbered(text: str, rng: random.Random) -> str | None:
    """One or two numbers changed; None for a text without numbers."""
    places = list(re.finditer(r"(?<![\d.,])\d+(?![\d.,]*\d)", text))
    if not places:
        return None
    for found in sorted(rng.sample(places, min(len(places), rng.choice([1, 2]))), key=lambda f: -f.start()):
        changed = int(found.group()) + rng.choice([1, 2, 3, 5, 10])
        text = text[: found.start()] + str(changed) + text[found.end() :]
    return text


def turned(text: str, rng: random.Random) -> str | None:
    """One word replaced by another of its kind, which asks for something else; None where no such word is."""
    places = list(_TURN.finditer(text))
    if not places:
        return None
    found = rng.choice(places)
    return text[: found.start()] + TURNS[found.group()] + text[found.end() :]


def _outside_maths(text: str, edit) -> str:
    """Edit what lies outside $...$, \\[...\\] and drawings."""
    parts = re.split(
        r"(\[asy\].*?\[/asy\]|\$\$.*?\$\$|\\\$|\$[^$]*\$|\\\[.*?\\\]|\\\(.*?\\\)|\\[a-zA-Z]+)", text, flags=re.S
    )
    return "".join(part if place % 2 else edit(part) for place, part in enumerate(parts))


def _synonyms(text: str, rng: random.Random, share: float) -> str:
    def replace(found: re.Match[str]) -> str:
        if rng.random() > share:
            return found.group()
        new = rng.choice(SYNONYMS[found.group().lower()])
        return new[0].upper() + new[1:] if found.group()[0].isupper() else new

    return _SYNONYM.sub(replace, text)


def _fill(text: str, rng: random.Random, share: float) -> str:
    return re.sub(
        r"(?<=[a-z]) (?=[a-z]{3})", lambda _: f" {rng.choice(FILLERS)} " if rng.random() < share else " ", text
    )


def _names(text: str, rng: random.Random) -> str:
    """Other people in the same story."""
    found = {name for name in re.findall(r"(?<![\\$\w])[A-Z][a-z]{2,}\b", text) if name not in COMMON_STARTS}
    middle = {name for name in found if re.search(r"[a-z,] " + name + r"\b", text)}
    new = rng.sample(NAMES, len(NAMES))
    for name, other in zip(sorted(middle), new, strict=False):
        text = re.sub(r"\b" + name + r"\b", other, text)
    return text


def _question_first(text: str) -> str:
    """Move the last sentence to the front, where there are several."""
    sentences = re.split(r"(?<=[a-z$][.?!])\s+(?=[A-Z])", text.strip())
    if len(sentences) < 2 or "[asy]" in text:
        return text
    return " ".join([sentences[-1], *sentences[:-1]])


def _restyle(text: str, rng: random.Random) -> str:
    if rng.random() < 0.5:
        text = re.sub(r"(?<!\\)\$([^$]+)\$", r"\\(\1\\)", text)
    if rng.random() < 0.5:
        text = text.replace("\\frac", rng.choice(["\\dfrac", "\\tfrac"]))
    if rng.random() < 0.5:
        text = re.sub(r"\s*([=+])\s*", r"\1", text) if rng.random() < 0.5 else re.sub(r"\s*([=+])\s*", r" \1 ", text)
    if rng.random() < 0.3:
        text = text.replace("\\left", "").replace("\\right", "")
    if rng.random() < 0.3:
        text = text.replace("\\le ", "\\leq ").replace("\\ge ", "\\geq ").replace("\\cdot", "\\times")
    if rng.random() < 0.3:
        text = text.replace(", ", " , ").rstrip(".?") + rng.choice(["", ".", "?"])
    return text
