"""Every algorithm's loss and gradient against its paper's formula, through packs; and what holds for all of them."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from r1zero.algorithms import ALGORITHMS, build
from r1zero.algorithms.losses import clipped_value_loss
from r1zero.config import Algorithm
from r1zero.data.packing import pack
from r1zero.types import Sample, TokenLogprobs, TokenValues

from ..conftest import random_samples
from . import papers

LONGEST = 12
SHAPE = [(4, [3, 6, 2, 5]), (2, [4, 1]), (5, [7, 12])]
NAMES = sorted(ALGORITHMS)
CLIPPED_BY_TOKEN = sorted(set(NAMES) - {"rloo", "gspo", "cispo"})


def settings_of(name: str, **changes: Any) -> Algorithm:
    return Algorithm(name=name, group_size=4, **changes)


def scene(seed: int, spread: float = 0.15) -> list[Sample]:
    """Samples whose policies lie `spread` nats apart."""
    rng = np.random.default_rng(seed)

    def near(values: np.ndarray) -> np.ndarray:
        return (values + rng.normal(0, spread, len(values))).astype(np.float32)

    samples = []
    for sample in random_samples(SHAPE, seed=seed, masked=True):
        if not sample.mask.any():
            continue
        behaviour = sample.behaviour_logprobs
        streams = {"old_logprobs": near(behaviour), "reference_logprobs": near(behaviour)}
        samples.append(replace(sample, **streams))
    return samples


def leaves(samples: list[Sample], seed: int, spread: float = 0.15) -> tuple[list[Tensor], list[Tensor]]:
    """Log-probabilities and entropies of each sample's learnable tokens, near the old ones."""
    rng = np.random.default_rng(seed + 1)
    logprobs, entropies = [], []
    for sample in samples:
        near = sample.old_logprobs if sample.old_logprobs is not None else sample.behaviour_logprobs
        count = int(sample.mask.sum())
        logprobs.append(torch.from_numpy(near[sample.mask] + rng.normal(0, spread, count)).float())
        entropies.append(torch.from_numpy(rng.uniform(0, 3, count)).float())
    return logprobs, entropies


def own(
    samples: list[Sample], recipe: Algorithm, logprobs: list[Tensor], entropies: list[Tensor], limit: int
) -> Tensor:
    """The step's loss, summed over its packs."""
    algorithm = build(recipe)
    total = torch.zeros(())
    for batch in pack(samples, tokens_per_pack=limit, loss_mean=algorithm.mean, longest_response=LONGEST):
        policy = TokenLogprobs(
            torch.cat([logprobs[member] for member in batch.members]),
            torch.cat([entropies[member] for member in batch.members]),
        )
        total = total + (algorithm.loss(policy, batch).value * batch.weight).sum()
    return total


def paper(samples: list[Sample], recipe: Algorithm, logprobs: list[Tensor], entropies: list[Tensor]) -> Tensor:
    def exact(values: np.ndarray | None, mask: np.ndarray) -> Tensor:
        assert values is not None
        return torch.from_numpy(values[mask]).double()

    responses = [
        papers.Response(
            logp=logp,
            old=logp.detach() if sample.old_logprobs is None else exact(sample.old_logprobs, sample.mask),
            behaviour=exact(sample.behaviour_logprobs, sample.mask),
            reference=exact(sample.reference_logprobs, sample.mask),
            advantages=exact(sample.advantages, sample.mask),
            entropy=entropy,
        )
        for sample, logp, entropy in zip(samples, logprobs, entropies, strict=True)
    ]
    return papers.objective(responses, recipe, LONGEST)


def assert_equal_to_paper(samples: list[Sample], recipe: Algorithm, seed: int, limit: int) -> None:
    ours, entropies = leaves(samples, seed)
    exact = [value.double().requires_grad_() for value in ours]
    expected = paper(samples, recipe, exact, [value.double() for value in entropies])
    expected.backward()
    ours = [value.requires_grad_() for value in ours]
    found = own(samples, recipe, ours, entropies, limit)
    found.backward()
    assert float(found.detach()) == pytest.approx(float(expected.detach()), abs=1e-6)
    for mine, reference in zip(ours, exact, strict=True):
        assert mine.grad is not None and reference.grad is not None
        torch.testing.assert_close(mine.grad.double(), reference.grad, atol=1e-6, rtol=0)
    assert max(float(reference.grad.abs().max()) for reference in exact if reference.grad is not None) > 1e-3


@pytest.mark.parametrize("limit", [20, 1000])
@pytest.mark.parametrize("several", [False, True], ids=["one update", "several updates"])
@pytest.mark.parametrize("name", NAMES)
def test_loss_and_gradient_are_the_papers(name: str, several: bool, limit: int) -> None:
    samples = scene(3)
    if not several:
        samples = [replace(sample, old_logprobs=None) for sample in samples]
    recipe = settings_of(name, clip_low=0.1, clip_high=0.15, kl=0.03, entropy=0.01)
    assert_equal_to_paper(samples, recipe, 3, limit)


@pytest.mark.parametrize("mode", ["truncate", "mask"])
@pytest.mark.parametrize("level", ["token", "sequence", "geometric"])
@pytest.mark.parametrize("name", ["grpo", "gspo", "cispo", "rloo"])
def test_correction_is_importance_sampling(name: str, level: str, mode: str) -> None:
    correction = {"level": level, "mode": mode, "low": 0.8, "high": 1.1}
    for several in (True, False):
        samples = scene(5)
        if not several:
            samples = [replace(sample, old_logprobs=None) for sample in samples]
        assert_equal_to_paper(samples, settings_of(name, correction=correction, kl=0.02), 5, 25)


def test_correction_of_a_response_that_two_policies_sampled() -> None:
    """Its first tokens are of version 0 and its last of version 1: each is weighed against the policy that sampled it,
    and the mean of the weighted function is the trainer's own, whichever version a token is of."""
    trainer = np.log(np.array([0.5, 0.3, 0.2]))
    sampled = np.array([[0.2, 0.2, 0.6], [0.4, 0.4, 0.2]])  # what each version draws
    worth = np.array([1.0, -2.0, 1.5])
    count = 2000
    # every token as often as its version draws it
    drawn = np.concatenate([np.repeat(np.arange(3), (count / 2 * of_version).astype(int)) for of_version in sampled])
    behaviour = np.log(sampled[np.repeat([0, 1], count // 2), drawn]).astype(np.float32)
    ids = drawn.astype(np.int32)
    ones = np.ones(count, dtype=np.float32)
    sample = Sample(
        prompt_ids=np.zeros(1, np.int32),
        response_ids=ids,
        mask=ones.astype(bool),
        advantages=ones * worth.astype(np.float32)[drawn],
        behaviour_logprobs=behaviour,
        old_logprobs=trainer[drawn].astype(np.float32),
    )
    (batch,) = pack([sample], tokens_per_pack=count + 1)
    recipe = settings_of("grpo", correction={"level": "token", "high": 100.0})
    policy = TokenLogprobs(torch.from_numpy(trainer[drawn]).float(), torch.zeros(count))
    value = build(recipe).loss(policy, batch).value
    expected = -float((np.exp(trainer) * worth).sum())
    for half in (value[: count // 2], value[count // 2 :]):
        assert float(half.mean()) == pytest.approx(expected, abs=1e-5)
    uncorrected = build(settings_of("grpo")).loss(policy, batch).value
    assert abs(float(uncorrected[: count // 2].mean()) - expected) > 0.2


def test_correction_is_counted() -> None:
    (batch,) = pack(scene(5), tokens_per_pack=1000)
    assert batch.old_logprobs is not None
    recipe = settings_of("grpo", correction={"level": "token", "mode": "mask", "low": 0.9, "high": 1.1})
    metrics = build(recipe).loss(TokenLogprobs(batch.old_logprobs, torch.zeros(len(batch.targets))), batch).metrics
    ratio = torch.exp(batch.old_logprobs - batch.behaviour_logprobs)
    outside = (ratio < 0.9) | (ratio > 1.1)
    assert 0 < float(outside.float().mean()) < 1
    assert torch.equal(metrics["correction/outside"].bool(), outside)
    torch.testing.assert_close(metrics["correction/weight"], torch.where(outside, 0, ratio))


@pytest.mark.parametrize("clip", [None, 0.2])
def test_value_loss_is_the_papers(clip: float | None) -> None:
    samples = scene(7)
    rng = np.random.default_rng(7)
    streams = [
        {name: rng.normal(0, 0.4, len(sample.mask)).astype(np.float32) for name in ("values", "returns")}
        for sample in samples
    ]
    samples = [replace(sample, **stream) for sample, stream in zip(samples, streams, strict=True)]
    near = [
        torch.from_numpy(stream["values"][sample.mask] + rng.normal(0, 0.3, int(sample.mask.sum()))).float()
        for sample, stream in zip(samples, streams, strict=True)
    ]
    exact = torch.cat(near).double().requires_grad_()
    old, returns = (
        torch.from_numpy(
            np.concatenate([stream[name][sample.mask] for sample, stream in zip(samples, streams, strict=True)])
        )
        for name in ("values", "returns")
    )
    expected = papers.value_loss(exact, old.double(), returns.double(), clip)
    expected.backward()
    for value in near:
        value.requires_grad_()
    total = torch.zeros(())
    clipped = 0.0
    for batch in pack(samples, tokens_per_pack=24):
        result = clipped_value_loss(TokenValues(torch.cat([near[member] for member in batch.members])), batch, clip)
        total = total + (result.value * batch.weight).sum()
        clipped += float((result.metrics.get("clip_ratio", torch.zeros(1)) * batch.weight[:1]).sum())
    total.backward()
    assert float(total.detach()) == pytest.approx(float(expected.detach()), abs=1e-6)
    gradient = torch.cat([value.grad for value in near if value.grad is not None]).double()
    torch.testing.assert_close(gradient, exact.grad, atol=1e-6, rtol=0)
    assert (clipped > 0) == (clip is not None)


@pytest.mark.parametrize("name", NAMES)
def test_gradient_at_ratio_one_is_reinforce(name: str) -> None:
    """dL / d log p_t is -A / (tokens of the step) with a token mean, and as the mean says otherwise: for RLOO, whose
    action is the whole response, -A / responses."""
    samples = [replace(sample, old_logprobs=None) for sample in scene(1)]
    logprobs, entropies = leaves(samples, 1)
    logprobs = [value.requires_grad_() for value in logprobs]
    own(samples, settings_of(name), logprobs, entropies, 1000).backward()
    tokens = sum(int(sample.mask.sum()) for sample in samples)
    for sample, logp in zip(samples, logprobs, strict=True):
        assert logp.grad is not None
        size = int(sample.mask.sum())
        share = {
            "token": 1 / tokens,
            "sequence": 1 / (len(samples) * (1 if name == "rloo" else size)),
            "constant": 1 / (len(samples) * LONGEST),
        }[papers.MEANS[name]]
        expected = -torch.from_numpy(sample.advantages[sample.mask]) * share
        torch.testing.assert_close(logp.grad, expected, atol=1e-7, rtol=1e-5)


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from([*CLIPPED_BY_TOKEN, "rloo", "gspo"]),
    st.floats(-1, 1),
    st.floats(0.05, 0.5),
    st.floats(0.05, 0.5),
    st.sampled_from([-1.5, 1.5]),
)
def test_nothing_flows_outside_the_clip_range(
    name: str, log_ratio: float, low: float, high: float, advantage: float
) -> None:
    samples = random_samples([(2, [3])])
    shift = log_ratio / 3 if name == "rloo" else log_ratio  # the ratio of the response is the product over its tokens
    samples = [
        replace(
            samples[0],
            advantages=np.full(3, advantage, np.float32),
            old_logprobs=samples[0].behaviour_logprobs,
        )
    ]
    logp = torch.from_numpy(samples[0].behaviour_logprobs + shift).float().requires_grad_()
    own(samples, settings_of(name, clip_low=low, clip_high=high), [logp], [torch.zeros(3)], 100).backward()
    ratio = math.exp(log_ratio)
    assert logp.grad is not None
    if ratio > 1 + high + 1e-5 if advantage > 0 else ratio < 1 - low - 1e-5:
        assert not logp.grad.any()
    if ratio < 1 + high - 1e-5 if advantage > 0 else ratio > 1 - low + 1e-5:
        assert logp.grad.all()


def test_cispo_clips_the_weight_and_keeps_every_token() -> None:
    samples = [replace(sample, old_logprobs=sample.behaviour_logprobs) for sample in scene(2)]
    logprobs = [torch.from_numpy(sample.behaviour_logprobs[sample.mask] + 3).requires_grad_() for sample in samples]
    own(samples, settings_of("cispo", clip_high=0.28), logprobs, logprobs, 1000).backward()
    tokens = sum(len(logp) for logp in logprobs)
    for sample, logp in zip(samples, logprobs, strict=True):
        expected = -1.28 * torch.from_numpy(sample.advantages[sample.mask]) / tokens
        torch.testing.assert_close(logp.grad, expected)


@pytest.mark.parametrize("name", NAMES)
def test_masked_tokens_never_matter(name: str) -> None:
    samples = scene(4)
    logprobs, entropies = leaves(samples, 4)
    recipe = settings_of(name, kl=0.1, entropy=0.01, correction={"level": "sequence"})
    before = own(samples, recipe, logprobs, entropies, 30)
    garbage = {
        "advantages": 100.0,
        "behaviour_logprobs": -50.0,
        "old_logprobs": 30.0,
        "reference_logprobs": float("nan"),
    }
    spoilt = [
        replace(
            sample,
            response_ids=np.where(sample.mask, sample.response_ids, 7).astype(np.int32),
            **{
                stream: np.where(sample.mask, getattr(sample, stream), value).astype(np.float32)
                for stream, value in garbage.items()
            },
        )
        for sample in samples
    ]
    assert sum(int((~sample.mask).sum()) for sample in samples) > 3
    assert torch.equal(own(spoilt, recipe, logprobs, entropies, 30), before)


@settings(max_examples=25, deadline=None)
@given(st.sampled_from(NAMES), st.integers(20, 60), st.integers(0, 1000))
def test_any_split_into_packs_gives_the_same_gradient(name: str, limit: int, seed: int) -> None:
    samples = scene(seed)
    recipe = settings_of(name, kl=0.1, correction={"level": "geometric", "mode": "mask", "low": 0.8, "high": 1.2})
    gradients = []
    for size in (limit, 1000):
        logprobs, entropies = leaves(samples, seed)
        logprobs = [value.requires_grad_() for value in logprobs]
        own(samples, recipe, logprobs, entropies, size).backward()
        gradients.append(torch.cat([value.grad for value in logprobs if value.grad is not None]))
    torch.testing.assert_close(*gradients, atol=1e-7, rtol=0)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("shift", [-300.0, -3.0, 3.0, 300.0])
@pytest.mark.parametrize("advantage", [-1.0, 1.0])
def test_no_ratio_overflows(name: str, shift: float, advantage: float) -> None:
    """A response of 40 tokens whose log ratios sum to far more than exp can hold."""
    length = 40
    logprobs = torch.full((length,), -1.0, requires_grad=True)
    sample = Sample(
        prompt_ids=np.arange(3, dtype=np.int32),
        response_ids=np.arange(length, dtype=np.int32),
        mask=np.ones(length, dtype=bool),
        advantages=np.full(length, advantage, dtype=np.float32),
        behaviour_logprobs=np.full(length, -1.0, dtype=np.float32),
        old_logprobs=np.full(length, -1.0 - shift, dtype=np.float32),
    )
    algorithm = build(settings_of(name, kl=None))
    (batch,) = pack([sample], tokens_per_pack=100, loss_mean=algorithm.mean, longest_response=LONGEST)
    loss = (algorithm.loss(TokenLogprobs(logprobs, torch.zeros(length)), batch).value * batch.weight).sum()
    loss.backward()
    assert logprobs.grad is not None and bool(loss.isfinite()) and bool(logprobs.grad.isfinite().all())
    if advantage * shift > 0 and name != "cispo":  # clipped: no gradient
        assert not logprobs.grad.any()
