"""Adapters: peft's mathematics, a base that never changes, a folder that peft reads, and merging."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import torch

from r1zero.base.errors import UsageError
from r1zero.config import Lora
from r1zero.data.packing import pack
from r1zero.engine.native import NativeEngine
from r1zero.models import adapters
from r1zero.models.flops import Work, model_flops
from r1zero.models.forward import token_logprobs
from r1zero.models.load import load_model
from r1zero.types import Sampling

from ..conftest import ByteTokenizer, random_prompts, random_samples, save_tokenizer, small_model
from ..engine.contract import greedy_by_transformers

LORA = Lora(rank=4, alpha=8.0)
(BATCH,) = pack(random_samples([(6, [5, 3, 8, 2]), (3, [4, 4])]), tokens_per_pack=1000)
CPU = {"dtype": torch.float32, "device": torch.device("cpu")}


def adapted_model(settings: Lora = LORA, base: str = "nowhere", **options: Any) -> Any:
    """With adapters that change something."""
    model = options.pop("model", None) or small_model(**options)
    adapters.attach(model, settings, base=base, seed=3)
    torch.manual_seed(5)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.1)
    return model.eval()


def saved_base(folder: Path, **options: Any) -> Any:
    model = small_model(**options)
    model.save_pretrained(folder)
    save_tokenizer(folder)
    return model


@torch.no_grad()
def logprobs(model: Any) -> torch.Tensor:
    return token_logprobs(model, BATCH).logprobs


def test_new_adapters_change_nothing_and_are_all_that_trains() -> None:
    plain, model = small_model(), small_model()
    adapters.attach(model, LORA, base="nowhere", seed=0)
    assert torch.equal(logprobs(model), logprobs(plain))
    trained = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert trained == {name for name, _ in model.named_parameters() if ".lora_" in name}
    assert len(trained) == 2 * 2 * 7, "two matrices for each of seven linear layers in two layers"
    assert not any("lm_head" in name or "embed" in name for name in trained)
    assert adapters.adapted(model) and not adapters.adapted(plain)


def test_initial_adapters_depend_on_the_seed_alone() -> None:
    def first(seed: int, before: int) -> torch.Tensor:
        model = small_model()
        torch.manual_seed(before)
        state = torch.get_rng_state()
        adapters.attach(model, LORA, base="nowhere", seed=seed)
        assert torch.equal(torch.get_rng_state(), state), "nobody else's numbers are used up"
        return model.model.layers[0].mlp.up_proj.lora_A["default"].weight.detach()

    assert torch.equal(first(1, before=0), first(1, before=9))
    assert not torch.equal(first(1, before=0), first(2, before=0))


def test_targets() -> None:
    model = small_model()
    adapters.attach(model, Lora(rank=2, targets=("q_proj", "v_proj")), base="nowhere", seed=0)
    trained = {name.split(".")[4] for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert trained == {"q_proj", "v_proj"}
    with pytest.raises(UsageError, match="lora.targets: the model has no linear layer 'k_porj'; did you mean 'k_proj'"):
        adapters.attach(small_model(), Lora(targets=("k_porj",)), base="nowhere", seed=0)
    with pytest.raises(UsageError, match="no linear layer 'lm_head'"):
        adapters.attach(small_model(), Lora(targets=("lm_head",)), base="nowhere", seed=0)


def test_equals_pefts_own_model(tmp_path: Path) -> None:
    """Saved by us, read by peft into transformers' own forward."""
    import peft
    from transformers import AutoModelForCausalLM

    model = adapted_model(model=saved_base(tmp_path / "base"), base=str(tmp_path / "base"))
    trained = {name: value.detach() for name, value in model.named_parameters() if value.requires_grad}
    adapters.save(model, tmp_path / "adapter", trained)
    base = AutoModelForCausalLM.from_pretrained(tmp_path / "base")
    theirs = peft.PeftModel.from_pretrained(base, str(tmp_path / "adapter")).eval()
    prompt = random_prompts([9])[0].token_ids
    ids = torch.from_numpy(prompt).long()[None]
    model.set_attn_implementation("eager")
    with torch.no_grad():
        ours, expected = model(input_ids=ids, use_cache=False).logits, theirs(input_ids=ids, use_cache=False).logits
        plain = small_model()
        plain.set_attn_implementation("eager")
        assert (plain(input_ids=ids, use_cache=False).logits - expected).abs().max() > 0.1
    assert (ours - expected).abs().max() <= 1e-5


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_switched_off_is_the_untouched_base_exactly(dtype: torch.dtype) -> None:
    plain, model = small_model(dtype=dtype), adapted_model(dtype=dtype)
    on = logprobs(model)
    trained = [name for name, parameter in model.named_parameters() if parameter.requires_grad]
    with adapters.without(model):
        off = logprobs(model)
    assert torch.equal(off, logprobs(plain))
    assert not torch.equal(on, off)
    assert torch.equal(logprobs(model), on)
    assert [name for name, parameter in model.named_parameters() if parameter.requires_grad] == trained


@pytest.mark.parametrize("kind", ["qwen2", "llama", "gpt2"])
def test_merging_equals_the_unmerged_forward(kind: str) -> None:
    """Biases, tied embeddings, and layers that keep their weight transposed."""
    options: dict[str, Any] = {"kind": kind, "tie_word_embeddings": kind != "qwen2"}
    if kind == "gpt2":
        options |= {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 512, "spread": 1.5, "resid_pdrop": 0.0}
        options |= {"attn_pdrop": 0.0, "embd_pdrop": 0.0}
    model, merged = adapted_model(**options), small_model(**options)
    before = logprobs(merged)
    weights = dict(adapters.merged_weights(model))
    assert weights.keys() == dict(merged.named_parameters()).keys()
    merged.load_state_dict(weights, strict=False)
    assert (logprobs(merged) - logprobs(model)).abs().max() <= 1e-4
    assert (logprobs(merged) - before).abs().max() > 1e-2


def test_a_folder_of_adapters_is_a_model_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("transformers.AutoTokenizer.from_pretrained", lambda *_, **__: ByteTokenizer())
    model = adapted_model(model=saved_base(tmp_path / "base"), base=str(tmp_path / "base"))
    trained = {name: value.detach() for name, value in model.named_parameters() if value.requires_grad}
    adapters.save(model, tmp_path / "adapter", trained)
    assert not adapters.is_adapter(tmp_path / "base") and adapters.is_adapter(tmp_path / "adapter")
    loaded, _ = load_model(str(tmp_path / "adapter"), **CPU)
    assert torch.equal(logprobs(loaded), logprobs(model))
    assert not any(parameter.requires_grad for parameter in loaded.parameters())
    with pytest.raises(UsageError, match="is a folder of adapters already; merge it first: r1zero model merge"):
        load_model(str(tmp_path / "adapter"), **CPU, lora=LORA)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"peft_type": "IA3"}, "only plain LoRA adapters can be loaded"),
        ({"use_dora": True}, "only plain LoRA adapters can be loaded"),
        ({"base_model_name_or_path": "/no/such/base"}, "its base model '/no/such/base' is not here"),
    ],
)
def test_adapters_that_cannot_be_loaded(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    model = adapted_model()
    adapters.save(model, tmp_path, {})
    settings = json.loads((tmp_path / "adapter_config.json").read_text())
    (tmp_path / "adapter_config.json").write_text(json.dumps(settings | change))
    with pytest.raises(UsageError, match=message):
        adapters.base_of(tmp_path)


def test_adapters_of_another_shape_are_refused(tmp_path: Path) -> None:
    model = adapted_model()
    trained = {name: value.detach() for name, value in model.named_parameters() if value.requires_grad}
    adapters.save(model, tmp_path, trained)
    with pytest.raises(UsageError, match="does not fit its base model 'nowhere'"):
        adapters.restore(small_model(intermediate_size=64), tmp_path)


def test_a_base_that_r1zero_brings_is_found_on_another_machine(tmp_path: Path) -> None:
    adapters.save(adapted_model(base="/elsewhere/models/tiny"), tmp_path, {})
    settings = json.loads((tmp_path / "adapter_config.json").read_text())
    assert settings["base_model_name_or_path"] == "/elsewhere/models/tiny"
    assert (Path(adapters.base_of(tmp_path)) / "config.json").exists()


def test_the_engine_samples_from_the_adapted_model() -> None:
    model = adapted_model()
    engine = NativeEngine(model, ByteTokenizer(), kv_cache_gib=0.01)
    prompts = random_prompts([7, 4])
    sampling = Sampling(n=1, temperature=0.0, max_new_tokens=12)
    found = {index: group[0].token_ids.tolist() for index, group in engine.generate(prompts, sampling)}
    merged = small_model()
    merged.load_state_dict(dict(adapters.merged_weights(model)), strict=False)
    merged.set_attn_implementation("eager")
    plain = copy.deepcopy(small_model())
    plain.set_attn_implementation("eager")
    with torch.no_grad():
        for index, prompt in enumerate(prompts):
            assert found[index] == greedy_by_transformers(merged, prompt.token_ids, 12)
            assert found[index] != greedy_by_transformers(plain, prompt.token_ids, 12)


def test_a_frozen_weight_has_no_gradient_to_compute() -> None:
    plain, model = model_flops(small_model()), model_flops(adapted_model())
    work = Work(tokens=10, predicted=4, pairs=55)
    own = sum(value.numel() for name, value in adapted_model().named_parameters() if ".lora_" in name)
    assert model.forward(work) - plain.forward(work) == 2 * own * 10
    saved = plain.per_token * 10 + plain.per_predicted * 4
    assert model.training(work) == 3 * model.forward(work) - saved


def test_adapters_without_all_their_weights_are_refused(tmp_path: Path) -> None:
    model = small_model()
    model.save_pretrained(tmp_path / "base")
    adapters.attach(model, Lora(rank=4), base=str(tmp_path / "base"), seed=0)
    trained = {name: value for name, value in model.named_parameters() if value.requires_grad}
    dropped = "model.layers.1.mlp.up_proj.lora_B.default.weight"
    adapters.save(model, tmp_path / "adapters", {name: value for name, value in trained.items() if name != dropped})
    with pytest.raises(UsageError, match=f"{dropped} is not in adapter_model.safetensors"):
        adapters.restore(small_model(), tmp_path / "adapters")


def test_the_same_adapters_are_the_same_bytes(tmp_path: Path) -> None:
    """peft keeps its targets in a set, whose order a process's hash seed decides: every list is in order."""
    model = small_model()
    adapters.attach(model, Lora(rank=4), base="base", seed=0)
    model.peft_config["default"].target_modules = {"up_proj", "q_proj", "k_proj", "down_proj", "gate_proj", "o_proj"}
    adapters.save(model, tmp_path, {name: value for name, value in model.named_parameters() if value.requires_grad})
    text = (tmp_path / "adapter_config.json").read_text()
    settings = json.loads(text)
    assert settings["target_modules"] == sorted(settings["target_modules"]) and len(settings["target_modules"]) == 6
    assert text == json.dumps(settings, indent=2, sort_keys=True)
