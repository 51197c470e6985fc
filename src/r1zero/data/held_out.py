"""Training problems that are also asked in the evaluation."""

from __future__ import annotations

from collections.abc import Sequence

from r1zero.base.errors import UsageError
from r1zero.data.curation import duplicates
from r1zero.data.problems import Part, Rejected
from r1zero.types import Problem, Prompt


def without_held_out(problems: list[Problem], section: str, held_out: Sequence[Prompt]) -> Part:
    """Training problems that are not in the held-out set, whatever their typography."""
    if not held_out:
        return problems, []
    questions = {duplicates.content_key(prompt.problem.text) for prompt in held_out}
    seen = [duplicates.content_key(problem.text) in questions for problem in problems]
    good = [problem for problem, leak in zip(problems, seen, strict=True) if not leak]
    leaked = [
        Rejected.problem(problem, "the question is in the held-out set")
        for problem, leak in zip(problems, seen, strict=True)
        if leak
    ]
    if problems and not good:
        raise UsageError(
            f"{section}.path = '{problems[0].source}': every training question is in the evaluation set too"
        )
    return good, leaked
