"""What every rollout engine must do. An engine's test module calls `check_engine` with a way to make one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from r1zero.base.errors import UsageError
from r1zero.engine.base import RolloutEngine
from r1zero.types import Completion, Sampling

from ..conftest import random_prompts, small_model

SAMPLING = Sampling(n=3, max_new_tokens=12, stop_token_ids=frozenset({2, 5, 7}), seed=4)
PROMPTS = random_prompts([5, 1, 9, 5])


def everything(
    engine: RolloutEngine, prompts: Any = PROMPTS, sampling: Sampling = SAMPLING
) -> dict[int, tuple[Completion, ...]]:
    groups = list(engine.generate(prompts, sampling))
    assert sorted(index for index, _ in groups) == list(range(len(prompts))), "each group exactly once"
    return dict(groups)


def check_engine(make: Callable[[Any], RolloutEngine], *, updates: bool = True) -> None:
    """`make` builds an engine on a transformers model; without `updates` it has weights that stay."""
    model = small_model()
    engine = make(model)
    engine.wake()
    weights = [(name, parameter.detach()) for name, parameter in model.named_parameters()]
    if updates:
        engine.load_weights(weights, version=7)
    else:
        with pytest.raises(UsageError, match="weights cannot be updated"):
            engine.load_weights(weights, version=7)
    groups = everything(engine)
    for completions in groups.values():
        assert len(completions) == SAMPLING.n
        for completion in completions:
            ids = completion.token_ids
            assert ids.dtype == np.int32 and completion.logprobs.dtype == np.float32
            assert 1 <= len(ids) == len(completion.logprobs) <= SAMPLING.max_new_tokens
            assert (completion.logprobs <= 0).all()
            assert completion.versions == ((7 if updates else 0, len(ids)),)
            stopped = int(ids[-1]) in SAMPLING.stop_token_ids
            assert completion.finish_reason == ("stop" if stopped else "length")
            assert stopped or len(ids) == SAMPLING.max_new_tokens
            assert not set(ids[:-1].tolist()) & SAMPLING.stop_token_ids
    assert len({tuple(c.token_ids.tolist()) for group in groups.values() for c in group}) > 6, "samples differ"

    again = everything(engine)
    assert all(same(groups[index], again[index]) for index in groups), "the same seed gives the same samples"

    engine.sleep()
    engine.wake()
    after_sleep = everything(engine)
    assert all(same(groups[index], after_sleep[index]) for index in groups), "sleep and wake change nothing"

    next(iter(engine.generate(PROMPTS, SAMPLING)))  # abandoned half-way
    assert same(everything(engine)[2], groups[2]), "an abandoned call leaves nothing behind"

    assert list(engine.generate([], SAMPLING)) == []
    with pytest.raises(UsageError, match="the prompt has no tokens"):
        list(engine.generate(random_prompts([3, 0]), SAMPLING))
    if updates:
        check_updates(engine, make)
    engine.close()


def check_updates(engine: RolloutEngine, make: Callable[[Any], RolloutEngine]) -> None:
    other = small_model(seed=1)
    engine.load_weights([(name, parameter.detach()) for name, parameter in other.named_parameters()], version=8)
    changed = everything(engine)
    expected = everything(make(other))
    assert all(changed[i][0].versions[0][0] == 8 for i in changed)
    assert all(same(changed[index], expected[index]) for index in changed), "loaded weights are the ones used"


def same(left: tuple[Completion, ...], right: tuple[Completion, ...]) -> bool:
    pairs = zip(left, right, strict=True)
    return all(
        np.array_equal(a.token_ids, b.token_ids) and np.allclose(a.logprobs, b.logprobs, atol=1e-4) for a, b in pairs
    )


def greedy_by_transformers(model: Any, prompt_ids: np.ndarray, count: int) -> list[int]:
    ids = torch.from_numpy(prompt_ids).long()
    for _ in range(count):
        ids = torch.cat((ids, model(input_ids=ids[None], use_cache=False).logits[0, -1].argmax()[None]))
    return ids[len(prompt_ids) :].tolist()
