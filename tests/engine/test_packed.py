"""Weights in oneDNN's order: the same products, always those of the newest weights, and only while decoding."""

from __future__ import annotations

import pytest
import torch

from r1zero.engine.native import packed
from r1zero.engine.native.packed import PackedLinears
from r1zero.models.head import lm_head
from r1zero.types import Sampling

from ..conftest import random_prompts, small_model
from .contract import everything
from .test_native import engine_of

needs_blocks = pytest.mark.skipif(not packed.supported(), reason="oneDNN does no products in bf16 here")
SAMPLING = Sampling(n=2, temperature=0, max_new_tokens=12)


def small_bf16(family: str) -> torch.nn.Module:
    model = small_model(family, dtype=torch.bfloat16)
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    return model


@needs_blocks
@pytest.mark.parametrize("family", ["qwen2", "llama"])  # with and without biases
def test_products_are_the_plain_ones(family: str) -> None:
    model = small_bf16(family)
    linears = PackedLinears(model, lm_head(model))
    linears.refresh(rows=8)
    assert len(linears.layers) == sum(type(module) is torch.nn.Linear for module in model.modules())
    for layer in linears.layers:
        rows = torch.randn(1, 8, layer.in_features).to(torch.bfloat16)
        plain = layer(rows)
        with linears.in_use():
            assert layer.forward.func.__module__ == "r1zero.engine.native.packed"
            torch.testing.assert_close(layer(rows), plain, rtol=1e-2, atol=1e-2)
        assert "forward" not in vars(layer)
    hidden = torch.randn(8, model.config.hidden_size).to(torch.bfloat16)
    torch.testing.assert_close(linears.head.logits(hidden), linears.plain_head.logits(hidden), rtol=1e-2, atol=1e-2)


@pytest.mark.parametrize("blocks", [True, False])
def test_samples_come_from_the_newest_weights(blocks: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also on a processor with AVX2 alone, which has no blocks for bf16."""
    if not blocks:
        monkeypatch.setattr(packed, "supported", lambda: False)
    model = small_bf16("llama")
    engine, prompts = engine_of(model), random_prompts([3, 8])
    before = everything(engine, prompts, SAMPLING)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn_like(parameter) * 0.3)
    after = everything(engine, prompts, SAMPLING)
    fresh = everything(engine_of(model), prompts, SAMPLING)
    tokens = [
        [[completion.token_ids.tolist() for completion in group] for group in found.values()]
        for found in (before, after, fresh)
    ]
    assert tokens[1] == tokens[2] != tokens[0]


def test_a_fp32_model_keeps_its_products() -> None:
    model = small_model("llama")
    linears = PackedLinears(model, lm_head(model))
    linears.refresh(rows=8)
    assert not linears.layers
    assert linears.head is linears.plain_head
