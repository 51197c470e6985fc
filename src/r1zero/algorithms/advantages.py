"""Advantages from the rewards of a group."""

from __future__ import annotations

import numpy as np

_EPSILON = 1e-6


def group_normalised(rewards: np.ndarray) -> np.ndarray:
    """A_i = (r_i - mean(r)) / (std(r) + 1e-6), with the unbiased standard deviation (GRPO, arXiv 2402.03300).

    rewards [n] -> [n] float64, summing to zero; exactly zero when all rewards are equal.
    """
    centred = rewards - rewards.mean()
    if np.ptp(rewards) == 0:
        return np.zeros_like(centred)
    return centred / (rewards.std(ddof=1) + _EPSILON)
