"""Advantages of every algorithm against loops written from the papers, and their properties."""

from __future__ import annotations

import statistics
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from r1zero.algorithms import ALGORITHMS, build
from r1zero.algorithms.advantages import generalised, group_centred, group_normalised, leave_one_out
from r1zero.base.errors import UsageError
from r1zero.config import Algorithm
from r1zero.types import Experience

REWARDS = st.lists(st.floats(-2, 2, width=16), min_size=2, max_size=16).map(np.array)
WITHOUT_CRITIC = sorted(set(ALGORITHMS) - {"ppo"})


def experience(seed: int = 0, groups: int = 3, size: int = 4, penalties: bool = False) -> Experience:
    """Responses of 0 to 6 tokens, some of them with nothing to learn."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(0, 7, groups * size)
    count = int(lengths.sum())
    return Experience(
        groups=np.repeat(np.arange(groups), size),
        rewards=rng.choice([0.0, 0.2, 1.0], groups * size),
        lengths=lengths,
        penalties=rng.normal(0, 0.1, count) if penalties else None,
        values=rng.normal(0.4, 0.3, count),
    )


def advantages(name: str, learned: Experience, **changes: Any) -> np.ndarray:
    return build(Algorithm(name=name, group_size=4, **changes)).advantages(learned).advantages


def by_response(learned: Experience, values: np.ndarray) -> list[list[float]]:
    return [part.tolist() for part in np.split(values, np.cumsum(learned.lengths)[:-1])]


def totals(learned: Experience) -> list[float]:
    """What each response earned: its reward less its tokens' penalties."""
    if learned.penalties is None:
        return learned.rewards.tolist()
    parts = by_response(learned, learned.penalties)
    return [reward - sum(part) for reward, part in zip(learned.rewards, parts, strict=True)]


def group_reference(name: str, learned: Experience) -> list[list[float]]:
    """One advantage per response, repeated on its tokens."""
    earned = totals(learned)
    found = []
    for response, group in enumerate(learned.groups):
        mates = [earned[other] for other in range(len(earned)) if learned.groups[other] == group]
        mean = sum(mates) / len(mates)
        if name in ("grpo", "dapo", "gspo", "cispo"):
            advantage = (earned[response] - mean) / (statistics.stdev(mates) + 1e-6)
        elif name == "rloo":
            others = list(mates)
            others.remove(earned[response])
            advantage = earned[response] - sum(others) / len(others)
        else:
            advantage = earned[response] - mean
        found.append([advantage] * int(learned.lengths[response]))
    return found


def gae_reference(learned: Experience, gamma: float, lam: float, values: bool) -> list[list[float]]:
    """A_t = sum over l of (gamma lambda)^l (r_{t+l} + gamma V_{t+l+1} - V_{t+l}), response by response."""
    assert learned.values is not None
    count = int(learned.lengths.sum())
    penalties = by_response(learned, np.zeros(count) if learned.penalties is None else learned.penalties)
    expected = by_response(learned, learned.values if values else np.zeros(count))
    found = []
    for reward, penalty, value in zip(learned.rewards, penalties, expected, strict=True):
        size = len(value)
        rewards = [(reward if token == size - 1 else 0.0) - penalty[token] for token in range(size)]
        after = [*value[1:], 0.0]
        deltas = [rewards[token] + gamma * after[token] - value[token] for token in range(size)]
        found.append(
            [sum((gamma * lam) ** (later - now) * deltas[later] for later in range(now, size)) for now in range(size)]
        )
    return found


def whitened(parts: list[list[float]]) -> list[list[float]]:
    flat = [value for part in parts for value in part]
    mean, spread = statistics.fmean(flat), statistics.pstdev(flat)
    return [[(value - mean) / (spread + 1e-8) for value in part] for part in parts]


@pytest.mark.parametrize("penalties", [False, True])
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", sorted(ALGORITHMS))
def test_advantages_are_the_papers(name: str, seed: int, penalties: bool) -> None:
    learned = experience(seed, penalties=penalties)
    if name == "reinforce_plus_plus":
        expected = whitened(gae_reference(learned, 1.0, 1.0, values=False))
    elif name == "reinforce_plus_plus_baseline":
        expected = whitened(group_reference(name, learned))
    elif name == "ppo":
        expected = whitened(gae_reference(learned, 1.0, 1.0, values=True))
    else:
        expected = group_reference(name, learned)
    found = by_response(learned, advantages(name, learned))
    assert [len(part) for part in found] == learned.lengths.tolist()
    for mine, reference in zip(found, expected, strict=True):
        assert mine == pytest.approx(reference, abs=1e-9)


@pytest.mark.parametrize(("gamma", "lam"), [(1.0, 1.0), (0.99, 0.95), (1.0, 0.0), (0.9, 1.0)])
def test_generalised_advantages_and_returns(gamma: float, lam: float) -> None:
    learned = experience(4, penalties=True)
    credit = build(Algorithm(name="ppo", group_size=4, gamma=gamma, gae_lambda=lam, whiten=False)).advantages(learned)
    expected = [value for part in gae_reference(learned, gamma, lam, values=True) for value in part]
    assert credit.advantages == pytest.approx(expected, abs=1e-9)
    assert credit.returns is not None and learned.values is not None
    assert credit.returns == pytest.approx(np.array(expected) + learned.values, abs=1e-9)
    discounted = advantages("reinforce_plus_plus", learned, gamma=gamma)
    to_come = whitened(gae_reference(learned, gamma, 1.0, values=False))
    assert discounted == pytest.approx([value for part in to_come for value in part], abs=1e-9)


@given(st.lists(st.integers(0, 9), min_size=1, max_size=8), st.integers(0, 2**32 - 1))
def test_gae_with_lambda_and_gamma_1_is_reward_minus_value(lengths: list[int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    sizes, count = np.array(lengths), sum(lengths)
    outcome, values = rng.normal(size=len(lengths)), rng.normal(size=count)
    rewards = np.zeros(count)
    rewards[np.cumsum(sizes)[sizes > 0] - 1] = outcome[sizes > 0]
    found = generalised(rewards, values, sizes, gamma=1.0, gae_lambda=1.0)
    assert found == pytest.approx(np.repeat(outcome, sizes) - values, abs=1e-9)


@given(REWARDS)
def test_group_advantages_sum_to_zero(rewards: np.ndarray) -> None:
    for function in (group_normalised, group_centred, leave_one_out):
        assert abs(function(rewards).sum()) < 1e-9
        assert not function(np.full(5, rewards[0])).any()


@settings(max_examples=50)
@given(st.sampled_from(WITHOUT_CRITIC), st.floats(-3, 3), st.integers(0, 100))
def test_equal_rewards_teach_nothing(name: str, reward: float, seed: int) -> None:
    """And so there is no gradient: a surrogate's has the advantage as a factor (test_losses)."""
    drawn = experience(seed)
    equal = Experience(groups=drawn.groups, rewards=np.full(len(drawn.groups), reward), lengths=drawn.lengths)
    assert not advantages(name, equal).any()


@settings(max_examples=50)
@given(REWARDS, st.floats(-5, 5, width=16), st.floats(0.5, 4, width=16))
def test_normalised_advantages_do_not_depend_on_the_rewards_scale(rewards: np.ndarray, shift: float, scale: float):
    if rewards.std() > 0.01:
        assert group_normalised(rewards * scale + shift) == pytest.approx(group_normalised(rewards), abs=1e-3)
        assert group_centred(rewards * scale + shift) == pytest.approx(scale * group_centred(rewards), abs=1e-9)


def test_ppo_without_whitening_and_a_perfect_critic_has_nothing_to_learn() -> None:
    drawn = experience(1)
    perfect = Experience(
        groups=drawn.groups,
        rewards=drawn.rewards,
        lengths=drawn.lengths,
        values=np.repeat(drawn.rewards, drawn.lengths),
    )
    assert not advantages("ppo", perfect, whiten=False).any()
    assert not advantages("ppo", perfect).any()


def test_a_leave_one_out_baseline_needs_two() -> None:
    with pytest.raises(UsageError) as caught:
        build(Algorithm(name="rloo", group_size=1))
    assert str(caught.value) == (
        "algorithm.group_size = 1: a leave-one-out baseline needs other rollouts; set at least 2"
    )


def test_a_setting_that_the_algorithm_ignores_is_a_mistake() -> None:
    with pytest.raises(UsageError) as caught:
        build(Algorithm(name="grpo", group_size=4, gae_lambda=0.95))
    assert str(caught.value) == "algorithm.gae_lambda = 0.95: 'grpo' does not use it; remove it"
    assert build(Algorithm(name="ppo", group_size=4, gae_lambda=0.95)).needs_critic


@pytest.mark.parametrize("name", ["grpo", "dapo", "dr_grpo", "gspo", "cispo", "reinforce_plus_plus_baseline"])
def test_the_mean_of_a_group_of_one_is_no_baseline(name: str) -> None:
    with pytest.raises(UsageError, match=f"algorithm.group_size = 1: the baseline of {name} is the mean of the group"):
        build(Algorithm(name=name, group_size=1))
    build(Algorithm(name=name, group_size=2))


@pytest.mark.parametrize("name", ["ppo", "reinforce_plus_plus"])
def test_groups_of_one_where_the_baseline_is_another(name: str) -> None:
    build(Algorithm(name=name, group_size=1))
