"""Several verifiers make one score: reward = sum of weight x value. Which ones, the problem's source may say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from typing import Any

from r1zero.base.errors import UsageError, suggest
from r1zero.config import Recipe
from r1zero.grading import contained
from r1zero.grading.scorer import Scorer
from r1zero.rewards.catalog import foreign, verifier
from r1zero.types import Problem, Score, Verdict

_WORST_FIRST: Sequence[Verdict] = ("unverifiable", "error", "timeout", "graded")


@dataclass(frozen=True, slots=True)
class Verifiers:
    """Weights of verifiers by name, for all problems and for those of some sources."""

    default: Mapping[str, float]
    by_source: Mapping[str, Mapping[str, float]] = field(default_factory=dict)

    @classmethod
    def of(cls, recipe: Recipe) -> Verifiers:
        """What a recipe says in `rewards` and `data.sources`. Raises UsageError for a verifier that does not exist, and
        for one of foreign code that nothing contains here."""
        rewards = recipe.rewards
        for name in rewards.verifier_function:
            verifier(name)
        for number, source in enumerate(recipe.data.sources):
            for name in source.verifiers:
                verifier(name, f"data.sources.{number}.verifiers")
        named = {*rewards.verifier_function, *(name for source in recipe.data.sources for name in source.verifiers)}
        for name in rewards.uncontained:
            if name not in named:
                raise UsageError(f"rewards.uncontained = '{name}': no verifier of this recipe{suggest(name, named)}")
        if not rewards.remote:
            contained.refuse_uncontained([name for name in sorted(named) if foreign(name)], rewards.uncontained)
        by_path: dict[str, Mapping[str, float]] = {}
        for number, source in enumerate(recipe.data.sources):
            if by_path.setdefault(source.path, source.verifiers) != source.verifiers:
                raise UsageError(
                    f"data.sources.{number}.verifiers: '{source.path}' is a source with other verifiers already; give "
                    f"both the same"
                )
        default = dict(zip(rewards.verifier_function, rewards.verifier_weight, strict=True))
        return cls(default, {source.path: source.verifiers for source in recipe.data.sources if source.verifiers})

    def of_problem(self, problem: Problem) -> Mapping[str, float]:
        return self.by_source.get(problem.source, self.default)

    def names(self) -> list[str]:
        """All verifiers, the default ones first."""
        return list(dict.fromkeys(name for weights in (self.default, *self.by_source.values()) for name in weights))

    def first(self, problem: Problem, measures: str) -> str | None:
        """The first verifier of a problem that measures `accuracy` or `format`."""
        return next((name for name in self.of_problem(problem) if verifier(name).measures == measures), None)


def submit(
    pool: Scorer, verifiers: Verifiers, problem: Problem, text: str, facts: Mapping[str, Any] | None = None
) -> dict[str, Future[Score]]:
    """Ask every verifier of a problem; `combined` waits for the answers. `facts` is what a verifier finds in
    `problem.extra` beside the row's own columns: `response_tokens` and `finish_reason`."""
    known = replace(problem, extra={**problem.extra, **facts}) if facts else problem
    return {name: pool.submit(name, known, text) for name in verifiers.of_problem(problem)}


def combined(verifiers: Verifiers, problem: Problem, pending: Mapping[str, Future[Score]]) -> Score:
    """The weighted sum, with the worst verdict. A verifier that failed on a response contributes 0."""
    scores = {name: future.result() for name, future in pending.items()}
    verdicts = {score.verdict for score in scores.values()}
    parts = {name: score.value for name, score in scores.items()}
    return Score(
        value=_weighted(verifiers.of_problem(problem), parts),
        parts=parts,
        verdict=next(verdict for verdict in _WORST_FIRST if verdict in verdicts),
        detail="; ".join(f"{name}: {score.detail}" for name, score in scores.items() if score.detail),
    )


def in_group(verifiers: Verifiers, problem: Problem, scores: Sequence[Score], lengths: Sequence[int]) -> list[Score]:
    """The scores of one prompt's responses once verifiers that compare the responses with each other have seen them
    all. `lengths` in tokens. A response whose verifier failed is not compared with."""
    weights = verifiers.of_problem(problem)
    for name in weights:
        values_of = verifier(name).in_group
        if values_of is None:
            continue
        judged = [index for index, score in enumerate(scores) if score.verdict != "error"]
        right = [scores[index].parts[name] >= 1.0 for index in judged]
        values = dict(zip(judged, values_of(right, [lengths[index] for index in judged]), strict=True))
        parts = [{**score.parts, name: values.get(index, 0.0)} for index, score in enumerate(scores)]
        scores = [
            replace(score, value=_weighted(weights, part), parts=part)
            for score, part in zip(scores, parts, strict=True)
        ]
    return list(scores)


def _weighted(weights: Mapping[str, float], parts: Mapping[str, float]) -> float:
    return sum(weight * parts[name] for name, weight in weights.items())


def full_marks(score: Score, measures: str) -> float | None:
    """1 or 0: whether the first verifier that measures `accuracy` or `format` gave its full mark; None without one."""
    for name, value in score.parts.items():
        entry = verifier(name)
        if entry.measures == measures:
            return float(value >= entry.full_mark)
    return None
