"""The native engine: the contract, transformers' greedy tokens, the trainer's log-probabilities, any memory budget."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch

from r1zero.base.errors import UsageError
from r1zero.data.packing import pack
from r1zero.engine.native import NativeEngine
from r1zero.engine.native.engine import _moves
from r1zero.models.forward import token_logprobs
from r1zero.types import Completion, Prompt, Sample, Sampling

from ..conftest import ByteTokenizer, random_prompts, small_model
from .contract import PROMPTS, SAMPLING, check_engine, everything, greedy_by_transformers, same

_BYTES_PER_TOKEN = 2 * 2 * 2 * 8 * 4  # keys and values, layers, heads, width, fp32: the small model's


def engine_of(model: Any, gib: float = 1.0) -> NativeEngine:
    return NativeEngine(model, ByteTokenizer(), kv_cache_gib=gib)


def sampled(prompt: Prompt, completions: Sequence[Completion]) -> list[Sample]:
    """Completions as the trainer sees them."""
    return [
        Sample(
            prompt_ids=prompt.token_ids,
            response_ids=completion.token_ids,
            mask=np.ones(len(completion.token_ids), dtype=bool),
            advantages=completion.logprobs,
            behaviour_logprobs=completion.logprobs,
        )
        for completion in completions
    ]


def test_contract() -> None:
    check_engine(engine_of)


@pytest.mark.parametrize("family", ["qwen2", "llama", "gpt_neox"])
@torch.no_grad()
def test_greedy_equals_transformers(family: str) -> None:
    model = small_model(family)
    prompts = random_prompts([3, 8, 1, 5, 8])
    groups = everything(engine_of(model), prompts, Sampling(n=2, temperature=0, max_new_tokens=15))
    model.set_attn_implementation("eager")
    for index, prompt in enumerate(prompts):
        expected = greedy_by_transformers(model, prompt.token_ids, 15)
        assert [completion.token_ids.tolist() for completion in groups[index]] == [expected, expected]


@pytest.mark.parametrize("temperature", [1.0, 0.7])
@torch.no_grad()
def test_log_probabilities_equal_the_trainers(model: Any, temperature: float) -> None:
    sampling = Sampling(
        n=4, max_new_tokens=20, temperature=temperature, stop_token_ids=frozenset({4}), top_k=40, top_p=0.95
    )
    groups = everything(engine_of(model), PROMPTS, sampling)
    for index, prompt in enumerate(PROMPTS):
        (batch,) = pack(sampled(prompt, groups[index]), tokens_per_pack=1000)
        trained = token_logprobs(model, batch, temperature).logprobs
        torch.testing.assert_close(batch.behaviour_logprobs, trained, atol=1e-3, rtol=0)


@pytest.mark.parametrize("groups_that_fit", [1, 2, 3])
def test_a_small_budget_gives_the_same_samples_later(model: Any, groups_that_fit: int) -> None:
    """Rows are moved, refilled and meet other neighbours; what is sampled does not change."""
    prompts = random_prompts([4, 7, 2, 7, 3, 1, 6, 5, 2, 7])
    sampling = Sampling(n=3, max_new_tokens=16, stop_token_ids=frozenset(range(3, 12)), seed=1)
    free = everything(engine_of(model), prompts, sampling)
    tokens = groups_that_fit * (2 * 7 + 3 * 16)
    tight = everything(engine_of(model, gib=tokens * _BYTES_PER_TOKEN / 2**30), prompts, sampling)
    assert all(same(free[index], tight[index]) for index in free)
    lengths = {len(completion.token_ids) for group in free.values() for completion in group}
    assert len(lengths) > 5, "rows must finish at different times for this to be a test"


def test_a_budget_below_one_group_is_refused(model: Any) -> None:
    with pytest.raises(UsageError) as caught:
        everything(engine_of(model, gib=1e-6))
    assert "rollout.kv_cache_gib = 1e-06: one group of 3 samples with 9 prompt and 12 new tokens needs" in str(
        caught.value
    )


@pytest.mark.parametrize("groups_that_fit", [1, 3])
@pytest.mark.parametrize("family", ["qwen2", "deepseek_v3", "gemma3_text"])
def test_the_cache_takes_what_it_may(family: str, groups_that_fit: int) -> None:
    """Also where values are narrower than keys, and both wider than the config's head_dim (latent attention)."""
    changes: dict[str, Any] = {
        "qwen2": {},
        "deepseek_v3": {
            **{"num_key_value_heads": 4, "q_lora_rank": 16, "kv_lora_rank": 16, "n_routed_experts": 4},
            **{"qk_rope_head_dim": 8, "qk_nope_head_dim": 16, "v_head_dim": 12, "n_group": 1, "topk_group": 1},
            **{"num_experts_per_tok": 2, "moe_intermediate_size": 16, "first_k_dense_replace": 1},
        },
        "gemma3_text": {"head_dim": 24},
    }[family]
    widths = {"qwen2": 2 * (8 + 8), "deepseek_v3": 4 * (24 + 12), "gemma3_text": 2 * (24 + 24)}[family]
    budget = groups_that_fit * (2 * 7 + 3 * 16) * widths * 2 * 4
    engine = engine_of(small_model(family, **changes), gib=budget / 2**30)
    prompts = random_prompts([4, 7, 2, 7, 3, 1, 6, 5, 2, 7])
    everything(engine, prompts, Sampling(n=3, max_new_tokens=16))
    assert engine._cache is not None
    layers = [getattr(layer, name) for layer in engine._cache._layers.values() for name in type(layer).__slots__]
    taken = sum(tensor.numel() * tensor.element_size() for tensor in layers)
    assert taken == budget, "as many groups as fit, not one byte more"


def test_weights_are_shared_without_a_copy(model: Any) -> None:
    engine = engine_of(model)
    before = everything(engine)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.2)
    parameters = {name: parameter.data_ptr() for name, parameter in model.named_parameters()}
    engine.load_weights([(name, parameter.detach()) for name, parameter in model.named_parameters()], version=1)
    assert {name: parameter.data_ptr() for name, parameter in engine.model.named_parameters()} == parameters
    after = everything(engine)
    assert not same(before[0], after[0])
    assert same(everything(engine_of(copy.deepcopy(model)))[0], after[0])


def test_stop_strings_end_a_response_and_stay_in_it(model: Any) -> None:
    free = everything(engine_of(model), PROMPTS, Sampling(n=3, max_new_tokens=30, seed=2))
    text = ByteTokenizer().decode(free[0][0].token_ids)
    stop = text[10:12]
    assert stop not in text[:11]
    groups = everything(engine_of(model), PROMPTS, Sampling(n=3, max_new_tokens=30, seed=2, stop_strings=(stop,)))
    completion = groups[0][0]
    assert completion.finish_reason == "stop" and completion.token_ids.tolist() == free[0][0].token_ids[:12].tolist()


def test_sampling_follows_the_models_distribution(model: Any) -> None:
    """First tokens of many samples against softmax(logits / temperature): chi-square."""
    from scipy.stats import chisquare

    (prompt,) = random_prompts([6])
    sampling = Sampling(n=4000, max_new_tokens=1, temperature=1.3)
    (completions,) = everything(engine_of(model), [prompt], sampling).values()
    counts = np.bincount([int(completion.token_ids[0]) for completion in completions], minlength=97)
    with torch.no_grad():
        model.set_attn_implementation("eager")
        ids = torch.from_numpy(prompt.token_ids).long()
        expected = (model(input_ids=ids[None]).logits[0, -1].double() / 1.3).softmax(-1).numpy() * 4000
    often = expected > 5
    observed = np.append(counts[often], counts[~often].sum())
    assert chisquare(observed, np.append(expected[often], expected[~often].sum())).pvalue > 1e-3


def test_sampling_is_seeded_per_row_not_per_batch(model: Any) -> None:
    alone = everything(engine_of(model), PROMPTS[:1])
    together = everything(engine_of(model))
    assert same(alone[0], together[0])
    other = everything(
        engine_of(model), PROMPTS, Sampling(n=3, max_new_tokens=12, stop_token_ids=SAMPLING.stop_token_ids, seed=5)
    )
    assert not same(other[0], together[0])


def test_logits_that_are_no_numbers_are_named(model: Any) -> None:
    """Also in greedy decoding, and from the first token on or later."""
    for temperature in (1.0, 0.0):
        engine = engine_of(model)
        stream = engine.generate(PROMPTS, Sampling(n=2, max_new_tokens=9, temperature=temperature))
        with torch.no_grad():
            kept = model.model.norm.weight.clone()
            model.model.norm.weight[3] = torch.inf
        with pytest.raises(
            UsageError, match=r"^test:\[.*\]: the model's logits are not finite after 0 tokens of a resp"
        ):
            next(stream)
        with torch.no_grad():
            model.model.norm.weight.copy_(kept)
        assert everything(engine), "the engine goes on with better weights"


def test_a_prompt_without_tokens_is_refused_by_name(model: Any) -> None:
    with pytest.raises(UsageError, match=r"^test:\[\]: the prompt has no tokens"):
        everything(engine_of(model), random_prompts([3, 0, 5]))


@pytest.mark.parametrize(
    ("count", "ended", "moves"),
    [(5, [1, 3], ([4], [1])), (4, [0, 1, 2, 3], ([], [])), (4, [2, 3], ([], [])), (5, [0, 1], ([3, 4], [0, 1]))],
)
def test_rows_close_the_gaps(count: int, ended: list[int], moves: tuple[list[int], list[int]]) -> None:
    assert _moves(count, ended) == moves


def test_closing_gaps_looks_at_every_row_once() -> None:
    class Counted(list[int]):
        looked = 0

        def __iter__(self) -> Any:
            Counted.looked += 1
            return super().__iter__()

    _moves(1000, Counted(range(500, 1000)))
    assert Counted.looked <= 2


def test_abort_yields_what_was_sampled_and_drops_what_waits(model: Any) -> None:
    prompts = random_prompts([4, 7, 2, 7, 3, 1])
    sampling = Sampling(n=3, max_new_tokens=16, stop_token_ids=frozenset(range(3, 12)), seed=1)
    whole = everything(engine_of(model), prompts, sampling)
    engine = engine_of(model, gib=2 * (2 * 7 + 3 * 16) * _BYTES_PER_TOKEN / 2**30)
    taken = {}
    for index, completions in engine.generate(prompts, sampling):
        taken[index] = completions
        engine.abort()
    assert 1 < len(taken) < len(prompts), "some were in progress, some were waiting"
    reasons = set()
    for index, completions in taken.items():
        for completion, full in zip(completions, whole[index], strict=True):
            count = len(completion.token_ids)
            reasons.add(completion.finish_reason)
            assert completion.finish_reason == ("abort" if count < len(full.token_ids) else full.finish_reason)
            assert completion.token_ids.tolist() == full.token_ids[:count].tolist()
            np.testing.assert_allclose(completion.logprobs, full.logprobs[:count], atol=1e-5)
    assert "abort" in reasons
    again = everything(engine, prompts, sampling)
    assert all(same(again[index], whole[index]) for index in whole), "the next call is as if nothing had been"
