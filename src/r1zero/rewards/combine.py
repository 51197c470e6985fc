"""Several verifiers make one score: reward = sum of weight x value. Which ones, the problem's source may say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field

from r1zero.config import Recipe
from r1zero.rewards.catalog import verifier
from r1zero.rewards.pool import ScorerPool
from r1zero.types import Problem, Score, Verdict

_WORST_FIRST: Sequence[Verdict] = ("unverifiable", "timeout", "error", "graded")


@dataclass(frozen=True, slots=True)
class Verifiers:
    """Weights of verifiers by name, for all problems and for those of some sources."""

    default: Mapping[str, float]
    by_source: Mapping[str, Mapping[str, float]] = field(default_factory=dict)

    @classmethod
    def of(cls, recipe: Recipe) -> Verifiers:
        """What a recipe says in `rewards` and `data.sources`. Raises UsageError for a verifier that does not exist."""
        rewards = recipe.rewards
        for name in rewards.verifier_function:
            verifier(name)
        for number, source in enumerate(recipe.data.sources):
            for name in source.verifiers:
                verifier(name, f"data.sources.{number}.verifiers")
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


def submit(pool: ScorerPool, verifiers: Verifiers, problem: Problem, text: str) -> dict[str, Future[Score]]:
    """Ask every verifier of a problem; `combined` waits for the answers."""
    return {name: pool.submit(name, problem, text) for name in verifiers.of_problem(problem)}


def combined(verifiers: Verifiers, problem: Problem, pending: Mapping[str, Future[Score]]) -> Score:
    """The weighted sum, with the worst verdict. A verifier that failed on a response contributes 0."""
    scores = {name: future.result() for name, future in pending.items()}
    weights = verifiers.of_problem(problem)
    verdicts = {score.verdict for score in scores.values()}
    return Score(
        value=sum(weights[name] * score.value for name, score in scores.items()),
        parts={name: score.value for name, score in scores.items()},
        verdict=next(verdict for verdict in _WORST_FIRST if verdict in verdicts),
        detail="; ".join(f"{name}: {score.detail}" for name, score in scores.items() if score.detail),
    )


def full_marks(verifiers: Verifiers, problem: Problem, score: Score, measures: str) -> float | None:
    """1 or 0: whether the first verifier that measures `accuracy` or `format` gave its full mark; None without one."""
    name = verifiers.first(problem, measures)
    return None if name is None else float(score.parts[name] >= verifier(name).full_mark)
