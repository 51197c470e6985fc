"""What a checkpoint gives back is what was saved, whatever names the file has; anything else is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from r1zero.base.errors import UsageError
from r1zero.config import Lora
from r1zero.models import adapters
from r1zero.trainer.local import LocalTrainer

from ..conftest import small_model
from .test_local import trainer_of

EXPERTS = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16}
FAMILIES: dict[str, dict[str, Any]] = {
    "qwen2": {},
    "gpt2": {"n_embd": 32, "n_layer": 2, "n_head": 4, "attn_pdrop": 0.0, "resid_pdrop": 0.0, "embd_pdrop": 0.0},
    "mixtral": {"num_local_experts": 4, "num_experts_per_tok": 2, "sliding_window": None},
    "granitemoe": {"num_local_experts": 4, "num_experts_per_tok": 2},
    "olmoe": {"num_experts": 4, "num_experts_per_tok": 2},
    "qwen2_moe": {**EXPERTS, "shared_expert_intermediate_size": 16},
    "qwen3_moe": {**EXPERTS, "head_dim": 8},
    "deepseek_v3": {
        "n_routed_experts": 4,
        "num_experts_per_tok": 2,
        "n_group": 2,
        "topk_group": 1,
        "moe_intermediate_size": 16,
        "num_key_value_heads": 4,
        "q_lora_rank": 16,
        "kv_lora_rank": 16,
        "qk_nope_head_dim": 8,
        "qk_rope_head_dim": 8,
        "v_head_dim": 8,
        "first_k_dense_replace": 1,
    },
}


def differing(seed: int, family: str = "qwen2", **settings: Any) -> LocalTrainer[Any]:
    return trainer_of(small_model(family, seed=seed, **FAMILIES[family]), **settings)


def weights(trainer: LocalTrainer[Any]) -> dict[str, torch.Tensor]:
    return {name: value.detach().clone() for name, value in trainer.masters.masters.items()}


@pytest.mark.parametrize("family", FAMILIES)
def test_every_weight_of_a_family_returns(tmp_path: Path, family: str) -> None:
    saved, other = differing(0, family, ema=0.9), differing(1, family, ema=0.9)
    assert saved.average is not None and other.average is not None
    with torch.no_grad():
        for value in saved.average.values.values():
            value.add_(1.0)
        for name, buffer in saved.model.named_buffers():
            if "correction_bias" in name:  # DeepSeek-V3's routers keep it beside the parameters
                buffer.add_(0.5)
    saved.save(tmp_path / "checkpoint")
    other.load(tmp_path / "checkpoint")
    for name, value in weights(saved).items():
        assert torch.equal(value, other.masters.masters[name]), name
        assert torch.equal(saved.average.values[name], other.average.values[name]), name
    plain = type(saved.model).from_pretrained(tmp_path / "checkpoint", dtype=torch.float32)
    state = plain.state_dict()
    for name, value in saved.model.state_dict().items():
        assert torch.equal(state[name], value), name


@pytest.mark.parametrize(
    ("family", "message"),
    [("gpt2", "holds a GPT2LMHeadModel, not a Qwen2ForCausalLM"), ("mixtral", "holds a MixtralForCausalLM")],
)
def test_another_model_is_refused(tmp_path: Path, family: str, message: str) -> None:
    differing(0, family).save(tmp_path / "checkpoint")
    trainer = differing(1)
    before = weights(trainer)
    with pytest.raises(UsageError, match=message):
        trainer.load(tmp_path / "checkpoint")
    assert all(torch.equal(before[name], value) for name, value in weights(trainer).items())


@pytest.mark.parametrize("deeper", [1, 3])
def test_a_model_of_another_depth_is_refused(tmp_path: Path, deeper: int) -> None:
    trainer_of(small_model(num_hidden_layers=deeper)).save(tmp_path / "checkpoint")
    with pytest.raises(UsageError, match=r"layers\.\d\.\S+ is (only in|not in) the checkpoint; resume with the model"):
        differing(1).load(tmp_path / "checkpoint")


@pytest.mark.parametrize(
    ("now", "message"),
    [
        (Lora(rank=4, targets=("v_proj",)), "lora_A.default.weight is (only in|not in) the checkpoint"),
        (Lora(rank=4, targets=("q_proj", "v_proj")), "v_proj.lora_A.default.weight is not in the checkpoint"),
        (Lora(rank=4, targets=("q_proj",), alpha=64), "adapters of rank and alpha"),
    ],
)
def test_other_adapters_are_refused(tmp_path: Path, now: Lora, message: str) -> None:
    def adapted(lora: Lora, seed: int = 0) -> LocalTrainer[Any]:
        model = small_model(seed=seed)
        adapters.attach(model, lora, base="base", seed=0)
        return trainer_of(model)

    first = Lora(rank=4, targets=("q_proj",))
    adapted(first).save(tmp_path / "checkpoint")
    adapted(first).load(tmp_path / "checkpoint")
    with pytest.raises(UsageError, match=message):
        adapted(now).load(tmp_path / "checkpoint")
    with pytest.raises(UsageError, match="its adapters were trained on another base model"):
        adapted(first, seed=1).load(tmp_path / "checkpoint")


def test_altered_weights_are_refused(tmp_path: Path) -> None:
    """Also where the manifest is not looked at."""
    trainer = differing(0)
    trainer.save(tmp_path / "checkpoint")
    file = tmp_path / "checkpoint" / "model.safetensors"
    tensors = load_file(file)
    save_file({**tensors, "model.norm.weight": tensors["model.norm.weight"] + 1e-6}, file, metadata={"format": "pt"})
    with pytest.raises(UsageError, match=r"model.norm.weight is not what was saved; resume from another checkpoint"):
        trainer.load(tmp_path / "checkpoint")
    (tmp_path / "checkpoint" / "weights.json").unlink()
    with pytest.raises(UsageError, match=r"weights.json cannot be read"):
        trainer.load(tmp_path / "checkpoint")


def test_the_optimizer_of_another_model_is_refused(tmp_path: Path) -> None:
    """Moments of a layer that is not there."""
    import json

    trainer = differing(0)
    trainer.save(tmp_path / "checkpoint")
    file = tmp_path / "checkpoint" / "optimizer.json"
    said = json.loads(file.read_text())
    file.write_text(json.dumps({**said, "numbers": {**said["numbers"], "step/model.layers.9.weight": 3}}))
    with pytest.raises(UsageError, match="state holds model.layers.9.weight, which does not train here"):
        trainer.load(tmp_path / "checkpoint")
