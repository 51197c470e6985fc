"""Losses per token. N tokens of the K responses of a batch."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from r1zero import config
from r1zero.types import Batch, TokenLoss, TokenValues

_LARGEST_LOG_RATIO = 20.0  # exp of it is far outside every bound, and finite


def clipped_surrogate(logprobs: Tensor, old_logprobs: Tensor, batch: Batch, settings: config.Algorithm) -> TokenLoss:
    """max(-A r, -A clip(r, 1 - clip_low, 1 + clip_high)) with r = exp(log p - log p_old) (PPO, arXiv 1707.06347;
    unequal bounds: DAPO, arXiv 2503.14476). log-probabilities [N]."""
    return clipped(bounded_exp(logprobs - old_logprobs), batch.advantages, settings)


def bounded_exp(log_ratio: Tensor) -> Tensor:
    """exp(log ratio) that stays finite: beyond e^20, far outside every clip range, the ratio is constant. Without that
    a summed log ratio of 89 is infinite, and the clipped branch's gradient 0 x inf = NaN. [N]."""
    return torch.exp(log_ratio.clamp(-_LARGEST_LOG_RATIO, _LARGEST_LOG_RATIO))


def clipped(ratio: Tensor, advantages: Tensor, settings: config.Algorithm) -> TokenLoss:
    """The clipped surrogate of a ratio, of tokens or of their responses. Both [N]."""
    low, high = 1 - settings.clip_low, 1 + settings.clip_high
    value = torch.maximum(-advantages * ratio, -advantages * ratio.clamp(low, high))
    metrics = {
        "clip_ratio/low": ((ratio < low) & (advantages < 0)).float(),
        "clip_ratio/high": ((ratio > high) & (advantages > 0)).float(),
    }
    return TokenLoss(value, metrics)


def sequence_sum(values: Tensor, batch: Batch) -> Tensor:
    """[N] -> [N]: each token gets the sum over its response."""
    total = values.new_zeros(len(batch.members)).index_add(0, batch.sequence_ids, values)
    return total[batch.sequence_ids]


def sequence_mean(values: Tensor, batch: Batch) -> Tensor:
    """[N] -> [N]: each token gets the mean over its response."""
    return sequence_sum(values, batch) / sequence_sum(torch.ones_like(values), batch)


def correction_weights(old_logprobs: Tensor, batch: Batch, settings: config.Correction) -> tuple[Tensor, Tensor]:
    """w = p_old / p_behaviour of the token, of the response (product), or the response's geometric mean; outside
    low..high truncated (TIS, fengyao.notion.site/off-policy-rl) or zero (MIS, IcePop). No gradient.

    The behaviour log-probability of a token is that of the policy version that sampled it, so a response of several
    versions is corrected like any other. Returns w and where it was out of bounds, both [N].
    """
    log_weight = old_logprobs.detach() - batch.behaviour_logprobs
    if settings.level == "sequence":
        log_weight = sequence_sum(log_weight, batch)
    elif settings.level == "geometric":
        log_weight = sequence_mean(log_weight, batch)
    weight = bounded_exp(log_weight)
    outside = (weight < settings.low) | (weight > settings.high)
    if settings.mode == "truncate":
        return weight.clamp(settings.low, settings.high), outside
    return weight.masked_fill(outside, 0.0), outside


def clipped_value_loss(predicted: TokenValues, batch: Batch, clip: float | None) -> TokenLoss:
    """1/2 max((V - R)^2, (V_old + clip(V - V_old, -clip, clip) - R)^2) (arXiv 1506.02438 by way of OpenAI baselines, as
    in MindSpeed-RL and Open-Reasoner-Zero); without a clip 1/2 (V - R)^2. [N]."""
    assert batch.values is not None and batch.returns is not None
    error = (predicted.values - batch.returns) ** 2
    metrics = {"value": predicted.values.detach(), "return": batch.returns}
    if clip is None:
        return TokenLoss(0.5 * error, metrics)
    near = batch.values + (predicted.values - batch.values).clamp(-clip, clip)
    near_error = (near - batch.returns) ** 2
    metrics["clip_ratio"] = (near_error > error).detach().float()
    return TokenLoss(0.5 * torch.maximum(error, near_error), metrics)


def negative_log_likelihood(logprobs: Tensor) -> Tensor:
    """-log p: the loss of pretraining and supervised fine-tuning."""
    return -logprobs


LossMean = Literal["token", "sequence", "constant"]
