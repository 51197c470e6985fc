"""Dr. GRPO (arXiv 2503.20783): no division by the group's standard deviation, none by the response's length."""

from __future__ import annotations

from r1zero import config
from r1zero.algorithms.advantages import group_centred, per_group
from r1zero.algorithms.base import Algorithm, refuse_groups_of_one
from r1zero.algorithms.losses import clipped_surrogate


def dr_grpo(settings: config.Algorithm) -> Algorithm:
    """Centred advantages; each response is the sum of its tokens over a constant, rollout.max_new_tokens."""
    refuse_groups_of_one(settings)
    return Algorithm(
        settings=settings,
        advantages=per_group(group_centred),
        surrogate=clipped_surrogate,
        loss_mean="constant",
    )


ALGORITHMS = {"dr_grpo": dr_grpo}
