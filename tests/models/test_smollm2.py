"""A real model against transformers, in fp32: what the engine samples and what the trainer learns from are the model's
own numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from r1zero.data.packing import pack
from r1zero.engine.native import NativeEngine
from r1zero.models import fetch
from r1zero.models.load import load_model, stop_token_ids
from r1zero.trainer.reference import Reference
from r1zero.types import Prompt, Sample, Sampling

from ..conftest import prompt_of

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not (fetch.cache_folder() / "smollm2-135m").exists(),
        reason="SmolLM2-135M is not in the cache: r1zero model fetch smollm2-135m",
    ),
]
TEXTS = [
    "The capital of {} is",
    "Question: a shop sells {0} apples on Monday and twice as many on Tuesday. How many in all?\nAnswer:",
    "def add_{0}(x):\n    return",
    "Once upon a time, {0} travellers came to a village where nobody had ever seen",
    "{0} + 17 =",
]


@pytest.fixture(scope="module")
def ours() -> tuple[Any, Any]:
    return load_model("smollm2-135m", dtype=torch.float32, device=torch.device("cpu"))


@pytest.fixture(scope="module")
def reference() -> Any:
    from transformers import AutoModelForCausalLM

    path = fetch.resolve("smollm2-135m")
    return AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32, attn_implementation="eager").eval()


def prompts_of(tokenizer: Any, count: int) -> list[Prompt]:
    texts = [TEXTS[index % len(TEXTS)].format(index * 7 + 3) for index in range(count)]
    return [prompt_of(tokenizer(text)["input_ids"]) for text in texts]


def test_greedy_equals_transformers_on_50_prompts(ours: tuple[Any, Any], reference: Any) -> None:
    model, tokenizer = ours
    prompts = prompts_of(tokenizer, 50)
    ends = stop_token_ids(model, tokenizer)
    sampling = Sampling(n=1, temperature=0, max_new_tokens=24, stop_token_ids=ends)
    engine = NativeEngine(model, tokenizer, kv_cache_gib=1)
    found = dict(engine.generate(prompts, sampling))
    for index, prompt in enumerate(prompts):
        ids = torch.from_numpy(prompt.token_ids).long()[None]
        settings = {"do_sample": False, "max_new_tokens": 24, "pad_token_id": 0, "eos_token_id": list(ends)}
        expected = reference.generate(ids, attention_mask=torch.ones_like(ids), **settings)[0, ids.shape[1] :]
        assert found[index][0].token_ids.tolist() == expected.tolist(), index


def test_log_probabilities_equal_transformers(ours: tuple[Any, Any], reference: Any) -> None:
    model, tokenizer = ours
    prompts = prompts_of(tokenizer, 6)
    engine = NativeEngine(model, tokenizer, kv_cache_gib=1)
    groups = dict(engine.generate(prompts, Sampling(n=4, max_new_tokens=40, seed=1)))
    samples = [
        Sample(
            prompt_ids=prompts[index].token_ids,
            response_ids=one.token_ids,
            mask=np.ones(len(one.token_ids), dtype=bool),
            advantages=np.ones(len(one.token_ids), dtype=np.float32),
            behaviour_logprobs=one.logprobs,
        )
        for index, group in sorted(groups.items())
        for one in group
    ]
    packs = pack(samples, tokens_per_pack=400)
    assert len(packs) > 1
    for batch in packs:
        found = Reference(model).logprobs(batch)
        assert float((found - batch.behaviour_logprobs).abs().max()) <= 1e-3, "engine and trainer"
        expected = torch.cat([by_transformers(reference, ids, length) for ids, length in sequences(batch)])
        assert float((found - expected).abs().max()) <= 1e-4, "trainer and transformers"


def sequences(batch: Any) -> list[tuple[torch.Tensor, int]]:
    """(prompt + response, length of the response), in the order of the pack's targets."""
    return [
        (torch.cat((batch.token_ids[segment.start :][: segment.length], batch.token_ids[start:][:length])), length)
        for segment in batch.segments
        for start, length in segment.responses
    ]


@torch.no_grad()
def by_transformers(model: Any, ids: torch.Tensor, length: int) -> torch.Tensor:
    logp = torch.log_softmax(model(input_ids=ids[None], use_cache=False).logits[0, -length - 1 : -1], dim=-1)
    return logp.gather(1, ids[-length:, None])[:, 0]
