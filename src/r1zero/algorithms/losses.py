"""Policy losses per token."""

from __future__ import annotations

import torch
from torch import Tensor


def clipped_surrogate(
    logprobs: Tensor, old_logprobs: Tensor, advantages: Tensor, *, clip_low: float, clip_high: float
) -> tuple[Tensor, Tensor]:
    """max(-A r, -A clip(r, 1 - clip_low, 1 + clip_high)) with r = exp(log p - log p_old) (PPO, arXiv 1707.06347;
    unequal bounds: DAPO, arXiv 2503.14476).

    All [N]. Returns the loss and the ratio.
    """
    ratio = torch.exp(logprobs - old_logprobs)
    clipped = ratio.clamp(1 - clip_low, 1 + clip_high)
    return torch.maximum(-advantages * ratio, -advantages * clipped), ratio


def negative_log_likelihood(logprobs: Tensor) -> Tensor:
    """-log p: the loss of pretraining and supervised fine-tuning."""
    return -logprobs
