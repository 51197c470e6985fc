"""The trainer: gradients do not depend on how a step is cut, masters keep small updates, save and load are exact."""

from __future__ import annotations

import copy
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from r1zero.algorithms import build
from r1zero.config import Algorithm, Optimization
from r1zero.data.packing import pack
from r1zero.trainer.local import LocalTrainer
from r1zero.types import Batch, Sample, TokenLogprobs, TokenLoss

from ..conftest import ByteTokenizer, random_samples, small_model
from .contract import check_trainer

SAMPLES = random_samples([(6, [5, 3, 8, 2]), (3, [4, 4]), (9, [7, 1])], masked=True)
GRPO = build(Algorithm(name="grpo", group_size=4, entropy=0.01)).loss


class SavableTokenizer(ByteTokenizer):
    def save_pretrained(self, folder: Path) -> None:
        (Path(folder) / "tokenizer.json").write_text("{}")


def trainer_of(model: Any, **settings: Any) -> LocalTrainer:
    optimization = Optimization(**{"lr": 1e-2, "tokens_per_pack": 1000, **settings})
    return LocalTrainer(model, SavableTokenizer(), optimization, total_updates=10)


def gradient(trainer: LocalTrainer, packs: list[Batch], loss: Any = GRPO) -> dict[str, Tensor]:
    for batch in packs:
        trainer.forward_backward(batch, loss)
    found = {name: master.grad.clone() for name, master in trainer.masters.masters.items() if master.grad is not None}
    trainer.discard_gradients()
    return found


def worst(left: dict[str, Tensor], right: dict[str, Tensor]) -> float:
    assert left.keys() == right.keys()
    return max(float((left[name] - right[name]).abs().max()) for name in left)


@pytest.mark.parametrize("settings", [{}, {"ema": 0.9}, {"optimizer": "sgd"}])
def test_the_trainer_contract(tmp_path: Path, settings: dict[str, Any]) -> None:
    check_trainer(lambda model: trainer_of(model, **settings), tmp_path)


def test_packs_without_advantages_have_no_gradient(model: Any) -> None:
    """What `learns_from` promises: left out of the backward pass, the gradient and the metrics are the same."""
    trainer = trainer_of(model)
    plain = build(Algorithm(name="grpo", group_size=4, kl=None))
    flat = [replace(sample, advantages=np.zeros_like(sample.advantages)) for sample in SAMPLES[:4]]
    packs = pack([*flat, *SAMPLES[4:]], tokens_per_pack=1000)
    learning, rest = packs
    assert plain.learns_from(learning) and not plain.learns_from(rest)
    assert build(Algorithm(name="grpo", group_size=4, kl=None, entropy=0.01)).learns_from(rest)
    assert build(Algorithm(name="grpo", group_size=4, kl=0.1)).learns_from(rest)
    both = trainer.forward_backward(rest, plain.loss)
    assert (
        max(float(master.grad.abs().max()) for master in trainer.masters.masters.values() if master.grad is not None)
        == 0
    )
    trainer.discard_gradients()
    assert trainer.forward(rest, plain.loss) == pytest.approx(both)
    assert not trainer.masters.gradients()


@pytest.mark.parametrize("mean", ["token", "sequence", "constant"])
def test_any_number_of_packs_gives_the_same_gradient(model: Any, mean: Any) -> None:
    trainer = trainer_of(model)
    whole = pack(SAMPLES, tokens_per_pack=1000, loss_mean=mean, longest_response=8)
    reference = gradient(trainer, whole)
    assert max(float(value.abs().max()) for value in reference.values()) > 1e-3
    seen = {1}
    for limit in (16, 20, 28, 40):
        packs = pack(SAMPLES, tokens_per_pack=limit, loss_mean=mean, longest_response=8)
        seen.add(len(packs))
        assert worst(gradient(trainer, packs), reference) <= 1e-6
    assert {1, 2, 4} <= seen


@pytest.mark.parametrize("spread", [1.0, 2.0])
def test_shared_prompts_give_the_gradient_of_separate_sequences(spread: float) -> None:
    """Against autograd through transformers' own attention, one unpadded sequence after another, in float64."""
    model = small_model(spread=spread)
    (batch,) = pack(SAMPLES, tokens_per_pack=1000)
    ours = gradient(trainer_of(model), [batch])
    reference = copy.deepcopy(model).double()
    reference.set_attn_implementation("eager")
    total = sum(int(sample.mask.sum()) for sample in SAMPLES)
    for sample in SAMPLES:
        _separate_loss(reference, sample, total).backward()
    expected = {name: parameter.grad for name, parameter in reference.named_parameters() if parameter.grad is not None}
    assert worst({name: value.double() for name, value in ours.items()}, expected) <= 1e-6
    assert max(float(value.abs().max()) for value in expected.values()) > 0.05


def _separate_loss(model: Any, sample: Sample, total: int) -> Tensor:
    ids = torch.cat([torch.from_numpy(sample.prompt_ids), torch.from_numpy(sample.response_ids)]).long()
    start = len(sample.prompt_ids)
    logp = model(input_ids=ids[None], use_cache=False).logits[0, start - 1 : -1].log_softmax(-1)
    chosen = logp.gather(1, ids[start:, None])[:, 0]
    entropy = -(logp.exp() * logp).sum(-1)
    advantages = torch.from_numpy(sample.advantages).double()
    # d ratio = d log p at ratio 1
    value = -advantages * chosen - 0.01 * entropy
    return (value * torch.from_numpy(sample.mask)).sum() / total


def test_gradient_checkpointing_changes_memory_not_gradients() -> None:
    packs = pack(SAMPLES, tokens_per_pack=40)
    plain = gradient(trainer_of(small_model()), packs)
    optimization = Optimization(lr=1e-2)
    saving = LocalTrainer(small_model(), SavableTokenizer(), optimization, total_updates=1, gradient_checkpointing=True)
    assert any(getattr(module, "gradient_checkpointing", False) for module in saving.model.modules())
    assert worst(gradient(saving, packs), plain) == 0


def test_metrics_are_means_over_the_step(model: Any) -> None:
    trainer = trainer_of(model)

    def shares(limit: int) -> dict[str, float]:
        parts = [trainer.forward_backward(batch, GRPO) for batch in pack(SAMPLES, tokens_per_pack=limit)]
        trainer.discard_gradients()
        return {name: sum(part[name] for part in parts) for name in parts[0]}

    one, many = shares(1000), shares(16)
    assert one == pytest.approx(many, abs=1e-6)
    assert 0 < one["entropy"] < math.log(97)


def test_small_updates_survive_in_the_masters() -> None:
    """Twenty updates of 1e-5 each are nothing to a bf16 weight of 1, unless fp32 masters add them up."""
    model = small_model(dtype=torch.bfloat16)
    name, weight = "model.norm.weight", model.model.norm.weight
    with torch.no_grad():
        weight.fill_(1.0)
    trainer = trainer_of(model, lr=1e-5)
    before = trainer.masters.masters[name].clone()
    (batch,) = pack(SAMPLES, tokens_per_pack=1000)
    for _ in range(20):
        trainer.forward_backward(batch, GRPO)
        trainer.step()
    moved = (trainer.masters.masters[name] - before).abs()
    assert moved.max() > 5e-5
    assert torch.equal(weight, trainer.masters.masters[name].bfloat16())
    assert weight.dtype == torch.bfloat16


def test_bf16_gradients_are_summed_in_fp32() -> None:
    model = small_model(dtype=torch.bfloat16)
    trainer = trainer_of(model)
    packs = pack(SAMPLES, tokens_per_pack=16)
    together = gradient(trainer, packs)
    apart: dict[str, Tensor] = {}
    for batch in packs:
        for name, value in gradient(trainer, [batch]).items():
            apart[name] = apart.get(name, torch.zeros_like(value)) + value
    assert all(value.dtype == torch.float32 for value in together.values())
    assert worst(together, apart) < 1e-9


def test_a_gradient_that_is_not_finite_changes_nothing(model: Any) -> None:
    trainer = trainer_of(model)
    (batch,) = pack(SAMPLES, tokens_per_pack=1000)
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}

    def broken(policy: TokenLogprobs, batch: Batch) -> TokenLoss:
        return TokenLoss(policy.logprobs * float("inf"), {})

    trainer.forward_backward(batch, broken)
    update = trainer.step()
    assert update.skipped and not math.isfinite(update.grad_norm)
    assert all(torch.equal(parameter, before[name]) for name, parameter in model.named_parameters())
    trainer.forward_backward(batch, GRPO)
    assert not trainer.step().skipped
    assert not torch.equal(model.model.norm.weight, before["model.norm.weight"])


def test_gradients_are_clipped_to_the_global_norm(model: Any) -> None:
    trainer = trainer_of(model, clip_grad=0.01)
    (batch,) = pack(SAMPLES, tokens_per_pack=1000)
    trainer.forward_backward(batch, GRPO)
    gradients = [value.clone() for value in trainer.masters.gradients()]
    norm = float(torch.cat([value.flatten() for value in gradients]).double().norm())
    seen: list[Tensor] = []
    trainer.optimizer.register_step_pre_hook(lambda *_: seen.extend(trainer.masters.gradients()))
    assert trainer.step().grad_norm == pytest.approx(norm, rel=1e-5)
    assert float(torch.cat([value.flatten() for value in seen]).norm()) == pytest.approx(0.01, rel=1e-3)


def test_weight_decay_is_for_matrices_only(model: Any) -> None:
    trainer = trainer_of(model, weight_decay=0.1)
    decay = {id(p): group["weight_decay"] for group in trainer.optimizer.param_groups for p in group["params"]}
    for master in trainer.masters.masters.values():
        assert decay[id(master)] == (0.1 if master.ndim >= 2 else 0.0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_save_and_load_continue_bit_for_bit(tmp_path: Path, dtype: torch.dtype) -> None:
    packs = pack(SAMPLES, tokens_per_pack=40)

    def train(trainer: LocalTrainer, updates: int) -> None:
        for _ in range(updates):
            for batch in packs:
                trainer.forward_backward(batch, GRPO)
            trainer.step()

    straight = trainer_of(small_model(dtype=dtype), schedule="cosine", warmup_steps=2)
    train(straight, 5)
    first = trainer_of(small_model(dtype=dtype), schedule="cosine", warmup_steps=2)
    train(first, 3)
    first.save(tmp_path)
    second = trainer_of(small_model(seed=1, dtype=dtype), schedule="cosine", warmup_steps=2)
    second.load(tmp_path)
    train(second, 2)
    assert second.updates == 5
    for name, master in straight.masters.masters.items():
        assert torch.equal(master, second.masters.masters[name]), name
        assert torch.equal(straight.masters.parameters[name], second.masters.parameters[name]), name


def test_a_saved_folder_is_a_transformers_model(tmp_path: Path, model: Any) -> None:
    from transformers import AutoModelForCausalLM

    trainer_of(model).save(tmp_path)
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path)
    for (name, parameter), (other, value) in zip(model.named_parameters(), loaded.named_parameters(), strict=True):
        assert name == other and torch.equal(parameter, value)
