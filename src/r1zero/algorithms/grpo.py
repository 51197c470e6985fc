"""GRPO (DeepSeekMath, arXiv 2402.03300; R1-Zero, arXiv 2501.12948), with a token mean over the whole step."""

from __future__ import annotations

from r1zero import config
from r1zero.algorithms.advantages import group_normalised, per_group
from r1zero.algorithms.base import Algorithm, refuse_groups_of_one
from r1zero.algorithms.losses import clipped_surrogate


def grpo(settings: config.Algorithm) -> Algorithm:
    """Group-normalised advantages, clipped surrogate."""
    refuse_groups_of_one(settings)
    return Algorithm(
        settings=settings,
        advantages=per_group(group_normalised),
        surrogate=clipped_surrogate,
    )


ALGORITHMS = {"grpo": grpo}
