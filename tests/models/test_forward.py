"""Shared-prefix packs against transformers' own forward, for several families."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from r1zero.base.errors import UsageError
from r1zero.data.packing import pack
from r1zero.models.forward import token_logprobs
from r1zero.types import Sample

from ..conftest import random_samples, small_model

FAMILIES: dict[str, dict[str, Any]] = {
    "llama": {},
    "qwen2": {},
    "qwen3": {"head_dim": 16},
    "mistral": {"sliding_window": None},
    "phi3": {},
    "olmo2": {},
    "granite": {"logits_scaling": 4.0, "attention_multiplier": 0.3},
    "cohere": {"logit_scale": 0.5},
    "gpt_neox": {},
    "qwen3_moe": {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16, "head_dim": 8},
}


def own_logprobs(model: Any, sample: Sample, temperature: float) -> torch.Tensor:
    """transformers, one unpadded sequence, its own attention."""
    ids = torch.from_numpy(np.concatenate([sample.prompt_ids, sample.response_ids])).long()
    logits = model(input_ids=ids[None], use_cache=False).logits[0].float() / temperature
    start = len(sample.prompt_ids)
    return logits.log_softmax(-1)[start - 1 : -1].gather(1, ids[start:, None])[:, 0]


@pytest.mark.parametrize("family", FAMILIES)
@torch.no_grad()
def test_log_probabilities_equal_transformers(family: str) -> None:
    model = small_model(family, **FAMILIES[family])
    samples = random_samples([(7, [5, 2, 9]), (1, [4]), (12, [3, 3])])
    (batch,) = pack(samples, tokens_per_pack=1000)
    ours = token_logprobs(model, batch, temperature=0.8).logprobs
    model.set_attn_implementation("eager")
    by_size = sorted(samples, key=lambda sample: -_group_size(samples, sample))
    expected = torch.cat([own_logprobs(model, sample, 0.8) for sample in by_size])
    assert expected.std() > 0.2
    torch.testing.assert_close(ours, expected, atol=1e-4, rtol=0)


def _group_size(samples: list[Sample], sample: Sample) -> int:
    members = [other for other in samples if other.prompt_ids is sample.prompt_ids]
    return len(sample.prompt_ids) + sum(len(member.response_ids) for member in members)


@pytest.mark.parametrize(
    ("family", "changes", "reason"),
    [
        ("doge", {}, "DogeAttention makes a mask of its own"),
        ("bloom", {}, "is not supported"),
        ("mamba", {}, "is not supported"),
    ],
)
def test_families_that_compute_something_else_are_refused(family: str, changes: dict, reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        small_model(family, **changes)


def test_an_altered_forward_is_found_out_when_a_model_is_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    from r1zero.models import load

    model = small_model()
    model.set_attn_implementation("eager")
    monkeypatch.setattr(load, "lm_head", lambda model: head_times_two(model))
    with pytest.raises(UsageError, match="our forward differs from its own by"):
        load.check_forward(model, "x")


def head_times_two(model: Any) -> Any:
    from r1zero.models.head import LMHead

    return LMHead(model.get_output_embeddings().weight, None, 2.0)
