"""Jobs and verdicts as JSON: what crosses a process or a network. Nothing a model wrote is ever unpickled."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from r1zero.types import Message, Problem, Score

_LONGEST_DETAIL = 300
_VERDICTS = ("graded", "unverifiable", "error", "timeout")


def problem_fields(problem: Problem) -> dict[str, Any]:
    question = problem.question
    return {
        "id": problem.id,
        "question": question if isinstance(question, str) else [(turn.role, turn.content) for turn in question],
        "answer": problem.answer,
        "source": problem.source,
        "line": problem.line,
        "file": problem.file,
        "extra": dict(problem.extra),
    }


def read_problem(fields: Mapping[str, Any]) -> Problem:
    """Raises KeyError or TypeError for fields that are not a problem's."""
    question = fields["question"]
    if isinstance(question, list):
        question = tuple(Message(role, content) for role, content in question)
    return Problem(**{**fields, "question": question})


def score_fields(score: Score) -> dict[str, Any]:
    """A score with values that JSON can hold: one that is not finite is an error of its verifier."""
    values = {"value": score.value, **score.parts}
    wrong = next((name for name, value in values.items() if not math.isfinite(value)), None)
    if wrong is not None:
        score = Score(value=0.0, verdict="error", detail=f"the verifier's {wrong} is {values[wrong]}")
    return {
        "value": float(score.value),
        "parts": {name: float(value) for name, value in score.parts.items()},
        "verdict": score.verdict,
        "detail": score.detail[:_LONGEST_DETAIL],
    }


def read_score(fields: Mapping[str, Any]) -> Score:
    """Raises KeyError, TypeError or ValueError for fields that are not a score's."""
    if fields["verdict"] not in _VERDICTS:
        raise ValueError(f"verdict = {fields['verdict']!r} is none of {', '.join(_VERDICTS)}")
    parts = {str(name): float(value) for name, value in fields.get("parts", {}).items()}
    return Score(
        value=float(fields["value"]), parts=parts, verdict=fields["verdict"], detail=str(fields.get("detail", ""))
    )
