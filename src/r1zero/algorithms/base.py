"""What the loop asks of an algorithm. No function here or in a sibling touches a device, a file or a process group."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from r1zero import config
from r1zero.algorithms.kl import ESTIMATORS
from r1zero.algorithms.losses import LossMean, correction_weights
from r1zero.base.errors import UsageError
from r1zero.types import Batch, Credit, Experience, Group, TokenLogprobs, TokenLoss

Surrogate = Callable[[Tensor, Tensor, Batch, config.Algorithm], TokenLoss]


def verifiable(group: Group, earned: np.ndarray) -> bool:
    """A group whose answer nothing could judge has no signal."""
    return group.verifiable


def refuse_groups_of_one(settings: config.Algorithm) -> None:
    """Raises UsageError where the mean of a group of one would be the baseline of its only reward."""
    if settings.group_size < 2:
        raise UsageError(
            f"algorithm.group_size = 1: the baseline of {settings.name} is the mean of the group, so every "
            f"advantage would be 0; set at least 2, or choose reinforce_plus_plus or ppo"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Algorithm:
    """A frozen value of pure functions.

    advantages     what every token of a step's experience is worth
    surrogate      (log p [N], log p_old [N], batch, settings) -> the policy's loss per token; zero gradient where the
                   advantage is zero
    loss_mean      what the loss is a mean over, unless the recipe says otherwise
    keep           (group, what its n responses earned in the loss) -> whether it is trained on
    refills        whether prompts are sampled until enough groups are kept
    needs_critic   whether `advantages` reads `experience.values`
    uses           settings beside the common ones that the algorithm reads; any other must be left at its default
    """

    settings: config.Algorithm
    advantages: Callable[[Experience], Credit]
    surrogate: Surrogate
    loss_mean: LossMean = "token"
    keep: Callable[[Group, np.ndarray], bool] = verifiable
    refills: bool = False
    needs_critic: bool = False
    uses: frozenset[str] = frozenset()

    @property
    def mean(self) -> LossMean:
        return self.settings.loss_mean or self.loss_mean

    @property
    def needs_reference(self) -> bool:
        return self.settings.kl is not None

    @property
    def penalises_kl(self) -> bool:
        """Whether `experience.penalties` are needed, and for them the old log-probabilities."""
        return self.settings.kl_in == "reward" and bool(self.settings.kl)

    def learns_from(self, batch: Batch) -> bool:
        """Whether the batch can have a gradient; one that cannot needs no backward pass."""
        kl_in_loss = self.settings.kl_in == "loss" and bool(self.settings.kl)
        return kl_in_loss or bool(self.settings.entropy) or bool(batch.advantages.any())

    def loss(self, policy: TokenLogprobs, batch: Batch) -> TokenLoss:
        """correction x surrogate + kl x KL(policy || reference) - entropy x H, per token.

        Where the batch carries no old log-probabilities it feeds exactly one update: the ratio is 1, with gradient.
        """
        settings = self.settings
        old = policy.logprobs.detach() if batch.old_logprobs is None else batch.old_logprobs
        surrogate = self.surrogate(policy.logprobs, old, batch, settings)
        value = surrogate.value
        metrics = {
            **surrogate.metrics,
            "entropy": policy.entropy.detach(),
            "rollout_kl": (batch.behaviour_logprobs - policy.logprobs).detach(),
        }
        if settings.correction.level != "none":
            weight, outside = correction_weights(old, batch, settings.correction)
            value = value * weight
            metrics |= {"correction/weight": weight, "correction/outside": outside.float()}
        if settings.kl is not None:
            assert batch.reference_logprobs is not None
            kl = ESTIMATORS[settings.kl_estimator](policy.logprobs, batch.reference_logprobs)
            metrics["kl"] = kl.detach()
            if settings.kl_in == "loss":
                value = value + settings.kl * kl
        if settings.entropy:
            value = value - settings.entropy * policy.entropy
        return TokenLoss(value, metrics)
