"""What is learned from when verifiers fail, and what a group is kept for: the rewards that the loss sees."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from r1zero.algorithms import build
from r1zero.config import Algorithm, Recipe, Rewards, load
from r1zero.data.packing import pack
from r1zero.grading.combine import Verifiers, in_group
from r1zero.rl import samples
from r1zero.rl.samples import Measured
from r1zero.rl.update import update
from r1zero.types import Completion, Group, Score, Verdict

from ..conftest import random_samples, small_model
from ..groups import ASKED, group_of, rollout
from ..recipes import write_recipe
from ..scripted import Truthful, run, weights
from ..trainer.test_local import trainer_of


def settings(name: str = "grpo", **changes: Any) -> Algorithm:
    return Algorithm(name=name, group_size=4, **changes)


def kept(group: Group, name: str = "grpo", filter_by: str = "reward", **rewards: Any) -> list[Group]:
    changes = {"filter_by": filter_by} if name == "dapo" else {}
    return samples.learnable([group], build(settings(name, **changes)), Rewards(**rewards), longest=8)


def credit_of(group: Group, tmp_path: Path, *overrides: str, measured: Measured | None = None) -> np.ndarray:
    """The advantage of each response (of its first token)."""
    recipe = load(Recipe, write_recipe(tmp_path), ["rollout.max_new_tokens=8", "algorithm.kl=null", *overrides])
    algorithm = build(recipe.algorithm)
    drafts = samples.drafts([group], recipe.rewards)
    experience = samples.experience([group], drafts, measured or Measured(), recipe.rewards, 8, algorithm)
    return algorithm.advantages(experience).advantages


def test_a_failed_verifier_is_no_wrong_answer(tmp_path: Path) -> None:
    """Two right, one wrong, one whose grader was away: the advantages are those of a group of three."""
    judged = [rollout(1.0), rollout(0.0), rollout(1.0)]
    (group,) = kept(group_of(judged[0], rollout(0.0, "error"), *judged[1:]))
    assert group.rollouts == tuple(judged)
    assert np.array_equal(credit_of(group, tmp_path), credit_of(group_of(*judged), tmp_path))


@pytest.mark.parametrize(
    ("verdict", "policy", "left"),
    [
        ("error", {}, 3),
        ("error", {"on_error": "zero"}, 4),
        ("timeout", {}, 4),
        ("timeout", {"on_timeout": "leave_out"}, 3),
    ],
)
def test_what_fails_is_left_out_by_choice(verdict: Verdict, policy: dict[str, Any], left: int) -> None:
    (group,) = kept(group_of(rollout(1.0), rollout(0.0), rollout(1.0), rollout(0.0, verdict)), **policy)
    assert len(group.rollouts) == left


@pytest.mark.parametrize("failed", [3, 4])
def test_a_group_with_fewer_than_two_judged_has_no_signal(failed: int) -> None:
    assert not kept(group_of(*[rollout(1.0)] * (4 - failed), *[rollout(0.0, "error")] * failed))


def test_a_group_of_one_is_judged_by_its_one() -> None:
    assert kept(group_of(rollout(1.0)), "ppo")
    assert not kept(group_of(rollout(0.0, "error")), "ppo")


def test_lengths_are_compared_among_the_judged() -> None:
    """The shortest response, whose grader was away, does not make the others long."""
    scores = [Score(value=0.0, parts={"length": right}, verdict=verdict) for right, verdict in
              [(0.0, "error"), (1.0, "graded"), (1.0, "graded")]]  # fmt: skip
    found = in_group(Verifiers({"length": 1.0}), ASKED.problem, scores, [1, 10, 20])
    assert [score.value for score in found] == [0.0, 0.5, -0.5]


def test_dynamic_sampling_sees_what_the_loss_sees(tmp_path: Path) -> None:
    cut = group_of(rollout(1.0, finish="length", length=8), rollout(0.0), rollout(0.0), rollout(0.0))
    assert not kept(cut, "dapo", truncated="zero"), "the only right answer earns nothing, so nothing differs"
    assert kept(cut, "dapo", truncated="mask") and kept(cut, "dapo", truncated="penalise", truncated_penalty=0.5)
    overlong = group_of(*(rollout(0.0, length=length) for length in (2, 6, 7, 8)))
    assert kept(overlong, "dapo", truncated="penalise", overlong_tokens=4), "the penalties differ"
    assert not kept(overlong, "dapo")
    by_part = group_of(rollout(0.0, acc=1.0), rollout(0.0, acc=0.0))
    assert kept(by_part, "dapo", "acc") and not kept(by_part, "dapo")


def test_a_masked_response_pays_its_kl_too(tmp_path: Path) -> None:
    """Four right answers with the same KL per token: nothing differs, whether one of them is masked or not."""
    group = group_of(*[rollout(1.0)] * 3, rollout(1.0, finish="length"))
    overrides = ("algorithm.kl=0.1", "algorithm.kl_in=reward", "algorithm.kl_estimator=k1", "rewards.truncated=mask")
    old, reference = [np.full(4, -1.0)] * 3 + [np.zeros(0)], [np.full(4, -2.0)] * 3 + [np.zeros(0)]
    paid = np.array([0.0, 0.0, 0.0, 0.1 * 4])
    measured = Measured(old_logprobs=old, reference_logprobs=reference, unlearned_penalties=paid)
    assert np.abs(credit_of(group, tmp_path, *overrides, measured=measured)).max() < 1e-9
    recipe = load(Recipe, write_recipe(tmp_path), [*overrides])
    asked = samples.unlearned(samples.drafts([group], recipe.rewards))
    assert [int(sample.mask.sum()) for sample in asked] == [0, 0, 0, 4]


class Cut(Truthful):
    """Every second response is cut off."""

    def _completion(self, text: str) -> Completion:
        whole = super()._completion(text)
        cut = text == self.texts[0]
        return Completion(
            token_ids=whole.token_ids,
            logprobs=whole.logprobs,
            finish_reason="length" if cut else "stop",
            versions=whole.versions,
        )


def test_the_kl_of_masked_responses_is_measured(tmp_path: Path) -> None:
    """A policy that has moved away: with a huge coefficient the masked responses would be the best by far."""
    changes = ("algorithm.kl=1000", "algorithm.kl_in=reward", "rewards.truncated=mask", "trainer.lr=3e-3")
    records = run(tmp_path, *changes, "run.steps=3", engine=Cut)
    assert records[-1]["shaped_reward"] < records[-1]["reward"] - 1, "what masked responses pay is in their reward"


class AllWrong(Truthful):
    """Differs in the first step only."""

    steps = 0

    def generate(self, prompts: Any, sampling: Any) -> Any:
        type(self).steps += 1
        self.texts = self.texts if type(self).steps == 1 else self.texts[:1]
        return super().generate(prompts, sampling)


def test_a_step_without_gradient_moves_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Adam's momentum of the first step would."""
    AllWrong.steps = 0
    with caplog.at_level(logging.INFO, logger="r1zero"):
        records = run(tmp_path, "algorithm.kl=null", "run.steps=2", "run.save_every=1", engine=AllWrong)
    assert [record["updates/without_gradient"] for record in records] == [0, 1]
    assert records[0]["grad_norm"] > 0 and records[1]["grad_norm"] == 0
    assert "no gradient: every advantage is 0; the weights stay as they are" in caplog.text
    first = load_file(tmp_path / "run" / "checkpoints" / "step_000001" / "model.safetensors")
    assert all(torch.equal(first[name], value) for name, value in weights(tmp_path).items())


def test_an_entropy_bonus_is_a_gradient() -> None:
    trainer = trainer_of(small_model())
    flat = random_samples([(6, [5, 3])])
    algorithm = build(settings(entropy=0.01))
    metrics = update(trainer, [pack(flat, tokens_per_pack=100)], algorithm.loss, algorithm.learns_from)
    assert metrics["updates/without_gradient"] == 0
