"""Is a row fit to be a problem at all: its shape, and its language."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from typing import Any

from r1zero.base.errors import UsageError, suggest
from r1zero.data.curation.content import content
from r1zero.data.curation.removal import Outcome, Removal
from r1zero.types import Problem

_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_FIGURE = re.compile(
    r"!\[[^\]]{0,200}\]\(|<img\b|\\includegraphics|\b(?:figure|diagram|picture|graph|table) (?:below|above|shown)\b"
    r"|\b(?:as shown|shown) (?:below|above|in the (?:figure|diagram|picture|graph))\b"
    r"|\bin the (?:figure|diagram|picture)\b",
    re.IGNORECASE,
)
_DRAWN = ("[asy]", "\\begin{tikzpicture}", "\\begin{tabular}", "\\begin{array}")
_DETECTABLE_WORDS = 8  # fewer words say nothing about their language


def schema(
    problems: Sequence[Problem],
    *,
    min_characters: int,
    max_characters: int,
    max_answer_characters: int,
    figures: bool,
) -> Outcome:
    """Remove questions that are too short or long, damaged or cut off, that carry their answer in a box, or that
    (unless `figures`) speak of a figure they do not bring."""

    def fault(problem: Problem) -> tuple[str, str]:
        text, answer = problem.text, problem.answer
        if len(text) < min_characters:
            return "question too short", f"{len(text)} characters"
        if len(text) > max_characters:
            return "question too long", f"{len(text)} characters"
        if len(answer) > max_answer_characters:
            return "answer too long", f"{len(answer)} characters"
        if found := _CONTROL.search(text + answer):
            return "control character", f"U+{ord(found.group()):04X}"
        if "\ufffd" in text + answer:
            return "wrong encoding", "holds U+FFFD, the mark of bytes that could not be decoded"
        if "\\boxed{" in text:
            return "the question holds a boxed answer", ""
        for name, part in (("question", text), ("answer", answer)):
            if (opened := _open_braces(part)) != 0:
                return f"{name} cut off", f"{abs(opened)} brace{'s' * (abs(opened) > 1)} {_SIDE[opened > 0]}"
        if not figures and (found := _FIGURE.search(text)) and not any(mark in text for mark in _DRAWN):
            return "figure missing", f"'{found.group()}'"
        return "", ""

    return _removed_if(problems, fault)


def language(problems: Sequence[Problem], *, languages: Sequence[str], confidence: float) -> Outcome:
    """Remove questions whose words are, with at least `confidence`, in none of the `languages` (ISO 639-1 codes).

    Formulas are left out, and questions of a few words are kept: there is nothing to tell. By py3langid (Lui & Baldwin
    2012). Raises UsageError for a code it does not know.
    """
    identifier = _identifier()
    for code in languages:
        if code not in identifier.labels:
            raise UsageError(f"languages = '{code}': unknown language code{suggest(code, identifier.labels)}")

    def fault(problem: Problem) -> tuple[str, str]:
        words = content(problem.text).words
        # languages without spaces make a few long words
        if (
            len(words) < _DETECTABLE_WORDS
            and sum(map(len, words)) < 4 * _DETECTABLE_WORDS
            and " ".join(words).isascii()
        ):
            return "", ""
        ranked = identifier.rank(" ".join(words))
        other = 1 - sum(probability for found, probability in ranked if found in languages)
        return (f"language {ranked[0][0]}", f"probability {other:.2f}") if other >= confidence else ("", "")

    return _removed_if(problems, fault)


_SIDE = {True: "never closed", False: "never opened"}


def _open_braces(text: str) -> int:
    """Braces opened and not closed (or, negative, closed and not opened); escaped ones are characters."""
    plain = text.replace("\\\\", "").replace("\\{", "").replace("\\}", "").replace("\\left.", "")
    return plain.count("{") - plain.count("}")


def _removed_if(problems: Sequence[Problem], fault: Any) -> Outcome:
    kept, removed = [], []
    for problem in problems:
        reason, detail = fault(problem)
        if reason:
            removed.append(Removal(problem=problem, reason=reason, detail=detail))
        else:
            kept.append(problem)
    return Outcome(kept=kept, removed=removed)


@cache
def _identifier() -> Any:
    try:
        from py3langid.langid import MODEL_FILE, LanguageIdentifier
    except ImportError:
        raise UsageError("step 'language': needs py3langid; pip install 'r1zero[curate]'") from None
    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
