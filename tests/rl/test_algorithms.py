"""Algorithms in the loop: critic, epochs, dynamic sampling, KL controllers, resume, and an algorithm of one's own."""

from __future__ import annotations

import json
import logging
import math
import re
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import pytest

from r1zero.algorithms import ALGORITHMS
from r1zero.algorithms.kl import adapted
from r1zero.base.errors import UsageError
from r1zero.config import Recipe, load
from r1zero.types import Completion, Prompt, Sampling

from .. import float64
from ..recipes import TINY, r1zero, write_recipe
from ..scripted import Truthful, run, weights

DOCS = Path(__file__).parents[2] / "docs"
PPO = ("algorithm.name=ppo", "algorithm.kl=null", "critic.lr=1e-3")


class Uneven(Truthful):
    """Has only wrong answers to problems with an odd answer."""

    def answers(self, prompt: Prompt) -> Sequence[str]:
        return self.texts[:1] if int(prompt.problem.answer) % 2 else self.texts


class AllTheSame(Truthful):
    def answers(self, prompt: Prompt) -> Sequence[str]:
        return self.texts[:1]


@pytest.mark.parametrize("name", sorted(ALGORITHMS))
def test_every_algorithm_runs_with_minibatches_and_epochs(tmp_path: Path, name: str) -> None:
    overrides = ["trainer.minibatches=2", "trainer.epochs=2", "algorithm.correction.level=token"]
    overrides += ["critic.lr=1e-3"] if name == "ppo" else []
    records = run(tmp_path, f"algorithm.name={name}", *overrides)
    for record in records:
        assert all(math.isfinite(value) for value in record.values())
        assert record["grad_norm"] > 0 and record["updates/skipped"] == 0
        assert {"kl", "entropy", "correction/weight", "seconds/old_logprobs", "truncated/zero"} <= record.keys()
    assert records[1]["kl"] > 1e-4
    assert ("critic/loss" in records[0]) == (name == "ppo")


def test_ppo_learns_from_groups_of_one(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Its baseline is the critic, so rewards without a spread are no reason to say that nothing is learned."""
    with caplog.at_level(logging.INFO, logger="r1zero"):
        records = run(tmp_path, *PPO, "algorithm.group_size=1")
    assert "no gradient" not in caplog.text
    assert [record["groups/without_spread"] for record in records] == [1, 1]
    assert all(record["grad_norm"] > 0 and record["updates/without_gradient"] == 0 for record in records)


def test_two_steps_of_ppo_are_those_of_float64(tmp_path: Path) -> None:
    """Whatever the processor. The first update is off by its sums' order; Adam makes steps of equal size of gradients
    near zero, so later numbers are off by as much as a few such weights matter: 4e-4 was the most on three instruction
    sets. A token whose ratio lies at the clip range's edge may fall on either side."""
    settings = (*PPO, "trainer.minibatches=2", "critic.minibatches=4", "algorithm.gae_lambda=0.95")
    records = run(tmp_path, *settings)
    recipe = load(Recipe, write_recipe(tmp_path), ["run.steps=2", *settings])
    for record, exact in zip(records, float64.ppo(recipe, tmp_path / "run"), strict=True):
        clipped = {name: exact.pop(name) for name in ("clip_ratio/low", "clip_ratio/high")}
        assert {name: record[name] for name in exact} == pytest.approx(exact, rel=1e-3, abs=5e-5)
        assert {name: record[name] for name in clipped} == pytest.approx(clipped, abs=0.015)
        assert min(clipped.values()) > 0.03, "both ends of the clip range are reached"


def test_what_is_measured_does_not_depend_on_the_losss_mean(tmp_path: Path) -> None:
    records = {}
    for mean in ("token", "constant"):
        (tmp_path / mean).mkdir()
        (records[mean], _) = run(tmp_path / mean, f"algorithm.loss_mean={mean}", "rollout.max_new_tokens=200")
    assert records["constant"]["entropy"] == pytest.approx(records["token"]["entropy"], rel=1e-5)
    assert abs(records["constant"]["loss"]) < 0.5 * abs(records["token"]["loss"]), "sums over 200, of shorter responses"


def test_packs_do_not_change_what_actor_and_critic_learn(tmp_path: Path) -> None:
    for name, limit in (("a", 60), ("b", 4000)):
        (tmp_path / name).mkdir()
        run(tmp_path / name, *PPO, f"trainer.tokens_per_pack={limit}", f"critic.tokens_per_pack={limit + 20}")
    for part in ("", "critic"):
        left, right = weights(tmp_path / "a", part), weights(tmp_path / "b", part)
        assert max(float((left[name] - right[name]).abs().max()) for name in left) < 3e-5


def test_the_critic_learns_several_times_per_policy_update(tmp_path: Path) -> None:
    once = run(tmp_path, *PPO, "critic.minibatches=3", "critic.epochs=2", "run.steps=6", "critic.lr=3e-3")
    assert "seconds/old_logprobs" not in once[0], "rollouts that feed one policy update need no old log-probabilities"
    checkpoint = tmp_path / "run" / "checkpoints" / "step_000006"
    assert json.loads((checkpoint / "trainer.json").read_text())["updates"] == 6
    assert json.loads((checkpoint / "critic" / "trainer.json").read_text())["updates"] == 36
    assert once[-1]["critic/explained_variance"] > max(0.5, once[0]["critic/explained_variance"])
    assert once[-1]["critic/loss"] < 0.3 * once[0]["critic/loss"]


def test_a_saved_critic_is_a_reward_model_that_a_run_can_start_from(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    first = run(tmp_path / "a", *PPO, "critic.lr=3e-3", "critic.minibatches=4")
    saved = tmp_path / "a" / "run" / "checkpoints" / "step_000002" / "critic"
    second = run(tmp_path / "b", *PPO, f"critic.path={saved}")
    assert second[0]["critic/explained_variance"] > first[0]["critic/explained_variance"] + 0.1


def test_dynamic_sampling_keeps_what_is_left_over(tmp_path: Path) -> None:
    records = run(tmp_path, "algorithm.name=dapo", "run.steps=4", engine=Uneven)
    assert all(record["groups/kept"] == 4 for record in records)
    assert max(record["rounds"] for record in records) > 1
    assert max(record["groups/surplus"] for record in records) > 0
    carried = [0.0, *(record["groups/surplus"] for record in records[:-1])]
    assert [record["groups/carried"] for record in records] == carried
    sampled = [
        json.loads(line)
        for file in sorted((tmp_path / "run" / "rollouts").iterdir())
        for line in file.read_text().splitlines()
    ]
    assert len(sampled) == sum(record["groups/sampled"] for record in records)
    differing = [group for group in sampled if int(group["answer"]) % 2 == 0]
    assert len(differing) == 4 * len(records) + records[-1]["groups/surplus"], "every differing group is used or waits"
    assert len({group["problem"] for group in sampled}) == len(sampled), "every round has prompts of its own"


class UnevenAtFirst(Uneven):
    """Answers of every kind to all problems from the second batch of prompts on."""

    batches = 0

    def generate(self, prompts: Sequence[Prompt], sampling: Sampling) -> Iterator[tuple[int, tuple[Completion, ...]]]:
        type(self).batches += 1
        return super().generate(prompts, sampling)

    def answers(self, prompt: Prompt) -> Sequence[str]:
        return super().answers(prompt) if type(self).batches < 2 else self.texts


def test_groups_do_not_wait_for_ever(tmp_path: Path) -> None:
    """Once all groups are kept, those left over are used up in one step, and the batch is of the newest policy."""
    UnevenAtFirst.batches = 0
    records = run(tmp_path, "algorithm.name=dapo", "algorithm.kl=null", "run.steps=5", engine=UnevenAtFirst)
    assert max(record["groups/surplus"] for record in records) > 0
    assert all(record["groups/kept"] == 4 for record in records)
    assert [record["groups/carried"] for record in records[-2:]] == [0, 0]
    assert [record["policy_lag"] for record in records[-2:]] == [0, 0]


def test_dynamic_sampling_by_a_verifier(tmp_path: Path) -> None:
    """Scripted answers of odd problems differ in nothing, those of even ones in accuracy and format."""
    settings = ("algorithm.name=dapo", "algorithm.filter_by=base_acc")
    records = run(tmp_path, *settings, engine=Uneven)
    assert all(record["groups/kept"] == 4 for record in records)


def test_dynamic_sampling_gives_up_aloud(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    settings = ("algorithm.name=dapo", "algorithm.max_rounds=2", "algorithm.kl=null", "run.steps=1")
    with caplog.at_level(logging.INFO, logger="r1zero"):
        (record,) = run(tmp_path, *settings, engine=AllTheSame)
    assert (record["groups/kept"], record["groups/sampled"], record["rounds"]) == (0, 8, 2)
    assert "grad_norm" not in record
    assert (
        "step 1: 0 of 4 groups differ in reward after 2 rounds; raise algorithm.max_rounds, or choose problems that "
        "are sometimes solved"
    ) in caplog.text


def test_the_adaptive_kl_coefficient_follows_the_kl(tmp_path: Path) -> None:
    settings = ("algorithm.kl=0.1", "algorithm.kl_target=0.05", "algorithm.kl_horizon=32", "run.steps=3")
    records = run(tmp_path, *settings, "trainer.lr=3e-3")
    assert records[0]["kl_coefficient"] == 0.1
    for before, after in pairwise(records):
        expected = adapted(before["kl_coefficient"], before["kl"], target=0.05, rollouts=16, horizon=32)
        assert after["kl_coefficient"] == pytest.approx(expected, rel=1e-12)
    assert records[1]["kl_coefficient"] < 0.1 < records[1]["kl"]
    memory = json.loads((tmp_path / "run" / "checkpoints" / "step_000003" / "memory.json").read_text())
    last = records[-1]
    assert memory["kl"] == adapted(last["kl_coefficient"], last["kl"], target=0.05, rollouts=16, horizon=32)

    (tmp_path / "fixed").mkdir()
    fixed = run(tmp_path / "fixed", "algorithm.kl=0.1", "trainer.lr=3e-3", "run.steps=3")
    assert "kl_coefficient" not in fixed[0]
    assert fixed[1]["loss"] - records[1]["loss"] == pytest.approx(
        (0.1 - records[1]["kl_coefficient"]) * records[1]["kl"], rel=1e-4
    ), "the loss of the step is the adapted coefficient's"


def test_kl_in_the_reward_changes_advantages_and_not_the_loss(tmp_path: Path) -> None:
    settings = ("algorithm.name=reinforce_plus_plus", "algorithm.kl_estimator=k1", "trainer.lr=3e-3")
    for name in ("loss", "reward", "measured"):
        (tmp_path / name).mkdir()
    in_reward = run(tmp_path / "reward", *settings, "algorithm.kl=0.5", "algorithm.kl_in=reward")
    measured = run(tmp_path / "measured", *settings, "algorithm.kl=0", "algorithm.kl_in=reward")
    assert "seconds/old_logprobs" in in_reward[0] and "seconds/old_logprobs" not in measured[0]
    assert in_reward[0]["loss"] == pytest.approx(measured[0]["loss"], abs=1e-6), "at the first step the KL is 0"
    assert in_reward[1]["kl"] == pytest.approx(measured[1]["kl"], rel=1e-4)
    assert in_reward[1]["grad_norm"] != pytest.approx(measured[1]["grad_norm"], rel=1e-3)


def test_truncated_responses_by_policy(tmp_path: Path) -> None:
    """Real sampling of 3 tokens, which end no response."""
    for policy in ("zero", "mask", "penalise"):
        (tmp_path / policy).mkdir()
        recipe = write_recipe(tmp_path / policy)
        changes = ("run.steps=1", f"rewards.truncated={policy}", "rollout.max_new_tokens=3")
        r1zero("train", recipe, *changes)
        record = json.loads((tmp_path / policy / "run" / "metrics.jsonl").read_text().splitlines()[0])
        assert record[f"truncated/{policy}"] == 16 and record["truncated_rate"] == 1
        assert ("grad_norm" in record) == (policy != "mask"), "nothing is learned from masked tokens"
        if policy == "penalise":
            assert record["shaped_reward"] == pytest.approx(record["reward"] - 1)


@pytest.mark.parametrize(
    "settings",
    [
        pytest.param(
            "algorithm.name=ppo algorithm.kl_target=0.001 algorithm.kl_in=reward critic.lr=1e-3 critic.minibatches=2",
            id="critic and adaptive KL",
        ),
        pytest.param("algorithm.name=dapo algorithm.filter_by=strict_format", id="surplus groups"),
    ],
)
def test_a_resumed_run_ends_with_the_same_bits(tmp_path: Path, settings: str) -> None:
    text = TINY.replace("steps: 4", "steps: 3")
    ends = []
    for name, stops in (("straight", ()), ("resumed", ("run.steps=1", "run.steps=2"))):
        (tmp_path / name).mkdir()
        recipe = write_recipe(tmp_path / name, text)
        for number, stop in enumerate([*stops, "run.steps=3"]):
            r1zero("train", recipe, *settings.split(), stop, *(["--resume"] if number else []))
        ends.append(tmp_path / name / "run" / "checkpoints")
    files = [file.relative_to(ends[0]) for file in sorted((ends[0] / "step_000003").rglob("*")) if file.is_file()]
    names = {file.name for file in files}
    assert {"model.safetensors", "optimizer.safetensors", "memory.json", "state.json"} <= names
    for file in files:
        assert (ends[0] / file).read_bytes() == (ends[1] / file).read_bytes(), file
    memories = [json.loads((ends[0] / f"step_00000{step}" / "memory.json").read_text()) for step in (2, 3)]
    assert any(memory["surplus"] for memory in memories) or memories[0]["kl"] != memories[1]["kl"]


def test_a_critic_where_it_is_needed_and_only_there(tmp_path: Path) -> None:
    recipe = write_recipe(tmp_path)
    for overrides, expected in (
        (["algorithm.name=ppo"], "critic: missing; algorithm 'ppo' needs one, so add the section with an lr"),
        (["critic.lr=1e-3"], "critic: algorithm 'grpo' has none; remove the section"),
    ):
        with pytest.raises(UsageError) as caught:
            r1zero("train", recipe, *overrides)
        assert str(caught.value) == expected


def test_the_worked_example_of_the_docs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file that docs/add-an-algorithm.md shows is at most 30 lines, is all that is needed, and trains."""
    (code,) = re.findall(r"```python\n(.*?)```", (DOCS / "add-an-algorithm.md").read_text(), re.DOTALL)
    assert code.count("\n") <= 30
    module: dict = {}
    exec(compile(code, "add-an-algorithm.md", "exec"), module)
    (name,) = module["ALGORITHMS"]
    assert name not in ALGORITHMS
    monkeypatch.setitem(ALGORITHMS, name, module["ALGORITHMS"][name])
    records = run(tmp_path, f"algorithm.name={name}")
    assert records[1]["kl"] > 1e-4 and records[0]["grad_norm"] > 0
    (tmp_path / "other").mkdir()
    assert run(tmp_path / "other")[0]["grad_norm"] != pytest.approx(records[0]["grad_norm"], rel=1e-3)
