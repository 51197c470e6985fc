"""Estimators of KL(policy || reference) from single samples of the policy (http://joschu.net/blog/kl-approx.html)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

_LARGEST_LOG_RATIO = 20.0  # exp of more than this drowns every other token (as in MindSpeed-RL's and verl's low_var_kl)


def k1(logprobs: Tensor, reference: Tensor) -> Tensor:
    """d = log p - log q: unbiased, high variance, may be negative."""
    return logprobs - reference


def k2(logprobs: Tensor, reference: Tensor) -> Tensor:
    """d^2 / 2: biased, low variance; its gradient is that of the KL itself."""
    return 0.5 * (logprobs - reference) ** 2


def k3(logprobs: Tensor, reference: Tensor) -> Tensor:
    """exp(-d) + d - 1: unbiased, low variance, never negative."""
    negative = (reference - logprobs).clamp(-_LARGEST_LOG_RATIO, _LARGEST_LOG_RATIO)
    return torch.exp(negative) - negative - 1


ESTIMATORS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"k1": k1, "k2": k2, "k3": k3}
