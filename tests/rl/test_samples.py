"""What a truncated response counts for, what measured numbers become, and what is counted."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from r1zero.algorithms import build
from r1zero.config import Algorithm, Recipe, Rewards, load
from r1zero.rl import samples
from r1zero.rl.samples import Measured
from r1zero.types import Credit, Experience

from ..groups import group_of, rollout
from ..recipes import write_recipe


def rewards(**changes: Any) -> Rewards:
    return Rewards(**changes)


@pytest.mark.parametrize(
    ("policy", "expected", "learned"),
    [
        ("zero", [1.0, 0.0, -0.5], [4, 8, 8]),
        ("mask", [1.0, 1.0, -0.5], [4, 0, 0]),
        ("penalise", [1.0, 0.5, -1.0], [4, 8, 8]),
    ],
)
def test_truncated_responses(policy: Any, expected: list[float], learned: list[int]) -> None:
    group = group_of(
        rollout(1.0, length=4), rollout(1.0, length=8, finish="length"), rollout(-0.5, length=8, finish="length")
    )
    settings = rewards(truncated=policy, truncated_penalty=0.5)
    assert [samples.outcome(one, settings, 8) for one in group.rollouts] == expected
    drafts = samples.drafts([group], settings)
    assert [int(draft.mask.sum()) for draft in drafts] == learned


def test_soft_overlong_punishment() -> None:
    """DAPO, equation 13, with 16 tokens allowed of which the last 4 are the cushion."""
    settings = rewards(truncated="penalise", overlong_tokens=4)
    found = [samples.outcome(rollout(1.0, length=length), settings, 16) for length in (1, 12, 13, 14, 15, 16)]
    assert found == [1.0, 1.0, 0.75, 0.5, 0.25, 0.0]
    assert samples.outcome(rollout(1.0, length=16, finish="length"), settings, 16) == 0.0


def test_an_experience_has_learned_tokens_only(tmp_path: Any) -> None:
    recipe = load(Recipe, write_recipe(tmp_path), ["rewards.truncated=mask", "rollout.max_new_tokens=8"])
    groups = [
        group_of(rollout(1.0, length=2), rollout(0.3, length=8, finish="length")),
        group_of(rollout(0.0, length=3)),
    ]
    settings = Algorithm(name="ppo", group_size=2, kl=0.5, kl_in="reward", kl_estimator="k1")
    drafts = samples.drafts(groups, recipe.rewards)
    measured = Measured(
        old_logprobs=[np.array([-1, -2], np.float32), np.zeros(0, np.float32), np.array([-1, -1, -1], np.float32)],
        reference_logprobs=[np.array([-1, -4], np.float32), np.zeros(0, np.float32), np.array([-2, 0, -1], np.float32)],
        values=[np.array([0.5, 0.6], np.float32), np.zeros(0, np.float32), np.array([0.1, 0.2, 0.3], np.float32)],
    )
    found = samples.experience(groups, drafts, measured, recipe.rewards, 8, build(settings))
    assert found.groups.tolist() == [0, 0, 1]
    assert found.rewards.tolist() == [1.0, 0.3, 0.0]
    assert found.lengths.tolist() == [2, 0, 3]
    assert found.penalties is not None and found.penalties.tolist() == [0.0, 1.0, 0.5, -0.5, 0.0]
    assert found.values == pytest.approx([0.5, 0.6, 0.1, 0.2, 0.3])
    without = samples.experience(
        groups, drafts, measured, recipe.rewards, 8, build(settings.model_copy(update={"kl_in": "loss"}))
    )
    assert without.penalties is None

    credit = Credit(advantages=np.arange(5.0), returns=np.arange(5.0) + 10)
    first, second, third = samples.finished(drafts, measured, credit)
    assert first.advantages.tolist() == [0, 1] and third.advantages.tolist() == [2, 3, 4]
    assert third.returns is not None and third.returns.tolist() == [12, 13, 14]
    assert first.old_logprobs is not None and first.old_logprobs.tolist() == [-1, -2]
    assert second.values is not None and second.values.tolist() == [0] * 8 and not second.mask.any()
    assert first.advantages.dtype == np.float32


def test_what_is_counted() -> None:
    lagging = rollout(1.0, length=4, versions=((2, 1), (4, 3)))
    group = group_of(
        lagging, rollout(1.0, length=8, finish="length", versions=((4, 8),)), rollout(0.0, length=7, versions=((4, 7),))
    )
    earned = Experience(groups=np.zeros(3), rewards=np.array([1.0, 0.0, 0.5]), lengths=np.array([4, 8, 7]))
    credit = Credit(advantages=np.zeros(19))
    counted = samples.metrics([group], earned, credit, rewards(truncated="zero"), 8, version=4)
    assert counted == {"truncated/zero": 1, "shaped_reward": 0.5, "policy_lag": pytest.approx(2 / 19)}
    soft = rewards(truncated="penalise", overlong_tokens=2)
    assert samples.metrics([group], earned, credit, soft, 8, version=4)["truncated/penalise"] == 2
    assert samples.metrics([group], earned, credit, rewards(truncated="mask"), 8, version=4)["truncated/mask"] == 1


def test_explained_variance() -> None:
    def of(values: list[float]) -> float:
        earned = Experience(
            groups=np.zeros(1), rewards=np.ones(1), lengths=np.array([3]), values=np.array(values, dtype=np.float64)
        )
        credit = Credit(advantages=np.zeros(3), returns=np.array([0.0, 1.0, 2.0]))
        found = samples.metrics([group_of(rollout(1.0, length=3))], earned, credit, rewards(), 8, version=0)
        return found["critic/explained_variance"]

    assert of([0.0, 1.0, 2.0]) == 1 and of([0.5, 0.5, 0.5]) == 0 and of([2.0, 1.0, 0.0]) == -3


@pytest.mark.parametrize("name", ["grpo", "ppo", "reinforce_plus_plus"])
def test_a_step_without_groups_or_without_tokens(tmp_path: Any, name: str) -> None:
    recipe = load(Recipe, write_recipe(tmp_path), ["rewards.truncated=mask"])
    algorithm = build(Algorithm(name=name, group_size=2, kl=0.1, kl_in="reward"))
    for groups in ([], [group_of(rollout(0.3, length=8, finish="length"), rollout(0.0, length=8, finish="length"))]):
        drafts = samples.drafts(groups, recipe.rewards)
        nothing = [np.zeros(0, np.float32) for _ in drafts]
        measured = Measured(old_logprobs=nothing, reference_logprobs=nothing, values=nothing)
        earned = samples.experience(groups, drafts, measured, recipe.rewards, recipe.rollout.max_new_tokens, algorithm)
        credit = algorithm.advantages(earned)
        assert credit.advantages.shape == (0,)
        assert [sample.advantages.any() for sample in samples.finished(drafts, measured, credit)] == [False] * len(
            drafts
        )
        counted = samples.metrics(groups, earned, credit, recipe.rewards, 8, version=1)
        assert counted["truncated/mask"] == len(drafts)
