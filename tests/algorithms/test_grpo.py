"""GRPO against a float64 reference written from the formula, and its properties."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from r1zero.algorithms import build
from r1zero.algorithms.advantages import group_normalised
from r1zero.algorithms.kl import ESTIMATORS
from r1zero.base.errors import UsageError
from r1zero.config import Algorithm
from r1zero.types import Batch, TokenLogprobs

REWARDS = st.lists(st.floats(-2, 2, width=16), min_size=2, max_size=16).map(np.array)


@given(REWARDS)
def test_advantages_sum_to_zero_and_equal_rewards_give_none(rewards: np.ndarray) -> None:
    assert abs(group_normalised(rewards).sum()) < 1e-9
    assert not group_normalised(np.full(5, rewards[0])).any()


def test_advantages_by_hand() -> None:
    # mean 0.5, unbiased variance (3 * 0.25 + 0.25) / 3 = 1/3
    expected = 0.5 / (math.sqrt(1 / 3) + 1e-6)
    assert group_normalised(np.array([1.0, 0.0, 0.0, 1.0])) == pytest.approx([expected, -expected, -expected, expected])


def batch_of(count: int, seed: int, old: bool, reference: bool) -> Batch:
    torch.manual_seed(seed)
    return Batch(
        token_ids=torch.zeros(0),
        positions=torch.zeros(0),
        segments=(),
        predictors=torch.zeros(0),
        targets=torch.zeros(count),
        members=(0,),
        sequence_ids=torch.zeros(count, dtype=torch.int64),
        weight=torch.full((count,), 1 / count),
        advantages=torch.randn(count),
        behaviour_logprobs=torch.randn(count) - 3,
        old_logprobs=torch.randn(count) * 0.3 - 2 if old else None,
        reference_logprobs=torch.randn(count) * 0.5 - 2 if reference else None,
    )


def reference_loss(logp: Tensor, entropy: Tensor, batch: Batch, settings: Algorithm) -> Tensor:
    """The objective token by token in float64, as written in the papers."""
    total = torch.zeros((), dtype=torch.float64)
    for token in range(len(logp)):
        advantage = batch.advantages[token].double()
        old = logp[token].detach() if batch.old_logprobs is None else batch.old_logprobs[token].double()
        ratio = torch.exp(logp[token] - old)
        low, high = 1 - settings.clip_low, 1 + settings.clip_high
        objective = torch.minimum(ratio * advantage, torch.clamp(ratio, low, high) * advantage)
        if settings.kl is not None:
            assert batch.reference_logprobs is not None
            log_ratio = batch.reference_logprobs[token].double() - logp[token]
            kl = {
                "k1": -log_ratio,
                "k2": log_ratio**2 / 2,
                "k3": torch.exp(log_ratio) - log_ratio - 1,
            }[settings.kl_estimator]
            objective = objective - settings.kl * kl
        objective = objective + settings.entropy * entropy[token]
        total = total - objective / len(logp)
    return total


@pytest.mark.parametrize("estimator", ["k1", "k2", "k3"])
@pytest.mark.parametrize("kl", [None, 0.0, 0.04])
@pytest.mark.parametrize("old", [False, True])
@pytest.mark.parametrize("entropy_coefficient", [0.0, 0.01])
def test_loss_and_gradient(estimator: str, kl: float | None, old: bool, entropy_coefficient: float) -> None:
    settings = Algorithm(
        name="grpo",
        group_size=8,
        clip_low=0.2,
        clip_high=0.28,
        kl=kl,
        kl_estimator=estimator,
        entropy=entropy_coefficient,  # pyright: ignore
    )
    batch = batch_of(200, seed=3, old=old, reference=kl is not None)
    logp, entropy = torch.randn(200) * 0.4 - 2, torch.rand(200) * 3
    exact = [logp.double().requires_grad_(), entropy.double().requires_grad_()]
    expected = reference_loss(*exact, batch, settings)
    expected.backward()
    ours = [logp.clone().requires_grad_(), entropy.clone().requires_grad_()]
    result = build(settings).loss(TokenLogprobs(*ours), batch)
    value = (result.value * batch.weight).sum()
    value.backward()
    assert float(value.detach()) == pytest.approx(float(expected.detach()), abs=1e-6)
    for mine, reference in zip(ours, exact, strict=True):
        if reference.grad is not None and reference.grad.any():
            assert mine.grad is not None
            torch.testing.assert_close(mine.grad.double(), reference.grad, atol=1e-6, rtol=0)
        else:
            assert mine.grad is None or not mine.grad.any()


def test_gradient_at_ratio_one_is_reinforce() -> None:
    batch = batch_of(50, seed=0, old=False, reference=False)
    logp = (torch.randn(50) - 2).requires_grad_()
    (
        build(Algorithm(name="grpo", group_size=4)).loss(TokenLogprobs(logp, torch.zeros(50)), batch).value
        * batch.weight
    ).sum().backward()
    assert logp.grad is not None
    torch.testing.assert_close(logp.grad, -batch.advantages * batch.weight)


@settings(max_examples=100)
@given(st.floats(-1, 1), st.floats(0.05, 0.5), st.floats(0.05, 0.5), st.sampled_from([-1.5, 1.5]))
def test_nothing_flows_outside_the_clip_range(log_ratio: float, low: float, high: float, advantage: float) -> None:
    ratio = math.exp(log_ratio)
    outside = ratio > 1 + high + 1e-6 if advantage > 0 else ratio < 1 - low - 1e-6
    inside = ratio < 1 + high - 1e-6 if advantage > 0 else ratio > 1 - low + 1e-6
    batch = batch_of(1, seed=0, old=True, reference=False)
    assert batch.old_logprobs is not None
    batch.advantages[0] = advantage
    logp = (batch.old_logprobs + log_ratio).requires_grad_()
    settings = Algorithm(name="grpo", group_size=4, clip_low=low, clip_high=high)
    build(settings).loss(TokenLogprobs(logp, torch.zeros(1)), batch).value.sum().backward()
    assert logp.grad is not None
    if outside:
        assert float(logp.grad[0]) == 0
    if inside:
        assert float(logp.grad[0]) != 0


def test_k3_is_never_negative_and_survives_far_apart_policies() -> None:
    logp, reference = torch.tensor([-1.0, -200.0, -0.1]), torch.tensor([-1.0, -0.1, -200.0])
    values = ESTIMATORS["k3"](logp, reference)
    assert (values >= 0).all() and values.isfinite().all() and values[0] == 0


def test_unknown_algorithm() -> None:
    with pytest.raises(UsageError, match="algorithm.name = 'grop': unknown algorithm; did you mean 'grpo'?"):
        build(Algorithm(name="grop", group_size=2))
