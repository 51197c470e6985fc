"""From graded groups to samples: what a truncated response counts for, what models say of the tokens, advantages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from r1zero import config
from r1zero.algorithms import Algorithm
from r1zero.algorithms.kl import ESTIMATORS
from r1zero.rewards.length import overlong
from r1zero.types import Credit, Experience, Group, Rollout, Sample

PerSample = Sequence[np.ndarray]  # one array per sample, over the tokens that are learned from


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Measured:
    """What the models say of the tokens that are learned from, before the step's first update; None is not needed.

    `unlearned_penalties` [S] are the KL penalties of the responses that are not learned from (`truncated: mask`): what
    they earned is part of the others' baseline, so they pay like them.
    """

    old_logprobs: PerSample | None = None
    reference_logprobs: PerSample | None = None
    values: PerSample | None = None
    unlearned_penalties: np.ndarray | None = None


def drafts(groups: Sequence[Group], rewards: config.Rewards) -> list[Sample]:
    """Samples of all rollouts in order, still without advantages. A truncated one may have no token to learn."""
    masked = rewards.truncated == "mask"
    return [
        draft(rollout, learned=not (masked and truncated(rollout))) for group in groups for rollout in group.rollouts
    ]


def outcome(rollout: Rollout, rewards: config.Rewards, longest: int) -> float:
    """What a response earns under the recipe's policy for truncated ones (`rewards.truncated`), `longest` new tokens
    being allowed.

    The soft penalty is arXiv 2503.14476's, equation 13: 0 up to longest - overlong_tokens, then linear.
    """
    value = rollout.score.value
    if rewards.truncated == "zero" and truncated(rollout):
        return min(value, 0.0)
    if rewards.truncated == "penalise":
        return value - rewards.truncated_penalty * _overlong(rollout, rewards.overlong_tokens, longest)
    return value


def earned(group: Group, rewards: config.Rewards, longest: int) -> np.ndarray:
    """[n] float64: `outcome` of each of the group's responses."""
    return np.array([outcome(rollout, rewards, longest) for rollout in group.rollouts], dtype=np.float64)


def judged(group: Group, rewards: config.Rewards) -> Group:
    """The group without the responses that the recipe leaves out, as their verifiers failed."""
    kept = tuple(rollout for rollout in group.rollouts if not left_out(rollout, rewards))
    return group if len(kept) == len(group.rollouts) else replace(group, rollouts=kept)


def left_out(rollout: Rollout, rewards: config.Rewards) -> bool:
    """Whether `rewards.on_error` or `rewards.on_timeout` takes a response out of baseline and loss."""
    policies = {"error": rewards.on_error, "timeout": rewards.on_timeout}
    return policies.get(rollout.score.verdict) == "leave_out"


def learnable(groups: Sequence[Group], algorithm: Algorithm, rewards: config.Rewards, longest: int) -> list[Group]:
    """The groups that the algorithm keeps, with their judged responses only. What is left of a group has no baseline
    below two responses."""
    counted = [(judged(group, rewards), min(2, len(group.rollouts))) for group in groups]
    return [
        group
        for group, fewest in counted
        if len(group.rollouts) >= fewest and algorithm.keep(group, earned(group, rewards, longest))
    ]


def truncated(rollout: Rollout) -> bool:
    return rollout.completion.finish_reason == "length"


def experience(
    groups: Sequence[Group],
    samples: Sequence[Sample],
    measured: Measured,
    rewards: config.Rewards,
    longest: int,
    algorithm: Algorithm,
) -> Experience:
    """The drafts of `groups` with what they earned and what was measured of them."""
    outcomes = _joined([earned(group, rewards, longest) for group in groups])
    if measured.unlearned_penalties is not None:
        outcomes -= measured.unlearned_penalties
    return Experience(
        groups=np.repeat(np.arange(len(groups)), np.array([len(group.rollouts) for group in groups], dtype=np.int64)),
        rewards=outcomes,
        lengths=np.array([int(sample.mask.sum()) for sample in samples], dtype=np.int64),
        penalties=_joined(kl_penalties(measured, algorithm.settings)) if algorithm.penalises_kl else None,
        values=None if measured.values is None else _joined(measured.values),
    )


def unlearned(samples: Sequence[Sample]) -> list[Sample]:
    """The drafts that are not learned from, with all their tokens, and nothing of the others: for what is asked of the
    models about them alone."""
    return [replace(sample, mask=np.full_like(sample.mask, not sample.mask.any())) for sample in samples]


def finished(samples: Sequence[Sample], measured: Measured, credit: Credit) -> list[Sample]:
    """The drafts with everything a loss reads. Tokens outside the mask get zeros."""
    ends = np.cumsum([int(sample.mask.sum()) for sample in samples])[:-1]
    streams: dict[str, PerSample | None] = {
        "advantages": np.split(credit.advantages, ends),
        "old_logprobs": measured.old_logprobs,
        "reference_logprobs": measured.reference_logprobs,
        "values": measured.values,
        "returns": None if credit.returns is None else np.split(credit.returns, ends),
    }
    known = {name: stream for name, stream in streams.items() if stream is not None}
    return [
        replace(sample, **{name: on_mask(stream[index], sample.mask) for name, stream in known.items()})
        for index, sample in enumerate(samples)
    ]


def by_group(groups: Sequence[Group], samples: Sequence[Sample]) -> list[list[Sample]]:
    """The samples of all rollouts in order, those of a group together."""
    rest = iter(samples)
    return [[next(rest) for _ in group.rollouts] for group in groups]


def metrics(
    groups: Sequence[Group], experience: Experience, credit: Credit, rewards: config.Rewards, longest: int, version: int
) -> dict[str, float]:
    """What happened to the rewards on their way to advantages, and how old the rollouts are that policy `version`
    learns from."""
    rollouts = [rollout for group in groups for rollout in group.rollouts]
    if rewards.truncated == "penalise":
        handled = sum(_overlong(rollout, rewards.overlong_tokens, longest) > 0 for rollout in rollouts)
    else:
        handled = sum(truncated(rollout) for rollout in rollouts)
    spans = [span for rollout in rollouts for span in rollout.completion.versions]
    tokens = sum(count for _, count in spans)
    found = {
        f"truncated/{rewards.truncated}": float(handled),
        "shaped_reward": float(experience.rewards.mean()) if rollouts else 0.0,
        "policy_lag": sum((version - sampled) * count for sampled, count in spans) / max(1, tokens),
    }
    if experience.values is not None and credit.returns is not None and credit.returns.size:
        spread = float(credit.returns.var())
        error = float((credit.returns - experience.values).var())
        found["critic/explained_variance"] = 1 - error / spread if spread else 0.0
    return found


def draft(rollout: Rollout, *, learned: bool) -> Sample:
    """A response without advantages, all of its tokens learned from or none."""
    completion = rollout.completion
    length = len(completion.token_ids)
    return Sample(
        prompt_ids=rollout.prompt.token_ids,
        response_ids=completion.token_ids,
        mask=np.full(length, learned),
        advantages=np.zeros(length, dtype=np.float32),
        behaviour_logprobs=completion.logprobs,
    )


def _overlong(rollout: Rollout, cushion: int, longest: int) -> float:
    """0..1: how far a response reaches into the last `cushion` tokens; 1 for a truncated one."""
    if truncated(rollout):
        return 1.0
    return overlong(len(rollout.completion.token_ids), longest, cushion) if cushion else 0.0


def kl_penalties(measured: Measured, settings: config.Algorithm) -> PerSample:
    """float64: coefficient times the estimated KL of each measured token."""
    assert measured.old_logprobs is not None and measured.reference_logprobs is not None and settings.kl is not None
    estimate, coefficient = ESTIMATORS[settings.kl_estimator], settings.kl
    return [
        coefficient * estimate(*(torch.as_tensor(part.astype(np.float64)) for part in both)).numpy()
        for both in zip(measured.old_logprobs, measured.reference_logprobs, strict=True)
    ]


def _joined(parts: PerSample) -> np.ndarray:
    """One after another: [N] float64, also of no sample at all."""
    return np.concatenate([np.zeros(0), *parts])


def on_mask(values: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Values [M] of the tokens that are learned from, at their places in the response: [R] float32, 0 elsewhere."""
    result = np.zeros(len(mask), dtype=np.float32)
    result[mask] = values
    return result
