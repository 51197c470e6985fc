"""Packs hold every token once, prompts shared, and weights whose sum is the mean."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from r1zero.data.packing import pack

from ..conftest import random_samples

SHAPES = st.lists(
    st.tuples(st.integers(1, 9), st.lists(st.integers(1, 12), min_size=1, max_size=4)), min_size=1, max_size=5
)


@settings(max_examples=60, deadline=None)
@given(SHAPES, st.integers(21, 80), st.integers(0, 100))
def test_packs_keep_every_learnable_token_within_the_limit(shape: list, limit: int, seed: int) -> None:
    samples = random_samples(shape, seed=seed, masked=True)
    packs = pack(samples, tokens_per_pack=limit)
    assert all(len(batch.token_ids) <= limit for batch in packs)
    learnable = [sample for sample in samples if sample.mask.any()]
    assert sum(len(batch.targets) for batch in packs) == sum(int(sample.mask.sum()) for sample in learnable)
    weights = sum(float(batch.weight.sum()) for batch in packs)
    assert weights == pytest.approx(1.0 if learnable else 0.0, abs=1e-5)
    for batch in packs:
        for segment in batch.segments:
            ids = batch.token_ids[segment.start : segment.start + segment.length].numpy()
            owners = [sample for sample in learnable if np.array_equal(sample.prompt_ids, ids)]
            for start, length in segment.responses:
                response = batch.token_ids[start : start + length].numpy()
                assert any(np.array_equal(sample.response_ids, response) for sample in owners)
                assert batch.positions[start : start + length].tolist() == list(
                    range(segment.length, segment.length + length)
                )


def test_a_shared_prompt_is_stored_once_and_predicts_every_first_token() -> None:
    samples = random_samples([(5, [3, 2])])
    (batch,) = pack(samples, tokens_per_pack=100)
    assert len(batch.token_ids) == 5 + 3 + 2
    assert batch.predictors.tolist() == [4, 5, 6, 4, 8]
    assert batch.targets.tolist() == [*samples[0].response_ids, *samples[1].response_ids]


def test_a_group_larger_than_a_pack_is_split_with_its_prompt_repeated() -> None:
    packs = pack(random_samples([(5, [4, 4, 4])]), tokens_per_pack=13)
    assert sorted(len(batch.token_ids) for batch in packs) == [9, 13]


@pytest.mark.parametrize("mean", ["token", "sequence", "constant"])
def test_means(mean: str) -> None:
    samples = random_samples([(2, [2, 6])])
    (batch,) = pack(samples, tokens_per_pack=50, loss_mean=mean, longest_response=10)  # pyright: ignore
    expected = {"token": [1 / 8] * 8, "sequence": [1 / 4] * 2 + [1 / 12] * 6, "constant": [1 / 20] * 8}[mean]
    assert batch.weight.tolist() == pytest.approx(expected)


def test_groups_without_advantages_have_packs_of_their_own() -> None:
    samples = random_samples([(2, [2, 6]), (3, [4]), (4, [5])])
    flat = [replace(sample, advantages=np.zeros(len(sample.mask), dtype=np.float32)) for sample in samples[2:3]]
    packs = pack([*samples[:2], *flat, samples[3]], tokens_per_pack=100)
    assert [bool(batch.advantages.any()) for batch in packs] == [True, False]
    assert sum(float(batch.weight.sum()) for batch in packs) == pytest.approx(1)
