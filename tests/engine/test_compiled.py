"""Layers through torch.compile: the same samples, one compilation for all layers, and only while sampling."""

from __future__ import annotations

import shutil

import pytest
import torch

from r1zero.base.errors import UsageError
from r1zero.engine.native import NativeEngine
from r1zero.engine.native.compiled import CompiledLayers
from r1zero.types import Sampling

from ..conftest import ByteTokenizer, random_prompts, small_model
from .contract import everything
from .test_native import engine_of

pytestmark = [
    pytest.mark.slow,  # the first compilation of a machine takes a minute
    pytest.mark.skipif(not (shutil.which("g++") or shutil.which("clang++")), reason="no C++ compiler"),
]


@pytest.mark.parametrize("family", ["qwen2", "llama"])
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_the_same_samples(family: str, temperature: float) -> None:
    model, prompts = small_model(family), random_prompts([3, 8, 1, 5])
    sampling = Sampling(n=3, temperature=temperature, max_new_tokens=15, stop_token_ids=frozenset({4}), seed=1)
    plain = everything(engine_of(model), prompts, sampling)
    compiled = everything(NativeEngine(model, ByteTokenizer(), kv_cache_gib=1, compiled=True), prompts, sampling)
    for index, group in plain.items():
        for one, other in zip(group, compiled[index], strict=True):
            assert one.token_ids.tolist() == other.token_ids.tolist()
            torch.testing.assert_close(torch.from_numpy(one.logprobs), torch.from_numpy(other.logprobs))


def test_layers_share_a_compilation_and_batches_of_any_size_too() -> None:
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    engine = NativeEngine(small_model("llama"), ByteTokenizer(), kv_cache_gib=1, compiled=True)
    counts = []
    for lengths in ([3, 8], [5, 2, 9], [4, 4, 4, 7, 11]):
        everything(engine, random_prompts(lengths), Sampling(n=2, max_new_tokens=8))
        counts.append(torch._dynamo.utils.counters["stats"]["unique_graphs"])
    assert 0 < counts[0] <= 10 and counts[1:] == counts[:1] * 2


def test_outside_of_sampling_the_model_is_as_it_was() -> None:
    model = small_model("llama")
    layers = CompiledLayers(model)
    with layers.in_use():
        assert all("forward" in vars(layer) for layer in layers.layers)
    assert not any("forward" in vars(layer) for layer in layers.layers)


def test_a_model_without_layers_is_an_error() -> None:
    model = small_model("llama")
    model.model.layers = torch.nn.ModuleList()
    with pytest.raises(UsageError, match=r"rollout.compile = true: LlamaForCausalLM has no list of 2 layers"):
        CompiledLayers(model)
