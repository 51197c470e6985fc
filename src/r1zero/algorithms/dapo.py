"""DAPO (arXiv 2503.14476): clip-higher, token-level loss, dynamic sampling. Its soft overlong punishment is
`rewards.truncated: penalise` with `rewards.overlong_tokens`."""

from __future__ import annotations

from functools import partial

import numpy as np

from r1zero import config
from r1zero.algorithms.advantages import group_normalised, per_group
from r1zero.algorithms.base import Algorithm, refuse_groups_of_one
from r1zero.algorithms.losses import clipped_surrogate
from r1zero.types import Group


def dapo(settings: config.Algorithm) -> Algorithm:
    """GRPO on groups that differ only; prompts are sampled until there are enough of them."""
    refuse_groups_of_one(settings)
    return Algorithm(
        settings=settings,
        advantages=per_group(group_normalised),
        surrogate=clipped_surrogate,
        keep=partial(differs, by=settings.filter_by),
        refills=True,
        uses=frozenset({"filter_by", "max_rounds"}),
    )


def differs(group: Group, earned: np.ndarray, *, by: str) -> bool:
    """Whether the group's rollouts have different values of a verifier, or earned [n] different rewards: those of the
    loss, after `rewards.truncated`."""
    values = set(earned) if by == "reward" else {rollout.score.parts[by] for rollout in group.rollouts}
    return group.verifiable and len(values) > 1


ALGORITHMS = {"dapo": dapo}
