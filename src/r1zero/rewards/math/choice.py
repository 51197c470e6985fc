"""Multiple choice: the letter a response settles on."""

from __future__ import annotations

import re
from dataclasses import dataclass

from r1zero.rewards.math.clean import clean
from r1zero.rewards.math.extract import after_reasoning, boxes, first_turn

_REFERENCE = re.compile(r"(?:\(([A-J])\)|([A-J])[.:)])(?:\s+(\S.{0,60}))?|\(?([A-J])\)?(?:\s+([A-Z][\w' -]{1,60}))?")
_TEXT = re.compile(r"\\text\s*\{\s*(.*?)\s*\}")
_LETTER = r"(?:\(\s*([A-J])\s*\)|\*\*\s*\(?([A-J])\)?[.:]?|(?<![A-Za-z0-9'’])([A-J])(?![A-Za-z0-9'’]))"
_CHOICE = re.compile(_LETTER)
_ANNOUNCED = re.compile(
    rf"(?:answer|choice|option|correct|réponse|答案|选项?|选择|resposta|respuesta)\W*(?:is|are|:|est|es|是|为|：)?\W*{_LETTER}",
    re.I,
)
_NEGATED = re.compile(
    r"(?:\b(?:not|non|no|neither|nor|never|instead of|than)|n't(?:\s+be)?|不是|不选|而非|pas)\s*(?:option|choice)?\W*$",
    re.I,
)
_ARTICLE = re.compile(r"A\s+[a-z]|I\s+[a-z']")
_TAIL = 2_000


@dataclass(frozen=True, slots=True)
class Reference:
    """A choice and, if the reference gives it, its wording."""

    letter: str
    words: str = ""


def of_reference(gold: str) -> Reference | None:
    """The choice that a reference answer names; None if it is no choice. Examples: `C`, `(D) Alina`, `\\textbf{A}`."""
    bare = _TEXT.sub(r"\1", clean(gold[:200])).strip().strip("$").strip()
    match = _REFERENCE.fullmatch(bare)
    if match is None:
        return None
    return Reference(match[1] or match[2] or match[4], match[3] or match[5] or "")


def of_response(text: str, reference: Reference) -> str | None:
    """The letter a response settles on: in its box, after "answer is", at its start, or last; never one that it
    negates."""
    answer, why = after_reasoning(first_turn(text))
    if why:
        return None
    contents = boxes(answer)
    return of_answer(", ".join(contents), reference) if contents else _settled(answer, reference, several=False)


def of_answer(answer: str, reference: Reference) -> str | None:
    """The letter in an answer that has been cut out; of several ones all, which is one wrong answer."""
    return _settled(answer, reference, several=True)


def _settled(answer: str, reference: Reference, *, several: bool) -> str | None:
    answer = _TEXT.sub(r"\1", clean(answer[-_TAIL:])).strip().strip("$").strip()
    if reference.words and answer.strip(" .").casefold() == reference.words.casefold():
        return reference.letter
    if re.fullmatch(r"\(?[a-j]\)?\.?", answer):
        return answer.strip("().").upper()
    found = [match for match in _CHOICE.finditer(answer) if _meant(answer, match)]
    if several and len({_letter(match) for match in found}) > 1:
        return ",".join(sorted({_letter(match) for match in found}))
    announced = [match for match in _ANNOUNCED.finditer(answer) if not _NEGATED.search(answer, 0, _start(match))]
    if announced:
        return _letter(announced[-1])
    if found and found[0].start() <= 2:
        return _letter(found[0])
    return _letter(found[-1]) if found else None


def _letter(match: re.Match[str]) -> str:
    return next(group for group in match.groups() if group).upper()


def _start(match: re.Match[str]) -> int:
    return next(match.start(place) for place in (1, 2, 3) if match[place])


def _meant(text: str, match: re.Match[str]) -> bool:
    """Not the article or the pronoun, and not ruled out: `A car`, `not A`."""
    return not _ARTICLE.match(text, match.start()) and not _NEGATED.search(
        text[max(0, match.start() - 30) : match.start()]
    )
