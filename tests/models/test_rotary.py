"""Rotary tables that go by length: engine, trainer and transformers' own forward of the longest sequence agree."""

from __future__ import annotations

import copy
import logging
from typing import Any

import numpy as np
import pytest
import torch

from r1zero.base.errors import UsageError
from r1zero.data.packing import pack
from r1zero.models.forward import token_logprobs
from r1zero.models.load import check_forward, longest_context
from r1zero.types import Sampling

from ..conftest import random_prompts, random_samples, small_model
from ..engine.contract import everything
from ..engine.test_native import engine_of, sampled
from .test_forward import own_logprobs

LIMIT = 16  # where transformers changes the table
LONGROPE = {
    "rope_type": "longrope",
    "short_factor": [1.0, 1.1, 1.2, 1.3],
    "long_factor": [1.0, 2.0, 4.0, 8.0],
    "original_max_position_embeddings": LIMIT,
    "rope_theta": 1e4,
}
FAMILIES: dict[str, dict[str, Any]] = {
    "phi3": {"rope_parameters": LONGROPE, "original_max_position_embeddings": LIMIT, "max_position_embeddings": 64},
    "llama": {
        "rope_parameters": {"rope_type": "dynamic", "factor": 4.0, "rope_theta": 1e4},
        "max_position_embeddings": LIMIT,
    },
    "phimoe": {
        "rope_parameters": {**LONGROPE, "short_mscale": 1.0, "long_mscale": 1.3},
        "max_position_embeddings": 64,
        "num_local_experts": 4,
        "sliding_window": None,
    },
}


def by_length(family: str, longest: int) -> Any:
    return small_model(family, longest=longest, **copy.deepcopy(FAMILIES[family]))


def plain(family: str, longest: int) -> Any:
    """The same weights in a model of transformers alone."""
    from transformers import AutoModelForCausalLM

    model = by_length(family, longest)
    untouched = AutoModelForCausalLM.from_config(model.config, attn_implementation="eager").eval()
    untouched.load_state_dict(model.state_dict())
    return untouched


@pytest.mark.parametrize("family", FAMILIES)
@torch.no_grad()
def test_the_longest_sequence_is_transformers_own(family: str) -> None:
    samples = random_samples([(9, [21, 2, 15]), (20, [10])])
    (batch,) = pack(samples, tokens_per_pack=1000)
    ours = token_logprobs(by_length(family, 30), batch).logprobs
    short = token_logprobs(by_length(family, LIMIT), random_batch()).logprobs
    own = plain(family, 30)
    whole = torch.cat([own_logprobs(own, sample, 1.0) for sample in (samples[0], samples[3])])  # of 30 tokens
    torch.testing.assert_close(torch.cat((ours[:21], ours[-10:])), whole, atol=1e-5, rtol=0)
    (sample,) = random_samples([(9, [6])])  # of 15
    torch.testing.assert_close(short, own_logprobs(own, sample, 1.0), atol=1e-5, rtol=0)
    assert (token_logprobs(by_length(family, 30), random_batch()).logprobs - short).abs().max() > 1e-3, "two tables"


def random_batch() -> Any:
    (batch,) = pack(random_samples([(9, [6])]), tokens_per_pack=1000)
    return batch


@pytest.mark.parametrize("family", FAMILIES)
@torch.no_grad()
def test_engine_and_trainer_agree_across_the_limit(family: str) -> None:
    """Prompts on both sides of it, responses that cross it, neighbours that do not."""
    model = by_length(family, 44)
    prompts = random_prompts([3, 8, 20, 14])
    sampling = Sampling(n=3, max_new_tokens=24, stop_token_ids=frozenset(range(3, 12)), seed=1)
    groups = everything(engine_of(model), prompts, sampling)
    lengths = [len(prompts[i].token_ids) + len(one.token_ids) for i, group in groups.items() for one in group]
    assert min(lengths) < LIMIT < max(lengths)
    samples = [sample for index, prompt in enumerate(prompts) for sample in sampled(prompt, groups[index])]
    for limit in (1000, 1):  # all in one pack, and each group alone
        for batch in pack(samples, tokens_per_pack=limit):
            trained = token_logprobs(model, batch).logprobs
            torch.testing.assert_close(batch.behaviour_logprobs, trained, atol=1e-5, rtol=0)


def test_it_is_said(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="r1zero"):
        by_length("phi3", 30)
        small_model("llama", longest=30)
    (line,) = [record.getMessage() for record in caplog.records]
    assert line == (
        "model.path: longrope rotary angles go by length: this run has those of 30 tokens, "
        "its longest sequence, for all"
    )


def test_dynamic_angles_reach_beyond_the_positions_of_the_config() -> None:
    assert longest_context(by_length("llama", 40)) == 4 * LIMIT
    assert longest_context(by_length("phi3", 40)) == 64


def test_a_table_that_depends_on_neighbours_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a family whose module we do not recognise."""
    from r1zero.models import rotary

    monkeypatch.setattr(rotary, "_kinds_by_length", lambda module: set())
    with pytest.raises(UsageError, match=r"our forward differs from its own by .* positions"):
        check_forward(by_length("phi3", 40), "x", longest=40)


def test_checking_twice_changes_nothing() -> None:
    model = by_length("phi3", 30)
    before = token_logprobs(model, random_batch()).logprobs
    for longest in (LIMIT, 30):
        model.set_attn_implementation("eager")
        check_forward(model, "x", longest=longest)
    assert np.array_equal(token_logprobs(model, random_batch()).logprobs.detach(), before.detach())
