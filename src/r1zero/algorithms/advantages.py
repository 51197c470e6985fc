"""Advantages from an experience. S responses, N tokens; all float64."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from r1zero.types import Credit, Experience

_GROUP_EPSILON = 1e-6
_STEP_EPSILON = 1e-8


def group_normalised(rewards: np.ndarray) -> np.ndarray:
    """A_i = (r_i - mean(r)) / (std(r) + 1e-6), with the unbiased standard deviation (GRPO, arXiv 2402.03300).

    rewards [n] -> [n] float64, summing to zero; exactly zero when all rewards are equal.
    """
    centred = group_centred(rewards)
    return centred / (rewards.std(ddof=1) + _GROUP_EPSILON) if centred.any() else centred


def group_centred(rewards: np.ndarray) -> np.ndarray:
    """A_i = r_i - mean(r) (Dr. GRPO, arXiv 2503.20783). [n] -> [n]; exactly zero when all rewards are equal."""
    return np.zeros_like(rewards) if np.ptp(rewards) == 0 else rewards - rewards.mean()


def leave_one_out(rewards: np.ndarray) -> np.ndarray:
    """A_i = r_i - mean of the others (RLOO, arXiv 2402.14740). [n] -> [n], n at least 2."""
    return group_centred(rewards) * (len(rewards) / (len(rewards) - 1))


def per_group(advantages: Callable[[np.ndarray], np.ndarray]) -> Callable[[Experience], Credit]:
    """A function of the rewards of one group, as one of an experience: every token has its response's advantage."""

    def of_experience(experience: Experience) -> Credit:
        return Credit(advantages=np.repeat(by_group(experience, advantages), experience.lengths))

    return of_experience


def by_group(experience: Experience, advantages: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """[S]: `advantages` of each group's outcomes."""
    result = outcomes(experience)
    for group in np.unique(experience.groups):
        members = experience.groups == group
        result[members] = advantages(result[members])
    return result


def outcomes(experience: Experience) -> np.ndarray:
    """[S]: what each response earned, less the sum of its tokens' penalties."""
    if experience.penalties is None:
        return experience.rewards.astype(np.float64)
    owners = np.repeat(np.arange(len(experience.lengths)), experience.lengths)
    return experience.rewards - np.bincount(owners, experience.penalties, len(experience.lengths))


def token_rewards(experience: Experience) -> np.ndarray:
    """[N]: a response's reward on its last token, and every token's penalty on itself."""
    count = int(experience.lengths.sum())
    rewards = np.zeros(count) if experience.penalties is None else -experience.penalties
    present = experience.lengths > 0
    rewards[np.cumsum(experience.lengths)[present] - 1] += experience.rewards[present]
    return rewards


def generalised(
    rewards: np.ndarray, values: np.ndarray, lengths: np.ndarray, *, gamma: float, gae_lambda: float
) -> np.ndarray:
    """A_t = sum over l of (gamma lambda)^l delta_{t+l} with delta_t = r_t + gamma V_{t+1} - V_t, and V = 0 after the
    last token (GAE, arXiv 1506.02438). rewards, values [N], lengths [S] -> [N].

    With gamma = lambda = 1 it is the reward to come minus the value; with values of 0 and lambda = 1, the discounted
    reward to come.
    """
    advantages = np.zeros(len(rewards))
    ends = np.cumsum(lengths)
    next_value, next_advantage = np.zeros(len(lengths)), np.zeros(len(lengths))
    for back in range(1, int(lengths.max(initial=0)) + 1):  # from the last tokens of all responses to the first
        present = lengths >= back
        at = ends[present] - back
        delta = rewards[at] + gamma * next_value[present] - values[at]
        advantages[at] = delta + gamma * gae_lambda * next_advantage[present]
        next_value[present], next_advantage[present] = values[at], advantages[at]
    return advantages


def whitened(advantages: np.ndarray) -> np.ndarray:
    """(A - mean) / (std + 1e-8) over all tokens of the step. [N] -> [N]; exactly zero when all are equal."""
    if advantages.size == 0 or np.ptp(advantages) == 0:
        return np.zeros_like(advantages)
    return (advantages - advantages.mean()) / (advantages.std() + _STEP_EPSILON)
