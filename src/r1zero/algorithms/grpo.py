"""GRPO (DeepSeekMath, arXiv 2402.03300; R1-Zero, arXiv 2501.12948), with a token mean over the whole step."""

from __future__ import annotations

from functools import partial

from r1zero import config
from r1zero.algorithms.advantages import group_normalised
from r1zero.algorithms.base import Algorithm
from r1zero.algorithms.kl import ESTIMATORS
from r1zero.algorithms.losses import clipped_surrogate
from r1zero.types import Batch, Group, TokenLogprobs, TokenLoss


def grpo(settings: config.Algorithm) -> Algorithm:
    """Group-normalised advantages, clipped surrogate, optional KL to the reference and entropy bonus."""
    return Algorithm(
        name="grpo",
        advantages=group_normalised,
        loss=partial(grpo_loss, settings=settings),
        keep=keep,
        needs_reference=settings.kl is not None,
        advantage_alone=not settings.kl and not settings.entropy,
    )


def keep(group: Group) -> bool:
    """A group whose answer nothing could judge has no signal."""
    return group.verifiable


def grpo_loss(policy: TokenLogprobs, batch: Batch, *, settings: config.Algorithm) -> TokenLoss:
    """clipped surrogate + kl * KL(policy || reference) - entropy * H, per token.

    Where the batch carries no old log-probabilities it feeds exactly one update: the ratio is 1, with gradient.
    """
    old = policy.logprobs.detach() if batch.old_logprobs is None else batch.old_logprobs
    value, ratio = clipped_surrogate(
        policy.logprobs, old, batch.advantages, clip_low=settings.clip_low, clip_high=settings.clip_high
    )
    metrics = {
        "entropy": policy.entropy.detach(),
        "clip_ratio/low": ((ratio < 1 - settings.clip_low) & (batch.advantages < 0)).float(),
        "clip_ratio/high": ((ratio > 1 + settings.clip_high) & (batch.advantages > 0)).float(),
        "rollout_kl": (batch.behaviour_logprobs - policy.logprobs).detach(),
    }
    if settings.kl is not None:
        assert batch.reference_logprobs is not None
        kl = ESTIMATORS[settings.kl_estimator](policy.logprobs, batch.reference_logprobs)
        value = value + settings.kl * kl
        metrics["kl"] = kl.detach()
    if settings.entropy:
        value = value - settings.entropy * policy.entropy
    return TokenLoss(value, metrics)
