"""Our count of FLOPs against torch's counter on transformers' own forward."""

from __future__ import annotations

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from r1zero.models.flops import Work, causal_pairs, model_flops
from tests.conftest import small_model


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("kind", ["llama", "qwen3"])
def test_equals_what_torch_counts(kind: str, tied: bool) -> None:
    model = small_model(kind, tie_word_embeddings=tied, head_dim=16)
    flops = model_flops(model)
    model.set_attn_implementation("eager")
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(input_ids=torch.arange(3, 14)[None], use_cache=False)
    # eager attention computes every pair, visible or not
    assert counter.get_total_flops() == flops.forward(Work(tokens=11, predicted=11, pairs=121))
    assert flops.training(Work(2, 1, 3)) == 3 * flops.forward(Work(2, 1, 3))


def test_causal_pairs() -> None:
    assert causal_pairs(3) == 1 + 2 + 3
    assert causal_pairs(2, before=5) == 6 + 7
    assert causal_pairs(0, before=5) == 0
