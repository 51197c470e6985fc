"""Distillation: divergences are the papers', gradients flow to the student alone, and a student nears its teacher."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from r1zero.base.errors import UsageError
from r1zero.config import Objective, Optimization
from r1zero.data.packing import pack
from r1zero.models import divergence
from r1zero.models.divergence import between, token_divergence
from r1zero.trainer.local import LocalTrainer
from r1zero.tuning.objectives import build
from r1zero.types import Sample

from ..conftest import random_samples, small_model
from ..data.prepared import write_jsonl
from ..recipes import metrics, r1zero

NAMES = ("reverse_kl", "forward_kl", "jsd")


def paper(name: str, share: float, p: Tensor, q: Tensor) -> Tensor:
    """One distribution after another, from probabilities: student p, teacher q."""

    def kl(a: Tensor, b: Tensor) -> Tensor:
        return sum((x * torch.log(x / y) for x, y in zip(a, b, strict=True)), torch.zeros((), dtype=torch.float64))

    if name == "reverse_kl":
        return kl(p, q)
    if name == "forward_kl":
        return kl(q, p)
    mixture = share * q + (1 - share) * p
    return share * kl(q, mixture) + (1 - share) * kl(p, mixture)


@pytest.mark.parametrize("name", NAMES)
def test_divergences_are_the_papers(name: Any) -> None:
    generator = torch.Generator().manual_seed(0)
    logits, theirs = (2 * torch.randn(4, 9, generator=generator, dtype=torch.float64) for _ in range(2))
    ours, reference = logits.clone().requires_grad_(), logits.clone().requires_grad_()
    found = between(name, 0.3, ours.log_softmax(-1), theirs.log_softmax(-1))
    expected = torch.stack(
        [paper(name, 0.3, p, q) for p, q in zip(reference.softmax(-1), theirs.softmax(-1), strict=True)]
    )
    torch.testing.assert_close(found, expected, atol=1e-9, rtol=0)
    found.sum().backward()
    expected.sum().backward()
    torch.testing.assert_close(ours.grad, reference.grad, atol=1e-9, rtol=0)
    assert ours.grad is not None and ours.grad.abs().max() > 1e-2


@pytest.mark.parametrize("name", NAMES)
def test_a_model_and_its_teacher_in_packs_are_whole_logits(name: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """In chunks and packs, value and gradient, against logits of both models for everything at once."""
    monkeypatch.setattr(divergence, "_ROWS", 3)
    student, teacher = small_model(seed=0), small_model(seed=1).requires_grad_(False)
    samples = random_samples([(4, [5, 3]), (2, [6])], masked=True)
    (batch,) = pack(samples, tokens_per_pack=100)
    found = token_divergence(student, batch, teacher=teacher, name=name, teacher_share=0.4)
    (found.divergence * batch.weight).sum().backward()
    gradient = torch.cat([parameter.grad.flatten() for parameter in student.parameters()])

    plain, theirs = copy.deepcopy(student), copy.deepcopy(teacher)
    plain.zero_grad()
    for model in (plain, theirs):
        model.set_attn_implementation("eager")
    expected = torch.zeros(())
    for place, sample in enumerate(samples[member] for member in batch.members):
        ids = torch.from_numpy(np.concatenate([sample.prompt_ids, sample.response_ids])).long()[None]
        rows = torch.from_numpy(np.flatnonzero(sample.mask)) + len(sample.prompt_ids) - 1
        p, q = (model(input_ids=ids).logits[0, rows].log_softmax(-1) for model in (plain, theirs))
        whole = between(name, 0.4, p, q)
        torch.testing.assert_close(found.divergence[batch.sequence_ids == place], whole, atol=1e-5, rtol=1e-4)
        expected = expected + whole.sum() / len(batch.targets)
    expected.backward()
    wanted = torch.cat([parameter.grad.flatten() for parameter in plain.parameters()])
    torch.testing.assert_close(gradient, wanted, atol=1e-5, rtol=1e-3)
    assert all(parameter.grad is None for parameter in teacher.parameters())


def test_a_student_that_is_its_teacher_learns_nothing() -> None:
    model = small_model()
    teacher = copy.deepcopy(model).requires_grad_(False)
    objective = build(Objective(name="distillation", teacher="itself"))
    predict = lambda student, batch: token_divergence(  # noqa: E731
        student, batch, teacher=teacher, name="reverse_kl", teacher_share=0.5
    )
    trainer: LocalTrainer[Any] = LocalTrainer(model, None, Optimization(lr=1e-3), total_updates=1, predict=predict)
    for batch in pack(random_samples([(4, [5, 3])]), tokens_per_pack=100):
        shares = trainer.forward_backward(batch, objective.loss)
        assert shares["loss"] == pytest.approx(0, abs=1e-6) and shares["agreement"] == 1
    assert max(float(gradient.abs().max()) for gradient in trainer.masters.gradients()) < 1e-6


RECIPE = """\
run: {dir: RUN, steps: 12, save_every: 4, device: cpu, threads: 1, deterministic: true}
model: {path: tiny, dtype: fp32}
data: {path: ROWS, layout: alpaca, template: plain, max_tokens: 40}
evaluation: {path: ROWS, layout: alpaca, limit: 10}
objective: {name: distillation, teacher: TEACHER}
rollout: {max_new_tokens: 12}
trainer: {samples_per_step: 12, tokens_per_pack: 300, lr: 1e-3}
logging: {tensorboard: false}
"""


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    """The teacher is the miniature after some fine-tuning."""
    rows = write_jsonl(
        tmp_path / "rows.jsonl",
        [{"instruction": f"{n}+{n + 1}=?", "output": f"it is {2 * n + 1}"} for n in range(10, 40)],
    )
    keys = {"TEACHER": f"{tmp_path}/teacher", "ROWS": str(rows)}
    text = RECIPE
    for key, value in keys.items():
        text = text.replace(key, value)
    path = tmp_path / "recipe.yaml"
    path.write_text(text.replace("RUN", f"{tmp_path}/teaching").replace(": distillation, teacher:", ": sft, teacher:"))
    lines = [line for line in path.read_text().splitlines() if not line.startswith("rollout")]
    path.write_text("\n".join(lines).replace(f", teacher: {tmp_path}/teacher", ""))
    r1zero("train", path)
    r1zero("model", "export", tmp_path / "teaching", tmp_path / "teacher")
    path.write_text(text.replace("RUN", f"{tmp_path}/run"))
    return path


def test_a_student_comes_near_its_teacher_and_resumes_exactly(recipe: Path, tmp_path: Path) -> None:
    r1zero("train", recipe)
    losses = [
        json.loads((tmp_path / "run" / "evaluations" / f"step_{step:06d}.json").read_text())["evaluation/loss"]
        for step in (0, 12)
    ]
    assert losses[1] < losses[0] - 0.5
    record = metrics(tmp_path / "run")[-2]
    assert record["response_length"] > 1 and {"tokens_per_second/rollout", "agreement"} <= record.keys()
    assert len((tmp_path / "run" / "rollouts" / "step_000001.jsonl").read_text().splitlines()) == 12
    r1zero("train", recipe, f"run.dir={tmp_path}/again", "run.steps=5")
    r1zero("train", recipe, f"run.dir={tmp_path}/again", "--resume")
    model = "checkpoints/step_000012/model.safetensors"
    assert (tmp_path / "run" / model).read_bytes() == (tmp_path / "again" / model).read_bytes()

    r1zero("train", write_off_policy(recipe), f"run.dir={tmp_path}/off", "objective.divergence=forward_kl")
    off = metrics(tmp_path / "off")
    assert off[-2]["loss"] < off[1]["loss"] and "response_length" not in off[-2]


def write_off_policy(recipe: Path) -> Path:
    text = recipe.read_text().replace("name: distillation", "name: distillation, on_policy: false")
    path = recipe.with_name("off.yaml")
    path.write_text("\n".join(line for line in text.splitlines() if not line.startswith("rollout")))
    return path


def test_mistakes(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "rows.jsonl", [{"instruction": "1+1=?", "output": "2"}])
    path = tmp_path / "recipe.yaml"
    text = RECIPE.replace("RUN", f"{tmp_path}/run").replace("ROWS", f"{tmp_path}/rows.jsonl")
    for teacher, overrides, message in (
        ("''", [], "objective.teacher: missing; name the model to learn from"),
        (f"{tmp_path}/none", [], f"objective.teacher = '{tmp_path}/none': no such folder"),
        (
            "tiny",
            ["rollout.max_new_tokens=400"],
            "rollout.max_new_tokens = 400: with data.max_tokens a sequence may have",
        ),
        ("tiny", ["rollout=null"], "rollout: missing; the model answers the prompts itself"),
        ("tiny", ["objective.on_policy=false"], "rollout: distillation does not sample; remove the section"),
        ("tiny", ["objective.teacher_share=0.2"], "objective.teacher_share = 0.2: 'distillation' does not use it"),
    ):
        path.write_text(text.replace("TEACHER", teacher))
        with pytest.raises(UsageError) as caught:
            r1zero("train", path, *overrides)
        assert message in str(caught.value)


def test_samples_of_a_student_are_its_prompts(tmp_path: Path) -> None:
    from r1zero.tuning.on_policy import OnPolicy, to_samples
    from r1zero.types import Sampling

    from ..fakes import ScriptedEngine

    class Words:
        eos_token_id = 2

        def __call__(self, text: str, add_special_tokens: bool = True) -> dict[str, list[int]]:
            return {"input_ids": [len(word) for word in text.split()]}

    engine = ScriptedEngine(Words(), ["aaa bbbb"])
    student = OnPolicy(engine=engine, sampling=Sampling(n=1, max_new_tokens=9), decode=str)
    given: list[Sample] = random_samples([(4, [5]), (3, [2])])
    found = to_samples(student.answer(given, 0, lambda: None))
    assert [sample.response_ids.tolist() for sample in found] == [[3, 4, 2]] * 2
    assert [sample.prompt_ids.tolist() for sample in found] == [sample.prompt_ids.tolist() for sample in given]
