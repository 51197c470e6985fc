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
    """What the models say of the tokens that are learned from, before the step's first update; None is not needed."""

    old_logprobs: PerSample | None = None
    reference_logprobs: PerSample | None = None
    values: PerSample | None = None


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


def truncated(rollout: Rollout) -> bool:
    return rollout.completion.finish_reason == "length"


def experience(
    groups: Sequence[Group], samples: Sequence[Sample], measured: Measured, recipe: config.Recipe, algorithm: Algorithm
) -> Experience:
    """The drafts of `groups` with what they earned and what was measured of them."""
    earned = [
        outcome(rollout, recipe.rewards, recipe.rollout.max_new_tokens)
        for group in groups
        for rollout in group.rollouts
    ]
    return Experience(
        groups=np.repeat(np.arange(len(groups)), np.array([len(group.rollouts) for group in groups], dtype=np.int64)),
        rewards=np.array(earned, dtype=np.float64),
        lengths=np.array([int(sample.mask.sum()) for sample in samples], dtype=np.int64),
        penalties=_kl_penalties(measured, algorithm.settings) if algorithm.penalises_kl else None,
        values=None if measured.values is None else _joined(measured.values),
    )


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


def metrics(
    groups: Sequence[Group], learned: Experience, credit: Credit, rewards: config.Rewards, longest: int, version: int
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
        "shaped_reward": float(learned.rewards.mean()) if rollouts else 0.0,
        "policy_lag": sum((version - sampled) * count for sampled, count in spans) / max(1, tokens),
    }
    if learned.values is not None and credit.returns is not None and credit.returns.size:
        spread = float(credit.returns.var())
        error = float((credit.returns - learned.values).var())
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


def _kl_penalties(measured: Measured, settings: config.Algorithm) -> np.ndarray:
    """[N] float64: coefficient times the estimated KL of each token."""
    assert measured.old_logprobs is not None and measured.reference_logprobs is not None and settings.kl is not None
    old, reference = (torch.from_numpy(_joined(part)) for part in (measured.old_logprobs, measured.reference_logprobs))
    return settings.kl * ESTIMATORS[settings.kl_estimator](old, reference).numpy()


def _joined(parts: PerSample) -> np.ndarray:
    """One after another: [N] float64, also of no sample at all."""
    return np.concatenate([np.zeros(0), *parts])


def on_mask(values: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Values [M] of the tokens that are learned from, at their places in the response: [R] float32, 0 elsewhere."""
    result = np.zeros(len(mask), dtype=np.float32)
    result[mask] = values
    return result
