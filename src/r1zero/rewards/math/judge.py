"""One judgement: is the final answer of a response the reference answer?"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import Literal

from r1zero.rewards.math import choice, symbolic
from r1zero.rewards.math.clean import clean
from r1zero.rewards.math.compare import equal
from r1zero.rewards.math.extract import Found, after_reasoning, final_answer, first_turn
from r1zero.rewards.math.structure import plain, read
from r1zero.rewards.math.values import Formula, Text, Value

Outcome = Literal["right", "wrong", "missing", "unverifiable"]
UNVERIFIABLE = "the reference answer cannot be parsed"
_PLAIN_NUMBER = re.compile(r"[-+]?[0-9]{1,40}(\.[0-9]{1,40})?")
_GROUPED_NUMBER = re.compile(r"[-+]?[0-9]{1,3}(,[0-9]{3})+(\.[0-9]{1,40})?")
_WORD = re.compile(r"[A-Za-z][a-z]{2,}")
_WORDS = re.compile(r"[A-Za-z]{3,}")
_MOST_WORDS = 10  # of a phrase that is compared as it is written; what is longer explains
_ELSEWHERE = re.compile(  # a phrase that says where the answer is, or that there is none
    r"\b(?:proof|proofs|proved?n?|shown?|above|below|omitted|see|refer|figures?|diagram|graph|explanations?|"
    r"exercise|reader|vary|varies|various|q\.?e\.?d|statement|hence|therefore|follows)\b",
    re.IGNORECASE,
)
_PHRASE = re.compile(r"[^\W\d_][^\W\d_]*(?:[\s,'’-]+[^\W\d_]+)*")
_ARTICLES = re.compile(
    r"^(?:there\s+(?:is|are|exists?)\s+)?(?:an?|the)\s+|^there\s+(?:is|are|exists?)\s+|\bthe\s+", re.IGNORECASE
)
_CACHED = 200  # characters of a reference that is kept
_MARKUP = re.compile(r"\\text\s*\{([^{}]*)\}|\$|(?<!\d)\s+|\s+(?!\d)")


@dataclass(frozen=True, slots=True)
class Judgement:
    """`missing` means that the response has no final answer; `detail` says why."""

    outcome: Outcome
    answer: str = ""
    detail: str = ""


def judge(gold: str, response: str) -> Judgement:
    """Judge a whole response. May need long on hostile input: call it in a worker of `grading.pool`."""
    letter = choice.of_reference(gold)
    if letter is not None:
        said = choice.of_response(response, letter)
        if said is None:
            return Judgement("missing", detail="no choice found")
        return Judgement("right" if said == letter.letter else "wrong", said)
    reference = reference_answer(gold)
    if reference is None:
        return Judgement("unverifiable", detail=UNVERIFIABLE)
    found = final_answer(response)
    words = reference.value.words if isinstance(reference.value, Text) else ""
    if words and (found.value is None or len(words.split()) > 1) and _ends_in(response, words):
        return Judgement("right", words)
    if found.value is None:
        return Judgement("missing", detail=found.why)
    same = found.text == gold.strip() or _same(reference, found)  # the reference itself, which may be a whole solution
    return Judgement("right" if same else "wrong", found.text[:200])


def equivalent(gold: str, answer: str) -> bool | None:
    """Whether an answer, already found, equals the reference; None if the reference cannot be parsed."""
    plain_gold, plain_answer = plain_number(gold), plain_number(answer)
    if plain_gold is not None and plain_answer is not None:
        return plain_gold == plain_answer
    letter = choice.of_reference(gold)
    if letter is not None:
        return choice.of_answer(answer, letter) == letter.letter
    reference = reference_answer(gold)
    if reference is None:
        return None
    if answer.strip() == gold.strip():
        return True
    value = read(answer)
    return value is not None and _same(reference, Found(answer, value))


def verifiable(gold: str) -> bool:
    """Whether a reference answer can be judged: it is a formula, a collection of them, a choice, or a few words."""
    if plain_number(gold) is not None or choice.of_reference(gold) is not None:
        return True
    return reference_answer(gold) is not None


def plain_number(text: str) -> Fraction | None:
    """A plain decimal number, thousands separated by commas or not; None for anything else."""
    compact = text.strip().strip("$").strip()
    if _GROUPED_NUMBER.fullmatch(compact):
        compact = compact.replace(",", "")
    return Fraction(compact) if _PLAIN_NUMBER.fullmatch(compact) else None


def reference_answer(gold: str) -> Found | None:
    """The value of a reference answer; None for prose and for what says nothing. A group's responses share it."""
    return _short_reference(gold) if len(gold) <= _CACHED else _reference(gold)


def _reference(gold: str) -> Found | None:
    if not any(character.isalnum() or character in "∅∞ℝ⦃" for character in clean(gold[:1000])):
        return None
    found = final_answer(gold, gold=True)
    if found.value is None:
        return _phrase(gold)
    if isinstance(found.value, Text) and not found.value.formal and "\\text" not in clean(gold):
        return found if len(_WORDS.findall(found.value.words)) <= 3 else _phrase(gold)
    return found


def _phrase(gold: str) -> Found | None:
    """A few words and nothing else, so few that who means them says them in the same words."""
    words = plain(clean(gold))
    several = (
        "\n" not in gold.strip() and 1 < len(words.split()) <= _MOST_WORDS and _PHRASE.fullmatch(words) is not None
    )
    return Found(gold.strip(), Text(words)) if several and not _ELSEWHERE.search(words) else None


_short_reference = lru_cache(maxsize=512)(_reference)


def _same(gold: Found, answer: Found) -> bool:
    assert gold.value is not None and answer.value is not None
    if equal(gold.value, answer.value):
        return True
    if _numeric(gold.value) and _numeric(answer.value):
        return False
    written = _letters(gold.text), _letters(answer.text)
    if written[0] and written[0] == written[1]:
        return True
    if isinstance(gold.value, Text) and not gold.value.formal and (words := _ARTICLES.sub("", gold.value.words)):
        said = answer.value.words if isinstance(answer.value, Text) else plain(clean(answer.text[:1000]))
        if words == _ARTICLES.sub("", said):
            return True
    words = isinstance(gold.value, Text) or all(_WORD.fullmatch(text) for text in written)
    if words and written[0].isalpha() and written[0].casefold() == written[1].casefold():
        return True
    return symbolic.equal(gold, answer)


def _numeric(value: Value) -> bool:
    return isinstance(value, Formula) and value.node[0] == "number"


def _ends_in(response: str, words: str) -> bool:
    """Whether a response without boxes and formulas ends by naming a word: `The day is Friday.`"""
    answer, why = after_reasoning(first_turn(response))
    ending = (
        rf"(?:\b(?:is|are|was|be|on)|[:=])\s+\W*(?:(?:an?|the)\s+)?{re.escape(_ARTICLES.sub('', words, count=1))}\W*$"
    )
    return not why and "boxed" not in answer and re.search(ending, answer[-300:].casefold()) is not None


def _letters(text: str) -> str:
    """A text for comparison as it is written."""
    return _MARKUP.sub(lambda match: match[1] or "", clean(text[:1000])).strip(".,;")
