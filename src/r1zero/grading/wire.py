"""Jobs and verdicts as JSON: what crosses a process or a network. Nothing a model wrote is ever unpickled."""

from __future__ import annotations

import inspect
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


def score_fields(score: Any) -> dict[str, Any]:
    """What a verifier returned, as values that JSON can hold: what is no score is an error of its verifier."""
    if wrong := _wrong(score):
        score = Score(value=0.0, verdict="error", detail=wrong)
    return {
        "value": float(score.value),
        "parts": {name: float(value) for name, value in score.parts.items()},
        "verdict": score.verdict,
        "detail": (score.detail or "")[:_LONGEST_DETAIL],
    }


def _wrong(score: Any) -> str:
    """Why this is no score; nothing for one that is."""
    if inspect.iscoroutine(score):
        score.close()
        return "the verifier is an async function; make it a plain one that returns a Score"
    if not isinstance(score, Score):
        return f"the verifier returned {_shown(score)}; it must return a Score"
    if not isinstance(score.parts, Mapping) or not all(isinstance(name, str) for name in score.parts):
        return f"the verifier's parts are {_shown(score.parts)}; they must be numbers by name"
    for name, value in {"value": score.value, **score.parts}.items():
        number = _number(value)
        if number is None:
            return f"the verifier's {name} is {_shown(value)}; it must be a number"
        if not math.isfinite(number):
            return f"the verifier's {name} is {value}"
    if score.verdict not in _VERDICTS:
        return f"the verifier's verdict is {_shown(score.verdict)}; it must be one of {', '.join(_VERDICTS)}"
    if score.detail is not None and not isinstance(score.detail, str):
        return f"the verifier's detail is {_shown(score.detail)}; it must be text"
    return ""


def _number(value: Any) -> float | None:
    try:
        return None if isinstance(value, str | bytes) else float(value)
    except (TypeError, ValueError, OverflowError):
        return None


def _shown(value: Any) -> str:
    return f"{value!r}"[:80] if value is None or isinstance(value, str | int | float) else f"a {type(value).__name__}"


def read_score(fields: Mapping[str, Any]) -> Score:
    """Raises KeyError, TypeError or ValueError for fields that are not a score's."""
    if fields["verdict"] not in _VERDICTS:
        raise ValueError(f"verdict = {fields['verdict']!r} is none of {', '.join(_VERDICTS)}")
    parts = {str(name): float(value) for name, value in fields.get("parts", {}).items()}
    return Score(
        value=float(fields["value"]), parts=parts, verdict=fields["verdict"], detail=str(fields.get("detail", ""))
    )
