"""Weights in 4 bits under adapters, on a CPU."""

from __future__ import annotations

import copy
import importlib.util
from pathlib import Path
from typing import Any

import pytest
import torch

from r1zero.algorithms import build
from r1zero.base.errors import UsageError
from r1zero.config import Algorithm, Lora, Optimization
from r1zero.data.packing import pack
from r1zero.engine.native import NativeEngine
from r1zero.models import adapters
from r1zero.models.flops import Work, model_flops
from r1zero.models.forward import token_logprobs
from r1zero.models.load import load_model
from r1zero.models.quantize import dequantised
from r1zero.trainer.local import LocalTrainer
from r1zero.trainer.reference import Reference
from r1zero.types import Sampling

from ..conftest import ByteTokenizer, random_prompts, random_samples, small_model

bnb = pytest.importorskip("bitsandbytes", reason="bitsandbytes is not installed: pip install 'r1zero[lora]'")
(BATCH,) = pack(random_samples([(6, [5, 3, 8, 2]), (3, [4, 4])]), tokens_per_pack=1000)
SIZES: dict[str, Any] = {"kind": "llama", "hidden_size": 64, "intermediate_size": 128, "spread": 2.0}
GRPO = build(Algorithm(name="grpo", group_size=4)).loss


@pytest.fixture
def base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("transformers.AutoTokenizer.from_pretrained", lambda *_, **__: ByteTokenizer())
    small_model(**SIZES).save_pretrained(tmp_path / "base")
    return tmp_path / "base"


def quantized(base: Path, dtype: torch.dtype = torch.float32, seed: int = 0) -> Any:
    options: Any = {"lora": Lora(rank=4), "quantization": "nf4", "seed": seed}
    return load_model(str(base), dtype=dtype, device=torch.device("cpu"), **options)[0]


def packed(model: Any) -> dict[str, torch.Tensor]:
    return {name: value.data.clone() for name, value in model.named_parameters() if hasattr(value, "quant_state")}


def test_every_adapted_weight_takes_four_bits(base: Path) -> None:
    model, plain = quantized(base), small_model(**SIZES)
    weights = packed(model)
    assert len(weights) == 2 * 7 and all(value.dtype == torch.uint8 for value in weights.values())
    dense = {name: value for name, value in plain.named_parameters() if name.endswith("proj.weight")}
    assert sum(value.numel() for value in weights.values()) * 2 == sum(value.numel() for value in dense.values())
    for name, value in dense.items():
        layer = model.get_submodule(name.removesuffix(".weight")).base_layer
        near = dequantised(layer.weight, torch.float32)
        # NormalFloat's widest gap is 0.3 of a block's largest value, so no value moves by more than 0.16 of it
        assert near.shape == value.shape and (near - value).abs().max() <= 0.16 * value.abs().max()
        assert not torch.equal(near, value)
    own = sum(value.numel() for name, value in model.named_parameters() if ".lora_" in name)
    work = Work(10, 3, 55)
    assert model_flops(model).forward(work) == model_flops(plain).forward(work) + 2 * own * 10


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_forward_pass_is_that_of_the_dequantised_weights(base: Path, dtype: torch.dtype) -> None:
    model, plain = quantized(base, dtype), small_model(**SIZES, dtype=dtype)
    before = token_logprobs(plain, BATCH).logprobs
    plain.load_state_dict(dict(adapters.merged_weights(model)), strict=False)
    with torch.no_grad():
        found, expected = token_logprobs(model, BATCH).logprobs, token_logprobs(plain, BATCH).logprobs
    assert (found - expected).abs().max() <= (1e-4 if dtype == torch.float32 else 0.1)
    assert (before - expected).abs().max() > 0.1


def test_sampling_first_does_not_cost_the_gradient(base: Path) -> None:
    """bitsandbytes' layout for inference on a CPU passes no gradient back, and never says so. Against the same adapters
    on the same weights, dense."""

    def gradients(model: Any) -> dict[str, torch.Tensor]:
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if "lora_B" in name:
                    parameter.fill_(0.05)
        trainer = LocalTrainer(model, ByteTokenizer(), Optimization(lr=1e-3), total_updates=1)
        trainer.forward_backward(BATCH, GRPO)
        return {name: master.grad for name, master in trainer.masters.masters.items() if master.grad is not None}

    model, plain = quantized(base), small_model(**SIZES)
    plain.load_state_dict(dict(adapters.merged_weights(model)), strict=False)  # they are still zero
    adapters.attach(plain, Lora(rank=4), base=str(base), seed=0)
    engine = NativeEngine(model, ByteTokenizer(), kv_cache_gib=0.01)
    list(engine.generate(random_prompts([5]), Sampling(n=2, max_new_tokens=4)))
    Reference(model).logprobs(BATCH)
    found, expected = gradients(model), gradients(plain)
    assert found.keys() == expected.keys() and len(found) == 2 * 2 * 7
    for name, gradient in expected.items():
        assert gradient.any() and (found[name] - gradient).abs().max() <= 1e-4 * gradient.abs().max(), name


def test_training_learns_leaves_the_base_alone_and_resumes_exactly(base: Path, tmp_path: Path) -> None:
    class Tokenizer(ByteTokenizer):
        def save_pretrained(self, folder: Path) -> None: ...

    def trainer(seed: int = 0) -> LocalTrainer:
        return LocalTrainer(quantized(base, seed=seed), Tokenizer(), Optimization(lr=1e-2), total_updates=4)

    def train(trainer: LocalTrainer, updates: int) -> list[float]:
        losses = []
        for _ in range(updates):
            losses.append(trainer.forward_backward(BATCH, GRPO)["loss"])
            trainer.step()
        return losses

    straight = trainer()
    before, reference = packed(straight.model), Reference(straight.model)
    said = reference.logprobs(BATCH)
    chosen = straight.predict(BATCH).logprobs
    train(straight, 4)
    gained = (BATCH.advantages * (straight.predict(BATCH).logprobs - chosen)).sum()
    assert gained > 0.1, "the likely get likelier where advantages are positive"
    after = packed(straight.model)
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert torch.equal(reference.logprobs(BATCH), said)
    first = trainer()
    train(first, 2)
    first.save(tmp_path / "saved")
    second = trainer(seed=9)
    second.load(tmp_path / "saved")
    train(second, 2)
    masters = second.masters.masters
    assert all(torch.equal(value, masters[name]) for name, value in straight.masters.masters.items())


def test_without_the_library_the_remedy_is_named(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    find = copy.copy(importlib.util.find_spec)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "bitsandbytes" else find(name))
    with pytest.raises(UsageError, match=r"bitsandbytes is not installed; pip install 'r1zero\[lora\]'"):
        quantized(base)
