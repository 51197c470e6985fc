"""Can a problem's reference answer be judged at all?"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from r1zero.log import Progress
from r1zero.rewards import math
from r1zero.rewards.catalog import verifier
from r1zero.rewards.pool import ScorerPool
from r1zero.types import Problem


def unusable_answers(
    problems: Sequence[Problem], verifier_of: Callable[[Problem], str | None], pool: ScorerPool
) -> dict[str, str]:
    """Ids of the problems whose reference answer is not right by its own standard, with the reason.

    `verifier_of` names the verifier that judges a problem's answer; None leaves it unjudged. Answers are data, so
    whatever is not a plain number is judged in the pool, under its limits.
    """
    doubtful = [
        (problem, name)
        for problem in problems
        if math.plain_number(problem.answer) is None and (name := verifier_of(problem)) is not None
    ]
    pending = [
        pool.submit(name, problem, f"<think></think><answer>\\boxed{{{problem.answer}}}</answer>")
        for problem, name in doubtful
    ]
    progress = Progress("checking reference answers", len(doubtful), "answers")
    unusable = {}
    for (problem, name), future in zip(doubtful, pending, strict=True):
        score = future.result()
        progress.advance()
        if score.value < verifier(name).full_mark:
            why = score.detail or "it does not equal itself"
            unusable[problem.id] = f"no verifier can parse the answer '{problem.answer[:80]}' ({why})"
    return unusable
