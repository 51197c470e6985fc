"""The loop on scripted answers: golden numbers, what a run leaves behind, options that must not change the result."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from r1zero.base import device
from r1zero.base.errors import UsageError
from r1zero.config import Recipe, load
from r1zero.data.held_out import without_held_out
from r1zero.grading.pool import ScorerPool
from r1zero.rl.parts import rl_parts
from r1zero.run.folder import RunFolder
from r1zero.trainer.base import Trainer
from r1zero.types import Problem, Prompt

from .. import float64
from ..recipes import SUMS, events, r1zero, write_recipe
from ..scripted import run, weights

MEASURED = re.compile("seconds|second|memory|gflops|gemm")  # what differs from run to run


def held_out(count: int, settings: str) -> str:
    return f"{{path: 'r1zero:sums', {settings}, options: {SUMS.replace('count: 64', f'count: {count}')}}}"


def test_two_steps_are_those_of_float64(tmp_path: Path) -> None:
    """Whatever the processor: rounding was 3e-6 of each number at most on three instruction sets."""
    records = run(tmp_path)
    recipe = load(Recipe, write_recipe(tmp_path), ["run.steps=2"])
    for record, exact in zip(records, float64.grpo(recipe, tmp_path / "run"), strict=True):
        assert {name: record[name] for name in exact} == pytest.approx(exact, rel=1e-4, abs=1e-5)


@pytest.mark.parametrize("limit", [60, 120, 4000])
def test_packs_do_not_change_what_is_learned(tmp_path: Path, limit: int) -> None:
    for name, settings in (("a", ()), ("b", (f"trainer.tokens_per_pack={limit}",))):
        (tmp_path / name).mkdir()
        run(tmp_path / name, *settings)
    left, right = weights(tmp_path / "a"), weights(tmp_path / "b")
    assert max(float((left[name] - right[name]).abs().max()) for name in left) < 2e-5


def test_minibatches_and_epochs_use_old_log_probabilities(tmp_path: Path) -> None:
    records = run(tmp_path, "trainer.minibatches=2", "trainer.epochs=3", "trainer.lr=3e-3")
    assert "seconds/old_logprobs" in records[0]
    assert records[0]["clip_ratio/low"] + records[0]["clip_ratio/high"] > 0
    (tmp_path / "once").mkdir()
    once = run(tmp_path / "once")
    assert "seconds/old_logprobs" not in once[0]
    assert once[0]["clip_ratio/low"] == once[0]["clip_ratio/high"] == 0


class Elsewhere:
    """Hands every call of the interface to a trainer, and has nothing else: what one in other processes would be."""

    def __init__(self, real: Trainer[Any]) -> None:
        for name in (name for name in vars(Trainer) if not name.startswith("_")):
            setattr(self, name, getattr(real, name))


def test_the_loop_knows_a_trainer_by_its_interface_alone(tmp_path: Path) -> None:
    records = []
    for name, make in (("a", lambda local: local), ("b", Elsewhere)):
        (tmp_path / name).mkdir()
        ran = run(tmp_path / name, "trainer.ema=0.9", "trainer.minibatches=2", trainer=make)
        records.append([{key: value for key, value in record.items() if not MEASURED.search(key)} for record in ran])
    assert records[0] == records[1]
    left, right = weights(tmp_path / "a"), weights(tmp_path / "b")
    assert all(torch.equal(left[name], right[name]) for name in left)


def test_no_reference_without_kl(tmp_path: Path) -> None:
    records = run(tmp_path, "algorithm.kl=null")
    assert "kl" not in records[0] and "seconds/reference" not in records[0]
    (tmp_path / "measured").mkdir()
    measured = run(tmp_path / "measured", "algorithm.kl=0")
    assert measured[0]["kl"] == pytest.approx(0, abs=1e-6) and measured[1]["kl"] > 1e-4
    assert measured[0]["loss"] == pytest.approx(records[0]["loss"], abs=1e-6)


def test_metrics_of_a_step(tmp_path: Path) -> None:
    record = run(tmp_path)[0]
    # base_acc 0, 1, 0, 0; strict_format 1, 1, -0.5, -0.5 with weight 0.2
    assert record["reward"] == pytest.approx((0.2 + 1.2 - 0.1 - 0.1) / 4)
    assert record["accuracy"] == 0.25 and record["format"] == 0.5
    assert record["reward/base_acc"] == 0.25 and record["reward/strict_format"] == 0.25
    assert record["reflection_rate"] == 0.25 and record["truncated_rate"] == 0
    assert record["verdict/graded"] == 16 and record["groups/without_spread"] == 0
    assert record["response_length/min"] < record["response_length"] < record["response_length/max"]


def test_what_a_run_leaves_behind(tmp_path: Path) -> None:
    recipe = write_recipe(tmp_path)
    source = held_out(5, "samples: 2, split: heldout")
    recipe.write_text(recipe.read_text() + f"evaluation: {source}\n")
    r1zero("train", recipe, "run.steps=2", "run.evaluate_every=1", "logging.tensorboard=true", "run.keep_checkpoints=1")
    left = tmp_path / "run"
    assert {file.name for file in left.iterdir()} == {
        *(
            "config.yaml",
            "environment.json",
            "data.json",
            "run.lock",
            "metrics.jsonl",
            "events.jsonl",
            "run.log",
            "report.html",
        ),
        *("report.html", "tensorboard", "rollouts", "checkpoints", "evaluations"),
    }
    assert [folder.name for folder in (left / "checkpoints").iterdir()] == ["step_000002"]
    assert events(left) == ["started", "saved", "saved", "finished"]
    environment = json.loads((left / "environment.json").read_text())
    assert environment["device"]["kind"] == "cpu" and "torch" in environment["packages"]
    group = json.loads((left / "rollouts" / "step_000001.jsonl").read_text().splitlines()[0])
    rollout = group["rollouts"][0]
    assert len(rollout["token_ids"]) == len(rollout["logprobs"]) and rollout["versions"] == [
        [0, len(rollout["token_ids"])]
    ]
    assert set(rollout["parts"]) == {"base_acc", "strict_format"}
    for step in range(3):
        numbers = json.loads((left / "evaluations" / f"step_{step:06d}.json").read_text())
        assert numbers["evaluation/problems"] == 5 and "evaluation/greedy_accuracy" in numbers
        answers = [
            json.loads(line) for line in (left / "evaluations" / f"step_{step:06d}.jsonl").read_text().splitlines()
        ]
        assert [(record["kind"], len(record["rollouts"])) for record in answers] == [("sampled", 2)] * 5 + [
            ("greedy", 1)
        ] * 5
    assert list((left / "tensorboard").iterdir())

    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    board = EventAccumulator(str(left / "tensorboard")).Reload()
    assert [event.step for event in board.Scalars("reward")] == [1, 2]


def test_evaluate_a_run_equals_its_own_last_evaluation(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recipe = write_recipe(tmp_path)
    source = held_out(20, "split: heldout")
    recipe.write_text(recipe.read_text() + f"evaluation: {source}\n")
    r1zero("train", recipe, "run.steps=2", "trainer.lr=3e-3")
    expected = json.loads((tmp_path / "run" / "evaluations" / "step_000002.json").read_text())
    before = json.loads((tmp_path / "run" / "evaluations" / "step_000000.json").read_text())
    capsys.readouterr()
    r1zero("evaluate", tmp_path / "run")
    printed = dict(line.split() for line in capsys.readouterr().out.splitlines())
    assert float(printed["response_length"]) == pytest.approx(expected["evaluation/response_length"], abs=1e-4)
    assert float(printed["reward"]) == pytest.approx(expected["evaluation/reward"], abs=1e-4)
    assert expected["evaluation/response_length"] != before["evaluation/response_length"]


def test_prompts_that_are_in_the_held_out_set_are_not_trained_on(tmp_path: Path) -> None:
    recipe = write_recipe(tmp_path)
    source = held_out(64, "limit: 60")
    recipe.write_text(recipe.read_text() + f"evaluation: {source}\n")
    loaded = load(Recipe, recipe)
    folder = RunFolder.create(tmp_path / "run", resume=False)
    with ScorerPool.of(loaded.rewards) as pool:
        parts = rl_parts(loaded, device.select("cpu", "fp32", threads=1), pool, folder.quarantine_rows)
    assert parts.evaluator is not None and len(parts.evaluator.prompts) == 60 and len(parts.stream.prompts) == 4
    assert not texts(parts.stream.prompts) & texts(parts.evaluator.prompts)
    assert "the question is in the held-out set" in folder.quarantine.read_text()


def texts(prompts: Any) -> set[str]:
    return {prompt.problem.text for prompt in prompts if isinstance(prompt, Prompt)}


def test_typography_does_not_hide_a_held_out_question() -> None:
    asked = ["Compute $\\dfrac{1}{2} + x$.", "A train goes 10,000 miles in five hours.", "Is $2(3+4)$ even?"]
    training = [
        "compute  \\(\\frac12+x\\)",  # the same
        "A train goes $10000$ miles in 5 hours!",  # the same
        "A train goes 10,001 miles in five hours.",
        "Is $(2)3+4$ even?",
    ]
    good, leaked = without_held_out([problem(text) for text in training], "data", [prompt(text) for text in asked])
    assert [kept.text for kept in good] == training[2:]
    assert [row.reason for row in leaked] == ["the question is in the held-out set"] * 2
    with pytest.raises(UsageError, match="every training question is in the evaluation set too"):
        without_held_out([problem("$x = 1$?")], "data", [prompt("\\(x=1\\)")])


def problem(question: str) -> Problem:
    return Problem(id=question, question=question, answer="1", source="x.jsonl", line=1)


def prompt(question: str) -> Prompt:
    return Prompt(problem=problem(question), token_ids=np.zeros(1, np.int32))
