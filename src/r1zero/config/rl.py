"""The keys of a recipe. Every batch-like key says what it counts; a key exists only if two recipes differ on it.

Values are never written after construction; derived numbers are methods. Checks that need two keys are in `conflicts`,
which names keys and remedies, so that `load.py` can add the file and line.
"""

from __future__ import annotations

from r1zero.config.algorithm import Algorithm
from r1zero.config.data import Data, Evaluation
from r1zero.config.model import Model
from r1zero.config.optimization import Critic, Trainer
from r1zero.config.rewards import Rewards, named_twice
from r1zero.config.rollout import Rollout
from r1zero.config.run import Logging, Run
from r1zero.config.section import Conflicts, Section

_FILTERS = {"top_k": 0, "top_p": 1.0, "min_p": 0.0}  # of sampling, and what switches each off
# of sampling, and what switches each off


class Recipe(Section):
    """Reinforcement learning: `r1zero train`."""

    run: Run
    model: Model
    data: Data
    evaluation: Evaluation | None = None
    rewards: Rewards = Rewards()
    algorithm: Algorithm
    rollout: Rollout
    trainer: Trainer
    critic: Critic | None = None
    logging: Logging = Logging()

    def updates_per_step(self) -> int:
        """Optimizer steps that one batch of rollouts feeds."""
        return self.trainer.minibatches * self.trainer.epochs

    def rollouts_per_step(self) -> int:
        return self.trainer.prompts_per_step * self.algorithm.group_size

    def arithmetic(self) -> str:
        prompts, group, updates = self.trainer.prompts_per_step, self.algorithm.group_size, self.updates_per_step()
        return (
            f"a step: {prompts} prompts x {group} samples = {self.rollouts_per_step()} rollouts, {updates} optimizer "
            f"step{'s' * (updates > 1)} of {self.rollouts_per_step() // self.trainer.minibatches} rollouts each"
        )

    def conflicts(self) -> Conflicts:
        return [
            *self.data.conflicts(),
            *self.model.conflicts("model"),
            *self.rollout.conflicts("rollout"),
            *self.trainer.conflicts("trainer"),
            *(self.critic.conflicts("critic") if self.critic else ()),
            *self._batch_conflicts(),
            *self._reward_conflicts(),
            *self._algorithm_conflicts(),
        ]

    def _batch_conflicts(self) -> Conflicts:
        found: Conflicts = []
        prompts, minibatches = self.trainer.prompts_per_step, self.trainer.minibatches
        if prompts % minibatches:
            found.append(
                (
                    "trainer.minibatches",
                    f"does not divide trainer.prompts_per_step = {prompts}; choose one of {_divisors(prompts)}",
                )
            )
        if self.critic is not None and self.critic.minibatches > prompts:
            found.append(
                (
                    "critic.minibatches",
                    f"is more than trainer.prompts_per_step = {prompts}; a group is never cut, so lower it",
                )
            )
        longest = self.data.max_prompt_tokens + self.rollout.max_new_tokens
        for section, settings in (("trainer", self.trainer), ("critic", self.critic)):
            if settings is not None and settings.tokens_per_pack < longest:
                found.append(
                    (
                        f"{section}.tokens_per_pack",
                        f"cannot hold one rollout of data.max_prompt_tokens + rollout.max_new_tokens = {longest} "
                        f"tokens; set it to at least {longest}",
                    )
                )
        return found

    def _reward_conflicts(self) -> Conflicts:
        found: Conflicts = []
        names, weights = self.rewards.verifier_function, len(self.rewards.verifier_weight)
        if len(names) != weights:
            found.append(("rewards.verifier_weight", f"has {weights} values for {len(names)} verifiers; give one each"))
        found += named_twice("rewards.verifier_function", names)
        for number, source in enumerate(self.data.sources):
            found += named_twice(f"data.sources.{number}.verifiers", source.verifiers)
        named = {*names, *(name for source in self.data.sources for name in source.verifiers)}
        for name in ("reward_model", "process_reward"):
            used, described = name in named, getattr(self.rewards, name) is not None
            if used and not described:
                found.append(("rewards.verifier_function", f"names {name}; say which model as rewards.{name}.path"))
            if described and not used:
                found.append((f"rewards.{name}.path", f"is not used; add {name} to rewards.verifier_function"))
        process = self.rewards.process_reward
        if process is not None and bool(process.good_token) != bool(process.bad_token):
            found.append(("rewards.process_reward.good_token", "needs a bad_token to be compared with, and vice versa"))
        overlong, longest = self.rewards.overlong_tokens, self.rollout.max_new_tokens
        if overlong and self.rewards.truncated != "penalise":
            found.append(("rewards.overlong_tokens", "only works with rewards.truncated: penalise; set that or 0"))
        if overlong >= longest:
            found.append(("rewards.overlong_tokens", f"must be less than rollout.max_new_tokens = {longest}; lower it"))
        filter_by = self.algorithm.filter_by
        if filter_by not in ("reward", *names):
            found.append(("algorithm.filter_by", f"is not 'reward' or one of {list(names)}; choose one of them"))
        for number, source in enumerate(self.data.sources):
            if source.verifiers and filter_by not in ("reward", *source.verifiers):
                found.append(
                    (
                        "algorithm.filter_by",
                        f"is not among data.sources.{number}.verifiers; add it there (its "
                        f"weight may be 0), or set reward",
                    )
                )
        return found

    def _algorithm_conflicts(self) -> Conflicts:
        found: Conflicts = []
        settings = self.algorithm
        if self.evaluation is not None and self.evaluation.ema and self.trainer.ema is None:
            found.append(("evaluation.ema", "there is no average; set trainer.ema, for example 0.99"))
        if settings.kl_target is not None and not settings.kl:
            found.append(("algorithm.kl_target", "needs a coefficient to start from; set algorithm.kl above 0"))
        if settings.kl_in == "loss" and settings.kl_estimator == "k1" and settings.kl:
            found.append(
                (
                    "algorithm.kl_estimator",
                    "k1 in the loss has an expected gradient of zero and penalises nothing; choose k2 or k3, or set "
                    "algorithm.kl_in: reward",
                )
            )
        filters = [name for name, off in _FILTERS.items() if getattr(self.rollout, name) != off]
        if settings.correction.level != "none" and filters:
            found.append(
                (
                    "algorithm.correction.level",
                    f"needs the probabilities that were sampled from, which rollout.{filters[0]} changes; switch the "
                    f"filter off, or set none",
                )
            )
        if settings.kl_in == "reward" and settings.kl is None:
            found.append(("algorithm.kl_in", "needs a coefficient; set algorithm.kl"))
        if settings.correction.low > settings.correction.high:
            found.append(
                (
                    "algorithm.correction.low",
                    f"is above algorithm.correction.high = {settings.correction.high:g}; swap them",
                )
            )
        return found


def _divisors(number: int) -> list[int]:
    return [divisor for divisor in range(1, number + 1) if number % divisor == 0]
