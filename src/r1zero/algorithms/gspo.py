"""GSPO (arXiv 2507.18071): the ratio and its clipping belong to the response, normalised by its length."""

from __future__ import annotations

from torch import Tensor

from r1zero import config
from r1zero.algorithms.advantages import group_normalised, per_group
from r1zero.algorithms.base import Algorithm, refuse_groups_of_one
from r1zero.algorithms.losses import bounded_exp, clipped, sequence_mean
from r1zero.types import Batch, TokenLoss


def gspo(settings: config.Algorithm) -> Algorithm:
    """Group-normalised advantages; clip ranges are around 3e-4 and 4e-4."""
    refuse_groups_of_one(settings)
    return Algorithm(
        settings=settings,
        advantages=per_group(group_normalised),
        surrogate=sequence_surrogate,
        loss_mean="sequence",
    )


def sequence_surrogate(logprobs: Tensor, old_logprobs: Tensor, batch: Batch, settings: config.Algorithm) -> TokenLoss:
    """The clipped surrogate with s = (p(response) / p_old(response))^(1 / length), on each of its tokens."""
    return clipped(bounded_exp(sequence_mean(logprobs - old_logprobs, batch)), batch.advantages, settings)


ALGORITHMS = {"gspo": gspo}
