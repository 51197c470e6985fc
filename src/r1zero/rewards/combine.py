"""Several verifiers make one score: reward = sum of weight x value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import replace
from typing import Any

from r1zero.config import Rewards
from r1zero.rewards.catalog import verifier
from r1zero.rewards.scorer import Scorer
from r1zero.types import Problem, Score, Verdict

_WORST_FIRST: Sequence[Verdict] = ("unverifiable", "timeout", "error", "graded")


def submit(
    pool: Scorer, rewards: Rewards, problem: Problem, text: str, facts: Mapping[str, Any] | None = None
) -> dict[str, Future[Score]]:
    """Ask every verifier of the problem's source; `combined` waits for the answers. `facts` is what a verifier finds in
    `problem.extra` beside the row's own columns: `response_tokens` and `finish_reason`."""
    known = replace(problem, extra={**problem.extra, **facts}) if facts else problem
    return {name: pool.submit(name, known, text) for name in rewards.of_source(problem.source).verifier_function}


def combined(rewards: Rewards, pending: Mapping[str, Future[Score]], source: str = "") -> Score:
    """The weighted sum of a source's verifiers, with the worst verdict. A verifier that failed on a response
    contributes 0."""
    scores = {name: future.result() for name, future in pending.items()}
    verdicts = {score.verdict for score in scores.values()}
    parts = {name: score.value for name, score in scores.items()}
    return Score(
        value=_weighted(rewards.of_source(source), parts),
        parts=parts,
        verdict=next(verdict for verdict in _WORST_FIRST if verdict in verdicts),
        detail="; ".join(f"{name}: {score.detail}" for name, score in scores.items() if score.detail),
    )


def in_group(rewards: Rewards, scores: Sequence[Score], lengths: Sequence[int], source: str = "") -> list[Score]:
    """The scores of one prompt's responses once verifiers that compare the responses with each other have seen them
    all. `lengths` in tokens."""
    rewards = rewards.of_source(source)
    for name in rewards.verifier_function:
        values_of = verifier(name).in_group
        if values_of is None:
            continue
        values = values_of([score.parts[name] >= 1.0 for score in scores], lengths)
        parts = [{**score.parts, name: value} for score, value in zip(scores, values, strict=True)]
        scores = [
            replace(score, value=_weighted(rewards, part), parts=part)
            for score, part in zip(scores, parts, strict=True)
        ]
    return list(scores)


def _weighted(rewards: Rewards, parts: Mapping[str, float]) -> float:
    weights = zip(rewards.verifier_function, rewards.verifier_weight, strict=True)
    return sum(weight * parts[name] for name, weight in weights)


def full_marks(score: Score, measures: str) -> float | None:
    """1 or 0: whether the first verifier that measures `accuracy` or `format` gave its full mark; None without one."""
    for name, value in score.parts.items():
        entry = verifier(name)
        if entry.measures == measures:
            return float(value >= entry.full_mark)
    return None
