"""Several verifiers make one score: reward = sum of weight x value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Future

from r1zero.config import Rewards
from r1zero.rewards.catalog import verifier
from r1zero.rewards.scorer import Scorer
from r1zero.types import Problem, Score, Verdict

_WORST_FIRST: Sequence[Verdict] = ("unverifiable", "timeout", "error", "graded")


def submit(pool: Scorer, rewards: Rewards, problem: Problem, text: str) -> dict[str, Future[Score]]:
    """Ask every verifier of a recipe; `combined` waits for the answers."""
    return {name: pool.submit(name, problem, text) for name in rewards.verifier_function}


def combined(rewards: Rewards, pending: Mapping[str, Future[Score]]) -> Score:
    """The weighted sum, with the worst verdict. A verifier that failed on a response contributes 0."""
    scores = {name: future.result() for name, future in pending.items()}
    weights = dict(zip(rewards.verifier_function, rewards.verifier_weight, strict=True))
    verdicts = {score.verdict for score in scores.values()}
    return Score(
        value=sum(weights[name] * score.value for name, score in scores.items()),
        parts={name: score.value for name, score in scores.items()},
        verdict=next(verdict for verdict in _WORST_FIRST if verdict in verdicts),
        detail="; ".join(f"{name}: {score.detail}" for name, score in scores.items() if score.detail),
    )


def full_marks(rewards: Rewards, score: Score, measures: str) -> float | None:
    """1 or 0: whether the first verifier that measures `accuracy` or `format` gave its full mark; None without one."""
    for name in rewards.verifier_function:
        entry = verifier(name)
        if entry.measures == measures:
            return float(score.parts[name] >= entry.full_mark)
    return None
