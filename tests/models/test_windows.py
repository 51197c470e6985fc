"""Sliding windows, capped scores and sinks against transformers' eager attention: forward, gradient, engine."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor

from r1zero.base.errors import UsageError
from r1zero.data.packing import pack
from r1zero.models import reach
from r1zero.models.forward import token_logprobs
from r1zero.models.load import check_forward
from r1zero.types import Sample, Sampling

from ..conftest import random_prompts, random_samples, small_model
from ..engine.contract import everything
from ..engine.test_native import engine_of, sampled
from .test_forward import own_logprobs

FAMILIES: dict[str, dict[str, Any]] = {
    "mistral": {},
    "phi3": {},
    "qwen2": {"use_sliding_window": True, "max_window_layers": 1},  # the first layer sees all
    "gemma2": {
        "head_dim": 8,
        "query_pre_attn_scalar": 8,
        "attn_logit_softcapping": 2.0,
        "final_logit_softcapping": 5.0,
    },
    "gemma3_text": {"head_dim": 8, "query_pre_attn_scalar": 8, "layer_types": ["sliding_attention", "full_attention"]},
    "gpt_oss": {"head_dim": 8, "num_local_experts": 4, "num_experts_per_tok": 2},
    "cohere2": {"logit_scale": 0.5, "layer_types": ["sliding_attention", "full_attention"]},
    "olmo3": {"spread": 1.0, "layer_types": ["sliding_attention", "full_attention"]},
}
SAMPLES = random_samples([(7, [5, 2, 9]), (1, [14]), (12, [3, 3])])
# below the longest prompt and crossing into it from responses, between prompt and sequence, above every sequence
WINDOWS = [2, 9, 14, 16]


def windowed(family: str, window: int, **changes: Any) -> Any:
    model = small_model(family, **FAMILIES[family], sliding_window=window, **changes)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("sinks"):
                parameter.copy_(torch.linspace(-1, 3, len(parameter)))
    return model


def eager(model: Any) -> Any:
    own = copy.deepcopy(model)
    own.set_attn_implementation("eager")
    return own


def gradients(model: Any, logprobs: Tensor) -> dict[str, Tensor]:
    (logprobs * torch.linspace(-1, 2, len(logprobs))).sum().backward()
    return {name: parameter.grad for name, parameter in model.named_parameters() if parameter.grad is not None}


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("family", FAMILIES)
def test_packs_equal_transformers_forward_and_backward(family: str, window: int) -> None:
    model = windowed(family, window)
    own = eager(model)
    (batch,) = pack(SAMPLES, tokens_per_pack=1000)
    ours = token_logprobs(model, batch).logprobs
    theirs = torch.cat([own_logprobs(own, SAMPLES[member], 1.0) for member in batch.members])
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)
    mine, expected = gradients(model, ours), gradients(own, theirs)
    assert mine.keys() == expected.keys() and (family != "gpt_oss" or any("sinks" in name for name in mine))
    largest = max(float(gradient.abs().max()) for gradient in expected.values())
    for name, gradient in expected.items():
        torch.testing.assert_close(mine[name] / largest, gradient / largest, atol=1e-5, rtol=0)


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("family", FAMILIES)
@torch.no_grad()
def test_the_engine_equals_transformers(family: str, window: int) -> None:
    """Prompts shorter and longer than the window, rows of different ages beside each other."""
    model = windowed(family, window)
    prompts = random_prompts([3, 12, 1, 16, 8])
    sampling = Sampling(n=3, max_new_tokens=14, stop_token_ids=frozenset(range(3, 12)), seed=1)
    tight = 3 * (16 + 3 * 14) * 2 * 2 * 2 * 8 * 4 / 2**30  # not all groups at once, so that rows move
    groups = everything(engine_of(model, gib=tight), prompts, sampling)
    own = eager(model)
    for index, prompt in enumerate(prompts):
        for sample in sampled(prompt, groups[index]):
            recorded = torch.from_numpy(sample.behaviour_logprobs)
            torch.testing.assert_close(recorded, own_logprobs(own, sample, 1.0), atol=1e-5, rtol=0)


@torch.no_grad()
def test_the_window_matters_here() -> None:
    (batch,) = pack(SAMPLES, tokens_per_pack=1000)
    for family in FAMILIES:
        narrow, wide = (token_logprobs(windowed(family, window), batch).logprobs for window in (2, 16))
        assert (narrow - wide).abs().max() > 1e-3, family


def test_windows_are_proven_when_a_model_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A family whose layers do not tell us their window: refused only where a sequence may exceed it."""
    from r1zero.models import attention

    plain = attention.Scoring
    monkeypatch.setattr(attention, "Scoring", lambda scale, window, softcap, sinks: plain(scale, None, softcap, sinks))
    small_model("mistral", sliding_window=64, longest=64)
    with pytest.raises(UsageError) as caught:
        small_model("mistral", sliding_window=64, longest=65)
    assert str(caught.value) == (
        "model.path = 'mistral': MistralForCausalLM hides keys by sliding_window = 64 in a way that we do not compute, "
        "and sequences may have 65 tokens; allow at most 64"
    )


def test_proving_leaves_a_model_as_it_was() -> None:
    model = windowed("gemma3_text", 64)
    assert reach.limits(model) == {"sliding_window": 64}
    assert [layer.self_attn.sliding_window for layer in model.model.layers] == [64, None]
    before = model.config.to_dict()
    with pytest.raises(RuntimeError), reach.narrowed(model, 3):
        assert [layer.self_attn.sliding_window for layer in model.model.layers] == [3, None]
        raise RuntimeError
    assert model.config.to_dict() == before and model.model.layers[0].self_attn.sliding_window == 64


def test_gemma_3_with_its_eyes_shut() -> None:
    """The 4B and larger have a vision tower beside the language model; text goes through all the same."""
    from transformers import AutoConfig, AutoModelForCausalLM

    text = windowed("gemma3_text", 9).config.to_dict()
    vision = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    sizes = {"image_size": 28, "patch_size": 14}
    config = AutoConfig.for_model(
        "gemma3", text_config=text, vision_config={**vision, **sizes}, mm_tokens_per_image=4, image_token_index=96
    )
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config).eval()
    check_forward(model, "gemma3")
    samples: list[Sample] = SAMPLES[:3]
    (batch,) = pack(samples, tokens_per_pack=1000)
    with torch.no_grad():
        ours = token_logprobs(model, batch).logprobs
        theirs = torch.cat([own_logprobs(eager(model), sample, 1.0) for sample in samples])
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)
