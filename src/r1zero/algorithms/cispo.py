"""CISPO (MiniMax-M1, arXiv 2506.13585): clip the importance weight, never the token: every token keeps its gradient."""

from __future__ import annotations

from torch import Tensor

from r1zero import config
from r1zero.algorithms.advantages import group_normalised, per_group
from r1zero.algorithms.base import Algorithm, refuse_groups_of_one
from r1zero.algorithms.losses import bounded_exp
from r1zero.types import Batch, TokenLoss


def cispo(settings: config.Algorithm) -> Algorithm:
    """Group-normalised advantages; `clip_low: 1` leaves the weight without a lower bound, as the paper does."""
    refuse_groups_of_one(settings)
    return Algorithm(
        settings=settings,
        advantages=per_group(group_normalised),
        surrogate=weighted_policy_gradient,
    )


def weighted_policy_gradient(
    logprobs: Tensor, old_logprobs: Tensor, batch: Batch, settings: config.Algorithm
) -> TokenLoss:
    """-w A log p with w = clip(p / p_old, 1 - clip_low, 1 + clip_high) without gradient. [N]."""
    ratio = bounded_exp(logprobs - old_logprobs).detach()
    low, high = 1 - settings.clip_low, 1 + settings.clip_high
    metrics = {"clip_ratio/low": (ratio < low).float(), "clip_ratio/high": (ratio > high).float()}
    return TokenLoss(-ratio.clamp(low, high) * batch.advantages * logprobs, metrics)


ALGORITHMS = {"cispo": cispo}
