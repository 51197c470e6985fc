"""Can a problem's reference answer be judged at all?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future

from r1zero.base.errors import UsageError
from r1zero.base.log import Progress
from r1zero.data.problems import Part, Rejected
from r1zero.grading.combine import Verifiers
from r1zero.grading.scorer import Scorer
from r1zero.rewards import math
from r1zero.rewards.catalog import Entry, verifier
from r1zero.types import Problem, Score


def unusable_answers(
    problems: Sequence[Problem], verifier_of: Callable[[Problem], str | None], pool: Scorer
) -> dict[str, str]:
    """Ids of the problems whose reference answer is not right by its own standard, with the reason.

    `verifier_of` names the verifier that judges a problem's answer; None leaves it unjudged. Answers are data, so
    whatever is not a plain number is judged in the pool, under its limits.
    """
    doubtful: list[tuple[Problem, Entry, Future[Score]]] = []
    for problem in problems:
        if (name := verifier_of(problem)) is None:
            continue
        entry = verifier(name)
        if not (entry.takes_numbers and math.plain_number(problem.answer) is not None):
            doubtful.append((problem, entry, pool.submit(name, problem, entry.right_response(problem))))
    progress = Progress("checking reference answers", len(doubtful), "answers")
    unusable = {}
    for problem, entry, future in doubtful:
        score = future.result()
        progress.advance()
        if not entry.accepts(score):
            why = score.detail or "it does not equal itself"
            unusable[problem.id] = f"no verifier can parse the answer '{problem.answer[:80]}' ({why})"
    return unusable


def verifiable(problems: list[Problem], section: str, verifiers: Verifiers, pool: Scorer) -> Part:
    """Problems whose reference answer their verifier accepts as right. Raises UsageError when no problem is left."""
    reasons = unusable_answers(problems, lambda problem: verifiers.first(problem, "accuracy"), pool)
    good = [problem for problem in problems if problem.id not in reasons]
    rejected = [Rejected.problem(problem, reasons[problem.id]) for problem in problems if problem.id in reasons]
    if problems and not good:
        first = rejected[0]
        where = f"{section}.path = '{first.source}'"
        raise UsageError(f"{where}: all {len(rejected)} answers are unusable; line {first.line}: {first.reason}")
    return good, rejected
