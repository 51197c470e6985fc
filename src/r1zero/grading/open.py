"""From a recipe's rewards to one scorer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import Any

from r1zero import config
from r1zero.base.device import Device
from r1zero.grading.batched import BatchScorer
from r1zero.grading.combine import Verifiers
from r1zero.grading.scorer import Scorer, rule_scorer
from r1zero.types import Problem, Score


class Routed:
    """Each verifier to the scorer that knows it; closes them all, the first named first."""

    def __init__(self, by_name: Mapping[str, Scorer], others: Scorer) -> None:
        self._by_name, self._others = by_name, others

    def submit(self, name: str, problem: Problem, text: str) -> Future[Score]:
        """See `Scorer`."""
        return self._by_name.get(name, self._others).submit(name, problem, text)

    def close(self, *, abandon: bool = False) -> None:
        """See `Scorer`."""
        for scorer in (*self._by_name.values(), self._others):
            scorer.close(abandon=abandon)

    def __enter__(self) -> Routed:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: Any) -> None:
        self.close(abandon=kind is not None)


def open_scorer(recipe: config.Recipe, device: Device) -> Scorer:
    """Everything that scores in a run: rules here or remote, re-checked by a judge if the recipe names one, and reward
    models. Raises UsageError for a model or a server that cannot be used."""
    rewards = recipe.rewards
    models = {name: BatchScorer(name, score, size) for name, (score, size) in _models(recipe, device).items()}
    try:
        rules = rule_scorer(rewards)
        if rewards.judge is not None:
            from r1zero.grading.judge import Judged, open_judge

            rules = Judged(rules, open_judge(rewards.judge, device))
    except BaseException:
        for scorer in models.values():
            scorer.close()
        raise
    return Routed(models, rules) if models else rules


def _models(recipe: config.Recipe, device: Device) -> dict[str, tuple[Callable[..., list[Score]], int]]:
    """How to score and how many at once, for the reward models that the recipe uses."""
    from r1zero.grading import reward_model

    names, rewards = Verifiers.of(recipe).names(), recipe.rewards
    found: dict[str, tuple[Callable[..., list[Score]], int]] = {}
    # padding changes the last bits, and what is in a batch depends on the clock
    largest = 1 if recipe.run.deterministic else 2**31
    if "reward_model" in names and rewards.reward_model is not None:
        outcome = reward_model.OutcomeModel.load(rewards.reward_model, device)
        found["reward_model"] = outcome.score, min(largest, rewards.reward_model.batch_size)
    if "process_reward" in names and rewards.process_reward is not None:
        process = reward_model.ProcessModel.load(rewards.process_reward, device)
        found["process_reward"] = process.score, min(largest, rewards.process_reward.batch_size)
    return found
