"""Options of the one trainer: adapters, optimizers by name, an average of the weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor

from r1zero.algorithms import build
from r1zero.base.errors import UsageError
from r1zero.config import Algorithm, Lora, Optimization
from r1zero.data.packing import pack
from r1zero.models import adapters
from r1zero.models.forward import token_logprobs
from r1zero.trainer.local import LocalTrainer
from r1zero.trainer.reference import Reference

from ..conftest import random_samples, small_model
from .test_local import SavableTokenizer

PACKS = pack(random_samples([(6, [5, 3, 8, 2]), (3, [4, 4]), (9, [7, 1])], masked=True), tokens_per_pack=40)
GRPO = build(Algorithm(name="grpo", group_size=4, entropy=0.01)).loss
OPTIMIZERS = ["adamw", "adamw_8bit", "nadam", "radam", "adafactor", "sgd"]
BIG: dict[str, Any] = {"vocab_size": 257, "hidden_size": 64}  # 257 x 64 values: enough for moments in 8 bits


def trainer_of(
    seed: int = 0, *, lora: Lora | None = None, dtype: torch.dtype = torch.float32, **settings: Any
) -> LocalTrainer[Any]:
    model = small_model(seed=0 if lora else seed, dtype=dtype, **BIG)
    if lora is not None:
        adapters.attach(model, lora, base="nowhere", seed=seed)
    return LocalTrainer(model, SavableTokenizer(), Optimization(**{"lr": 1e-3, **settings}), total_updates=10)


def train(trainer: LocalTrainer[Any], updates: int) -> None:
    for _ in range(updates):
        for batch in PACKS:
            trainer.forward_backward(batch, GRPO)
        trainer.step()


def weights(trainer: LocalTrainer[Any]) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in trainer.masters.masters.items()}


def same(left: dict[str, Tensor], right: dict[str, Tensor]) -> bool:
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)


@pytest.mark.parametrize("lora", [None, Lora(rank=4, dropout=0.1)], ids=["full", "lora"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_every_optimizer_continues_bit_for_bit(
    tmp_path: Path, optimizer: str, dtype: torch.dtype, lora: Lora | None
) -> None:
    options: dict[str, Any] = {"lora": lora, "dtype": dtype, "optimizer": optimizer, "weight_decay": 0.1, "ema": 0.9}
    straight = trainer_of(**options)
    start = weights(straight)
    torch.manual_seed(1)  # dropout draws
    train(straight, 4)
    first = trainer_of(**options)
    torch.manual_seed(1)
    train(first, 2)
    numbers = torch.get_rng_state()
    first.save(tmp_path)
    second = trainer_of(seed=1, **options)
    second.load(tmp_path)
    torch.set_rng_state(numbers)
    train(second, 2)
    assert same(weights(straight), weights(second))
    assert straight.average is not None and second.average is not None
    assert same(straight.average.values, second.average.values)
    assert all(not torch.equal(start[name], value) for name, value in weights(straight).items())
    for name, parameter in second.masters.parameters.items():
        assert torch.equal(parameter, straight.masters.parameters[name])


def test_adamw_8bit_keeps_its_moments_in_8_bits(tmp_path: Path) -> None:
    trainer = trainer_of(optimizer="adamw_8bit")
    train(trainer, 1)
    trainer.save(tmp_path)
    moments = load_file(tmp_path / "optimizer.safetensors")
    assert moments["state1/model.embed_tokens.weight"].dtype == torch.uint8
    assert moments["state2/model.embed_tokens.weight"].dtype == torch.uint8
    assert moments["state1/model.norm.weight"].dtype == torch.float32, "a small tensor's are not worth it"


def test_adamw_8bit_is_nearly_adamw() -> None:
    exact, near = trainer_of(), trainer_of(optimizer="adamw_8bit")
    start = weights(exact)
    train(exact, 3)
    train(near, 3)
    moved = torch.cat([(value - start[name]).flatten() for name, value in weights(exact).items()])
    apart = torch.cat([(value - weights(exact)[name]).flatten() for name, value in weights(near).items()])
    assert 0 < apart.norm() <= 0.1 * moved.norm()


def test_the_state_of_another_optimizer_is_refused(tmp_path: Path) -> None:
    trainer = trainer_of(optimizer="adamw")
    train(trainer, 1)
    trainer.save(tmp_path)
    with pytest.raises(UsageError, match="the checkpoint holds the state of AdamW, not of NAdam; resume with the opt"):
        trainer_of(optimizer="nadam").load(tmp_path)


@pytest.mark.parametrize("name", ["adamw", "nadam", "radam", "adafactor", "sgd"])
def test_optimizers_are_torchs(name: str) -> None:
    """One step on the same gradients by an optimizer made by hand."""
    trainer = trainer_of(optimizer=name, weight_decay=0.1, betas=(0.8, 0.95), clip_grad=1e9)
    twins = {name: torch.nn.Parameter(value) for name, value in weights(trainer).items()}
    make: dict[str, Any] = {
        "adamw": lambda p, d: torch.optim.AdamW(p, lr=1e-3, betas=(0.8, 0.95), weight_decay=d),
        "nadam": lambda p, d: torch.optim.NAdam(
            p, lr=1e-3, betas=(0.8, 0.95), weight_decay=d, decoupled_weight_decay=True
        ),
        "radam": lambda p, d: torch.optim.RAdam(
            p, lr=1e-3, betas=(0.8, 0.95), weight_decay=d, decoupled_weight_decay=True
        ),
        "adafactor": lambda p, d: torch.optim.Adafactor(p, lr=1e-3, weight_decay=d),
        "sgd": lambda p, d: torch.optim.SGD(p, lr=1e-3, momentum=0.8, weight_decay=d),
    }
    matrices = make[name]([twin for twin in twins.values() if twin.ndim == 2], 0.1)
    vectors = make[name]([twin for twin in twins.values() if twin.ndim == 1], 0.0)
    for _ in range(2):
        for batch in PACKS:
            trainer.forward_backward(batch, GRPO)
        for key, master in trainer.masters.masters.items():
            assert master.grad is not None
            twins[key].grad = master.grad.clone()
        trainer.step()
        matrices.step()
        vectors.step()
    for key, value in weights(trainer).items():
        assert (value - twins[key]).abs().max() <= 1e-7, key


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_average_equals_one_by_hand(dtype: torch.dtype) -> None:
    trainer = trainer_of(dtype=dtype, ema=0.7, lr=1e-2)
    expected = {name: value.double() for name, value in weights(trainer).items()}
    for _ in range(5):
        train(trainer, 1)
        for name, value in weights(trainer).items():
            expected[name] = 0.7 * expected[name] + 0.3 * value.double()
    assert trainer.average is not None
    for name, value in trainer.average.values.items():
        assert value.dtype == torch.float32 and (value - expected[name]).abs().max() <= 1e-6


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_average_computes_and_goes_away_again(tmp_path: Path, dtype: torch.dtype) -> None:
    trainer = trainer_of(dtype=dtype, ema=0.5, lr=1e-2)
    train(trainer, 3)
    newest, before = trainer.predict(PACKS[0]).logprobs, weights(trainer)
    assert trainer.average is not None
    kept = {name: value.clone() for name, value in trainer.average.values.items()}
    with pytest.raises(KeyboardInterrupt), trainer.averaged():
        averaged = trainer.predict(PACKS[0]).logprobs
        raise KeyboardInterrupt
    assert same(weights(trainer), before) and same(trainer.average.values, kept)
    assert torch.equal(trainer.predict(PACKS[0]).logprobs, newest)
    assert not torch.equal(averaged, newest)
    trainer.save(tmp_path)
    from transformers import AutoModelForCausalLM

    loaded = AutoModelForCausalLM.from_pretrained(tmp_path / "ema", dtype=dtype)
    for name, value in loaded.named_parameters():
        assert torch.equal(value, kept[name].to(dtype))


def test_a_skipped_update_is_not_averaged() -> None:
    trainer = trainer_of(ema=0.5)
    assert trainer.average is not None
    kept = {name: value.clone() for name, value in trainer.average.values.items()}
    trainer.forward_backward(PACKS[0], GRPO)
    trainer.masters.gradients()[0].fill_(float("nan"))
    assert trainer.step().skipped
    assert same(trainer.average.values, kept)


def test_without_an_average_the_checkpoint_begins_one(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    first = trainer_of()
    train(first, 1)
    first.save(tmp_path)
    second = trainer_of(ema=0.5)
    with caplog.at_level("WARNING", logger="r1zero"):
        second.load(tmp_path)
    assert "the checkpoint holds no average; it begins with the checkpoint's weights" in caplog.text
    assert second.average is not None and same(second.average.values, weights(first))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("checkpointing", [False, True])
def test_only_adapters_train(tmp_path: Path, dtype: torch.dtype, checkpointing: bool) -> None:
    model, plain = small_model(dtype=dtype), small_model(dtype=dtype)
    adapters.attach(model, Lora(rank=4), base="nowhere", seed=0)
    reference = Reference(model)
    trainer = LocalTrainer(
        model, SavableTokenizer(), Optimization(lr=1e-2), total_updates=9, gradient_checkpointing=checkpointing
    )
    assert all(".lora_" in name for name in trainer.masters.masters)
    chosen = trainer.predict(PACKS[0]).logprobs
    with torch.no_grad():
        untouched = token_logprobs(plain, PACKS[0]).logprobs
    for _ in range(4):  # a reference pass between updates costs no gradient
        assert torch.equal(reference.logprobs(PACKS[0]), untouched)
        train(trainer, 1)
    gained = (PACKS[0].advantages * PACKS[0].weight * (trainer.predict(PACKS[0]).logprobs - chosen)).sum()
    assert gained > 0.05
    base = {name.replace(".base_layer", ""): value for name, value in model.named_parameters() if "lora_" not in name}
    assert same(base, dict(plain.named_parameters())), "bit for bit"
    trainer.save(tmp_path)
    assert not list(tmp_path.glob("model*"))
    with safe_open(tmp_path / "adapter_model.safetensors", framework="pt") as file:
        assert set(file.keys()) == {
            f"base_model.model.{name.replace('.default', '')}" for name in trainer.masters.masters
        }


def test_adapters_have_peftes_gradient() -> None:
    """Against autograd through peft's own model and transformers' own attention."""
    import peft

    trainer = trainer_of(lora=Lora(rank=4, alpha=8.0))
    train(trainer, 1)
    values = weights(trainer)
    model = small_model(**BIG)
    model.set_attn_implementation("eager")
    theirs = peft.get_peft_model(
        model, peft.LoraConfig(r=4, lora_alpha=8, target_modules="all-linear", task_type="CAUSAL_LM")
    )
    own = {name: value for name, value in theirs.named_parameters() if value.requires_grad}
    assert {name.removeprefix("base_model.model.") for name in own} == values.keys()
    with torch.no_grad():
        for name, value in own.items():
            value.copy_(values[name.removeprefix("base_model.model.")])
    (sample,) = random_samples([(6, [7])])
    (batch,) = pack([sample], tokens_per_pack=100)
    trainer.forward_backward(batch, build(Algorithm(name="grpo", group_size=4)).loss)
    ids = torch.cat([torch.from_numpy(sample.prompt_ids), torch.from_numpy(sample.response_ids)]).long()
    logp = theirs(input_ids=ids[None], use_cache=False).logits[0, 5:-1].log_softmax(-1)
    loss = -(logp.gather(1, ids[6:, None])[:, 0] * torch.from_numpy(sample.advantages)).mean()
    loss.backward()
    for name, value in own.items():
        ours = trainer.masters.masters[name.removeprefix("base_model.model.")].grad
        assert ours is not None and value.grad is not None
        assert (ours - value.grad).abs().max() <= 1e-5


def test_wire_weights_are_a_whole_model() -> None:
    """For another engine Hugging Face names with adapters merged; for one on this very model what trains."""
    trainer, plain = trainer_of(lora=Lora(rank=4)), small_model(**BIG)
    train(trainer, 2)
    wire = dict(trainer.weights())
    assert wire.keys() == dict(plain.named_parameters()).keys()
    plain.load_state_dict(wire)
    with torch.no_grad():
        apart = token_logprobs(plain, PACKS[0]).logprobs - trainer.predict(PACKS[0]).logprobs
    assert apart.abs().max() <= 1e-4
    assert dict(trainer.own_weights()).keys() == trainer.masters.masters.keys()
    full = trainer_of()
    assert dict(full.weights()).keys() == dict(full.own_weights()).keys() == wire.keys()


def test_another_kind_of_checkpoint_is_refused(tmp_path: Path) -> None:
    with_adapters, whole = trainer_of(lora=Lora(rank=4)), trainer_of()
    with_adapters.save(tmp_path / "adapters")
    whole.save(tmp_path / "whole")
    with pytest.raises(UsageError, match="model.lora: the checkpoint holds a whole model; resume with the setting"):
        with_adapters.load(tmp_path / "whole")
    with pytest.raises(UsageError, match="model.lora: the checkpoint holds adapters; resume with the setting"):
        whole.load(tmp_path / "adapters")
    with pytest.raises(UsageError, match=r"is \[4, 48\], not \[8, 48\]; resume with the model settings"):
        trainer_of(lora=Lora(rank=8)).load(tmp_path / "adapters")


def test_frozen_adapters_cannot_be_trained() -> None:
    model = small_model()
    adapters.attach(model, Lora(rank=4), base="nowhere", seed=0)
    with pytest.raises(UsageError, match="adapters do not train further; merge them first: r1zero model merge"):
        LocalTrainer(model.requires_grad_(False), SavableTokenizer(), Optimization(lr=1e-3), total_updates=1)
