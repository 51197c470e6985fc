"""Objectives as their papers write them: float64, one response and one token at a time. Nothing here is shared with
src/."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from r1zero.config import Algorithm


@dataclass(frozen=True, kw_only=True, eq=False)
class Response:
    """A response's learnable tokens."""

    logp: Tensor  # [M] float64
    old: Tensor  # [M] float64
    behaviour: Tensor
    reference: Tensor
    advantages: Tensor
    entropy: Tensor


def objective(responses: list[Response], settings: Algorithm, longest: int) -> Tensor:
    """What the algorithm minimises, with correction, KL and entropy."""
    total = torch.zeros((), dtype=torch.float64)
    tokens = sum(len(response.logp) for response in responses)
    for response in responses:
        size = len(response.logp)
        share = {
            "token": 1 / tokens,
            "sequence": 1 / (len(responses) * size),
            "constant": 1 / (len(responses) * longest),
        }[MEANS[settings.name]]
        for token in range(size):
            value = surrogate(response, token, settings) * correction(response, token, settings)
            value = value + penalty(response, token, settings)
            total = total + share * (value - settings.entropy * response.entropy[token])
    return total


MEANS = {
    "grpo": "token",
    "dapo": "token",
    "dr_grpo": "constant",
    "rloo": "sequence",
    "gspo": "sequence",
    "cispo": "token",
    "reinforce_plus_plus": "token",
    "reinforce_plus_plus_baseline": "token",
    "ppo": "token",
}


def surrogate(response: Response, token: int, settings: Algorithm) -> Tensor:
    log_ratios = response.logp - response.old
    low, high = 1 - settings.clip_low, 1 + settings.clip_high
    advantage = response.advantages[token]
    if settings.name == "cispo":
        weight = torch.exp(log_ratios[token].detach()).clamp(low, high)
        return -weight * advantage * response.logp[token]
    if settings.name == "rloo":  # p(y) / p_old(y)
        ratio = torch.exp(log_ratios.sum())
    elif settings.name == "gspo":  # (p(y) / p_old(y)) ^ (1 / |y|)
        ratio = torch.exp(log_ratios.sum()) ** (1 / len(log_ratios))
    else:
        ratio = torch.exp(response.logp[token]) / torch.exp(response.old[token])
    return -torch.minimum(ratio * advantage, torch.clamp(ratio, low, high) * advantage)


def correction(response: Response, token: int, settings: Algorithm) -> float:
    level, low, high = settings.correction.level, settings.correction.low, settings.correction.high
    ratios = torch.exp(response.old) / torch.exp(response.behaviour)
    if level == "none":
        return 1.0
    weight = {
        "token": lambda: float(ratios[token]),
        "sequence": lambda: float(ratios.prod()),
        "geometric": lambda: float(ratios.prod()) ** (1 / len(ratios)),
    }[level]()
    if settings.correction.mode == "mask":
        return weight if low <= weight <= high else 0.0
    return min(max(weight, low), high)


def penalty(response: Response, token: int, settings: Algorithm) -> Tensor:
    if not settings.kl or settings.kl_in == "reward":
        return torch.zeros((), dtype=torch.float64)
    difference = response.logp[token] - response.reference[token]
    kl = {
        "k1": difference,
        "k2": difference**2 / 2,
        "k3": torch.exp(-difference) + difference - 1,
    }[settings.kl_estimator]
    return settings.kl * kl


def value_loss(predicted: Tensor, old: Tensor, returns: Tensor, clip: float | None) -> Tensor:
    """Mean over tokens of 1/2 max((V - R)^2, (clipped V - R)^2)."""
    total = torch.zeros((), dtype=torch.float64)
    for v, before, target in zip(predicted, old, returns, strict=True):
        error = (v - target) ** 2
        if clip is not None:
            near = torch.minimum(torch.maximum(v, before - clip), before + clip)
            error = torch.maximum(error, (near - target) ** 2)
        total = total + error / 2 / len(predicted)
    return total
