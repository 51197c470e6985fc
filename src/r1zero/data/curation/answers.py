"""Problems whose answers no verifier can judge: a letter to choose, a proof, prose."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from r1zero.data.curation.removal import Outcome, Removal
from r1zero.types import Problem

Judge = Callable[[Sequence[Problem]], dict[str, str]]  # ids of the problems whose answer cannot be judged -> why

_OPTION = re.compile(
    r"(?:^|[\s({$\\;])(?:\\(?:text|textbf|mathrm|mathbf)\{)?\(?([A-E])(?:\)|\.|:)(?=[\s}~\\$]|$)", re.MULTILINE
)
_LETTER = re.compile(r"\\?(?:text|textbf|mathrm)?\{?\(?([A-E])\)?\.?\}?")
_PROOF = re.compile(
    r"(?:^|[.:;,]\s+|\n\s*)(?:\([a-z]\)\s*)?(?:prove|show|verify|disprove) (?:that|the|if|by)\b", re.IGNORECASE
)
_ASKS = re.compile(r"\b(?:find|compute|calculate|determine|evaluate|what|which|how)\b", re.IGNORECASE)
_VERDICT = re.compile(r"(?:yes|no|true|false|proof|proved|omitted|see (?:the )?(?:solution|proof).*)\.?", re.IGNORECASE)


def unverifiable(problems: Sequence[Problem], judge: Judge) -> Outcome:
    """Remove multiple-choice questions, proofs, yes/no questions, and whatever `judge` cannot parse.

    A letter can be guessed one time in five and a yes every other time: rewards for luck. A question with options whose
    answer is a value stays: its verifier compares values.
    """
    kept, removed = [], []
    for problem in problems:
        reason = _kind(problem)
        if reason:
            removed.append(Removal(problem=problem, reason=reason, detail=f"the answer is '{problem.answer[:80]}'"))
        else:
            kept.append(problem)
    failures = judge(kept)
    removed += [
        Removal(problem=problem, reason="no verifier can judge the answer", detail=failures[problem.id])
        for problem in kept
        if problem.id in failures
    ]
    return Outcome(kept=[problem for problem in kept if problem.id not in failures], removed=removed)


def _kind(problem: Problem) -> str:
    answer = problem.answer.strip().strip("$").strip()
    options = {found.group(1) for found in _OPTION.finditer(problem.text)}
    if _LETTER.fullmatch(answer) and len(options) >= 3:
        return "multiple choice"
    if _VERDICT.fullmatch(answer):
        return "yes or no, or a proof left out"
    if _PROOF.search(problem.text) and not _ASKS.search(problem.text):
        return "proof"
    return ""
