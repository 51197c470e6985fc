"""Held-out accuracy: pass@1 as the mean of several samples, and greedy."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from r1zero import config
from r1zero.base.log import Progress
from r1zero.config import Evaluation
from r1zero.data.problems import Rejected, read_problems
from r1zero.data.prompts import to_prompts
from r1zero.engine.base import RolloutEngine
from r1zero.engine.policy import Policy
from r1zero.grading import rollouts
from r1zero.grading.combine import Verifiers
from r1zero.grading.reference import verifiable
from r1zero.grading.scorer import Scorer
from r1zero.types import Group, Prompt, Sampling


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Numbers of an evaluation and the groups behind them; `greedy` is empty where it was not asked for."""

    metrics: dict[str, float]
    sampled: Sequence[Group]
    greedy: Sequence[Group]


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluator:
    """A held-out set with everything needed to grade it. Of `sampling`, length and stops are those of training."""

    settings: Evaluation
    verifiers: Verifiers
    prompts: Sequence[Prompt]
    sampling: Sampling
    decode: Callable[[Any], str]

    def run(self, engine: RolloutEngine, pool: Scorer, *, seed: int, check: Callable[[], None]) -> Report:
        """Grade every problem. `check` is called between groups and may raise to stop."""
        sampled = self._answers(engine, pool, self.settings.samples, self.settings.temperature, seed, check)
        greedy = self._answers(engine, pool, 1, 0.0, seed, check) if self.settings.greedy else []
        metrics = {f"evaluation/{name}": value for name, value in rollouts.summary(sampled, self.verifiers).items()}
        metrics["evaluation/problems"] = len(self.prompts)
        if greedy:
            accuracy = rollouts.summary(greedy, self.verifiers)
            metrics["evaluation/greedy_accuracy"] = accuracy.get("accuracy", accuracy["reward"])
        return Report(metrics=metrics, sampled=sampled, greedy=greedy)

    def _answers(
        self, engine: RolloutEngine, pool: Scorer, n: int, temperature: float, seed: int, check: Callable[[], None]
    ) -> list[Group]:
        chosen = {
            "n": n,
            "temperature": temperature,
            "top_p": self.settings.top_p,
            "top_k": 0,
            "min_p": 0.0,
            "seed": seed,
        }
        sampling = replace(self.sampling, **chosen)
        progress = Progress("evaluating", len(self.prompts) * n, "answers")

        def on_group() -> None:
            progress.advance(n)
            check()

        pending = rollouts.sample(engine, pool, self.prompts, sampling, self.verifiers, self.decode, on_group)
        return rollouts.grade(self.prompts, pending, self.verifiers)


def evaluator_of(recipe: config.Recipe, policy: Policy, pool: Scorer) -> tuple[Evaluator, list[Rejected]]:
    """The held-out set of a recipe that has one, and its rows that cannot be used."""
    assert recipe.evaluation is not None
    verifiers = Verifiers.of(recipe)
    problems, rejected = read_problems(recipe.evaluation, "evaluation")
    problems, unverifiable = verifiable(problems, "evaluation", verifiers, pool)
    prompts, unusable = to_prompts(problems, recipe.data, policy.tokenizer, policy.rendered)
    evaluator = Evaluator(
        settings=recipe.evaluation,
        verifiers=verifiers,
        prompts=prompts,
        sampling=policy.sampling,
        decode=policy.decode,
    )
    return evaluator, [*rejected, *unverifiable, *unusable]
