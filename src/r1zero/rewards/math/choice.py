"""Multiple choice: the letter a response settles on."""

from __future__ import annotations

import re
from dataclasses import dataclass

from r1zero.rewards.math.clean import clean
from r1zero.rewards.math.extract import after_reasoning, boxes, first_turn

_REFERENCE = re.compile(r"(?:\(([A-J])\)|([A-J])[.:)])(?:\s+(\S.{0,60}))?|\(?([A-J])\)?(?:\s+([A-Z][\w' -]{1,60}))?")
_ANNOUNCEMENT = re.compile(
    r"(?:the\s+)?(?:final\s+|correct\s+|right\s+)?(?:answer|choice|option)\s*(?:is\b|:)?\s*:?\s*", re.IGNORECASE
)
_TEXT = re.compile(r"\\text\s*\{\s*(.*?)\s*\}")
_LETTER = r"(?:\(\s*([A-J])\s*\)|\*\*\s*\(?([A-J])\)?[.:]?|(?<![A-Za-z0-9'’])([A-J])(?![A-Za-z0-9'’]))"
_CHOICE = re.compile(_LETTER)
_ANNOUNCED = re.compile(
    rf"(?:answer|choice|option|correct|réponse|答案|选项?|选择|resposta|respuesta)\W*(?:is|are|:|est|es|是|为|：)?\W*{_LETTER}",
    re.I,
)
_NOUN = r"(?:(?:options?|choices?)\s*)?"
_JOINED = r"\s*(?:,|/|\bor\b|\band\b|\bnor\b)\s*"
_OTHERS = rf"{_NOUN}(?:\W{{0,4}}[A-J]\W{{0,4}}{_JOINED}{_NOUN})*"  # the beginning of a list of letters
_NEGATED = re.compile(
    r"(?:\b(?:not|non|no|neither|nor|never|instead of|rather than|than|cannot(?:\s+be)?|rul\w+\s+out|eliminat\w+|"
    rf"exclud\w+|reject\w*|except)|n't(?:\s+be)?|不是|不选|而非|排除|pas)\s*{_OTHERS}\W*$",
    re.I,
)
_REFUSED = re.compile(  # what follows a letter that is ruled out, alone or with others
    rf"\W{{0,4}}(?:{_JOINED}{_NOUN}\W{{0,4}}[A-J](?![A-Za-z0-9])\W{{0,4}})*\s+(?:"
    r"(?:is|are|was|were|must be|can be)\s+(?:\w+ly\s+)?(?:not|in ?correct|wrong|false|impossible|out|invalid|too|"
    r"ruled|eliminated|excluded|rejected)|(?:is|are|was|were|do|does|did|can|could|would)n't|cannot|fails?\b|"
    r"do(?:es)? not|can not)",
    re.I,
)
_BESIDE = rf"\W{{0,4}}\s*(?:/|,|\bor\b|\band\b)\s*{_NOUN}\W{{0,4}}"
_AFTER = re.compile(rf"{_BESIDE}([A-J])(?![A-Za-z0-9'’])")
_BEFORE = re.compile(rf"(?<![A-Za-z0-9'’])([A-J]){_BESIDE}\Z")
_ARTICLE = re.compile(
    r"A\s+(?!(?:or|and|nor|is|are|was|were|because|since|as|but|fails?|does|can|cannot|seems?)\b)[a-z]"
    r"|I\s+(?!(?:or|and|nor|is)\b)[a-z']"
)
_OPENING = re.compile(
    r"[\s*)\]}]*(?:\Z|[.:,;)\n-]|because\b|since\b|as\b|\(|"
    r"(?:seems?|looks?|is|must be)\s+(?:the\s+)?(?:correct|right|answer|best))"
)
_TAIL = 2_000


@dataclass(frozen=True, slots=True)
class Reference:
    """A choice and, if the reference gives it, its wording."""

    letter: str
    words: str = ""


def of_reference(gold: str) -> Reference | None:
    """The choice that a reference answer names; None if it is no choice. Examples: `C`, `(D) Alina`, `\\textbf{A}`."""
    bare = _ANNOUNCEMENT.sub("", gold[:200].strip())
    if len(contents := boxes(bare)) == 1 and bare.startswith("\\"):
        bare = contents[0]
    bare = _TEXT.sub(r"\1", clean(bare)).strip().strip("$").strip()
    match = _REFERENCE.fullmatch(bare) or _REFERENCE.fullmatch(bare.rstrip("."))
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
    announced = [match for match in _ANNOUNCED.finditer(answer) if not _ruled_out(answer, match)]
    if announced:
        return _with_listed(answer, announced[-1])
    if found and found[0].start() <= 2 and _OPENING.match(answer, found[0].end()):
        return _with_listed(answer, found[0])
    return _with_listed(answer, found[-1]) if found else None


def _with_listed(text: str, match: re.Match[str]) -> str:
    """The letter of a match with another one that stands beside it, `A or B`: two answers are none."""
    start, letters = _start(match), {_letter(match)}
    if after := _AFTER.match(text, match.end()):
        letters.add(after[1].upper())
    before = _BEFORE.search(text[max(0, start - 30) : start])
    if before and not _NEGATED.search(text[max(0, start - 60) : start]):
        letters.add(before[1].upper())
    return ",".join(sorted(letters))


def _letter(match: re.Match[str]) -> str:
    return next(group for group in match.groups() if group).upper()


def _start(match: re.Match[str]) -> int:
    return next(match.start(place) for place in (1, 2, 3) if match[place])


def _meant(text: str, match: re.Match[str]) -> bool:
    """Not the article or the pronoun, and not ruled out: `A car`, `not A`."""
    return not _ARTICLE.match(text, match.start()) and not _ruled_out(text, match)


def _ruled_out(text: str, match: re.Match[str]) -> bool:
    start = _start(match)
    return bool(_NEGATED.search(text[max(0, start - 60) : start]) or _REFUSED.match(text, match.end()))
