"""KL(policy || reference): estimators from single samples of the policy (http://joschu.net/blog/kl-approx.html), and
the coefficient that goes with them."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

_LARGEST_LOG_RATIO = 20.0  # exp of more than this drowns every other token (as in MindSpeed-RL's and verl's low_var_kl)
_LARGEST_ERROR = 0.2


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


def adapted(coefficient: float, kl: float, *, target: float, rollouts: int, horizon: int) -> float:
    """The coefficient after `rollouts` whose mean KL per token was `kl`: c (1 + clip(kl / target - 1, -0.2, 0.2)
    rollouts / horizon) (arXiv 1909.08593, section 2.2)."""
    error = min(max(kl / target - 1, -_LARGEST_ERROR), _LARGEST_ERROR)
    return coefficient * (1 + error * min(1.0, rollouts / horizon))
