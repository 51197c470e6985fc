"""reasoning-gym's tasks, scored by their own code, which reads an answer and never runs it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from r1zero.rewards.answers import final_text
from r1zero.rewards.unevaluated import without_evaluation
from r1zero.types import Problem, Score


def _same_word(answer: str, entry: Mapping[str, Any]) -> float:
    return float(answer.casefold() == str(entry["answer"]).casefold())


_REPLACED: Mapping[str, Any] = {
    "game_of_life_halting": _same_word,  # True or False; the task's own scorer compares bool(text): any text is True
}


@lru_cache(maxsize=256)
def _scorer(task: str) -> Any:
    """Making a task may read a dictionary; its scorer keeps nothing from one answer to the next."""
    from reasoning_gym.factory import get_score_answer_fn

    return _REPLACED.get(task) or get_score_answer_fn(task)


def reasoning_gym(problem: Problem, text: str) -> Score:
    """The score that reasoning-gym's own task gives the final answer, between 0 and 1. The row comes from
    `reasoning-gym:TASK`, whose metadata names the task. An answer that the scorer would have run is `unverifiable`."""
    metadata = problem.extra.get("metadata")
    if not isinstance(metadata, dict) or "source_dataset" not in metadata:
        return Score(value=0.0, verdict="unverifiable", detail="the problem does not come from reasoning-gym:TASK")
    entry = {"question": problem.text, "answer": problem.answer, "metadata": metadata}
    task = str(metadata["source_dataset"])
    scorer = _scorer(task)
    value, detail = 0.0, ""
    with without_evaluation("reasoning_gym") as guard:
        try:
            value = float(scorer(answer=final_text(text).strip(), entry=entry))
        except Exception as error:  # scorers stumble over answers of another form than theirs: those are wrong
            detail = f"reasoning-gym's scorer of {task} cannot read the answer: {type(error).__name__}: {error}"
    if guard.refused:
        detail = f"reasoning-gym's scorer of {task} tried {guard.refused} on the answer"
        return Score(value=0.0, verdict="unverifiable", detail=detail)
    return Score(value=value, detail=detail)
