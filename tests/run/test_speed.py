"""What a step needed, counted by hand."""

from __future__ import annotations

import numpy as np
import pytest

from r1zero.data.packing import pack
from r1zero.models.flops import ModelFlops, Work
from r1zero.run import speed
from r1zero.types import Group, Sample

from ..conftest import prompt_of
from ..groups import group_of, rollout


def asked(prompt: int, responses: list[int]) -> Group:
    prompt_ = prompt_of(list(range(3, 3 + prompt)))
    return group_of(*(rollout(length=length, prompt=prompt_) for length in responses))


def sample_of(prompt: int, response: int) -> Sample:
    return Sample(
        prompt_ids=np.arange(3, 3 + prompt, dtype=np.int32),
        response_ids=np.arange(response, dtype=np.int32),
        mask=np.ones(response, dtype=bool),
        advantages=np.zeros(response, dtype=np.float32),
        behaviour_logprobs=np.zeros(response, dtype=np.float32),
    )


def test_sampling_needs_every_token_but_a_rows_last() -> None:
    # prompt of 4: 10 pairs, 1 prediction; rows feed 2 and 0 more tokens, the first two see 5 and 6 keys
    assert speed.sampled([asked(4, [3, 1])]) == Work(tokens=6, predicted=3, pairs=10 + 5 + 6)


def test_training_needs_a_repeated_prompt_once() -> None:
    samples = [sample_of(4, 3), sample_of(4, 2)]
    together, apart = pack(samples, tokens_per_pack=99), pack(samples, tokens_per_pack=7)
    assert (len(together), len(apart)) == (1, 2)
    expected = Work(tokens=9, predicted=5, pairs=10 + (5 + 6 + 7) + (5 + 6))
    assert speed.needed(together) == speed.needed(apart) == expected


def test_rates() -> None:
    flops = ModelFlops(per_token=1e9, per_predicted=0, per_pair=0)
    rollout = speed.rollout_metrics(flops, [asked(4, [3, 1])], seconds=2.0, gemm_gflops=30.0)
    assert rollout == {"tokens_per_second/rollout": 2.0, "gflops/rollout": 3.0, "gemm_share/rollout": 0.1}
    packs = pack([sample_of(4, 3), sample_of(4, 2)], tokens_per_pack=7)
    update = speed.update_metrics(flops, [packs], lambda _: True, epochs=2, seconds=6.0, gemm_gflops=90.0)
    assert update["tokens/needed"] == 18 and update["tokens/computed"] == 26
    assert update["packing/efficiency"] == pytest.approx(9 / 13)
    assert update["tokens_per_second/update"] == 3.0
    assert update["gflops/update"] == pytest.approx(3 * 18 / 6) and update["gemm_share/update"] == pytest.approx(0.1)
    measured = speed.update_metrics(flops, [packs], lambda _: False, epochs=2, seconds=6.0, gemm_gflops=90.0)
    assert measured["gflops/update"] == pytest.approx(18 / 6)  # the forward pass alone
