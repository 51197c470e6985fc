"""RLOO (arXiv 2402.14740): the whole response is one action, its baseline the mean reward of the other responses."""

from __future__ import annotations

from torch import Tensor

from r1zero import config
from r1zero.algorithms.advantages import leave_one_out, per_group
from r1zero.algorithms.base import Algorithm
from r1zero.algorithms.losses import bounded_exp, clipped, sequence_sum
from r1zero.base.errors import UsageError
from r1zero.types import Batch, TokenLoss


def rloo(settings: config.Algorithm) -> Algorithm:
    """Leave-one-out advantages; the ratio is the response's."""
    if settings.group_size < 2:
        raise UsageError("algorithm.group_size = 1: a leave-one-out baseline needs other rollouts; set at least 2")
    return Algorithm(
        settings=settings,
        advantages=per_group(leave_one_out),
        surrogate=response_surrogate,
        loss_mean="sequence",
    )


def response_surrogate(logprobs: Tensor, old_logprobs: Tensor, batch: Batch, settings: config.Algorithm) -> TokenLoss:
    """The clipped surrogate with r = p(response) / p_old(response), on each of its tokens: with the sequence mean every
    response counts once, and at ratio 1 the gradient is -A times that of its log-probability."""
    return clipped(bounded_exp(sequence_sum(logprobs - old_logprobs, batch)), batch.advantages, settings)


ALGORITHMS = {"rloo": rloo}
