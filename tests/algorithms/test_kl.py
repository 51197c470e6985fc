"""The adaptive KL coefficient."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from r1zero.algorithms.kl import adapted


def test_adapted_by_hand() -> None:
    # 1.5 times the target is an error of 0.5, cut to 0.2; 512 of 2048 rollouts are a quarter
    assert adapted(0.1, 0.03, target=0.02, rollouts=512, horizon=2048) == pytest.approx(0.1 * (1 + 0.2 / 4))
    assert adapted(0.1, 0.018, target=0.02, rollouts=512, horizon=2048) == pytest.approx(0.1 * (1 - 0.1 / 4))


@given(st.floats(1e-6, 1), st.floats(-1, 1), st.floats(1e-4, 1), st.integers(1, 100_000))
def test_the_coefficient_moves_towards_the_target_by_at_most_a_fifth(
    coefficient: float, kl: float, target: float, rollouts: int
) -> None:
    after = adapted(coefficient, kl, target=target, rollouts=rollouts, horizon=1000)
    assert (after > coefficient) == (kl > target) or after == pytest.approx(coefficient)
    assert 0.8 - 1e-9 <= after / coefficient <= 1.2 + 1e-9


def test_it_holds_a_policy_at_the_target() -> None:
    """Against a policy whose KL is 0.01 / coefficient, the coefficient settles where the KL is the target."""
    coefficient = 0.001
    for _ in range(400):
        kl = 0.01 / coefficient
        coefficient = adapted(coefficient, kl, target=0.5, rollouts=512, horizon=1000)
    assert 0.01 / coefficient == pytest.approx(0.5, rel=1e-3)
