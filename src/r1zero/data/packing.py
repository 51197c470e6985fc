"""Samples become packs: no padding, and a prompt that several samples share is computed once.

A pack of two groups lies in memory as

    [prompt A][A's response 1][A's response 2] ... [prompt B][B's response 1] ...

with positions that continue the prompt in every response. Each response attends to its prompt and to itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch

from r1zero.types import Batch, Sample, Segment


@dataclass(frozen=True, slots=True)
class _Shared:
    """Samples of one prompt, with the weight of each token."""

    prompt_ids: np.ndarray
    samples: list[tuple[Sample, np.ndarray]]

    @property
    def learns(self) -> bool:
        return any(sample.advantages.any() for sample, _ in self.samples)

    @property
    def tokens(self) -> int:
        return len(self.prompt_ids) + sum(len(sample.response_ids) for sample, _ in self.samples)


def pack(
    samples: Sequence[Sample],
    *,
    tokens_per_pack: int,
    loss_mean: Literal["token", "sequence", "constant"] = "token",
    longest_response: int = 0,
) -> list[Batch]:
    """All samples of one optimizer step as packs of at most `tokens_per_pack` tokens.

    The weights of all packs together make the mean: of tokens, 1/N each; of sequences, 1/(S R_i); constant,
    1/(S `longest_response`) (Dr. GRPO, arXiv 2503.20783). Samples without a token to learn are left out; groups whose
    advantages are all 0 have packs of their own, since some losses need no backward pass for them.
    """
    learnable = [sample for sample in samples if sample.mask.any()]
    total = sum(int(sample.mask.sum()) for sample in learnable)
    weigh = {
        "token": lambda sample: 1 / total,
        "sequence": lambda sample: 1 / (len(samples) * int(sample.mask.sum())),
        "constant": lambda sample: 1 / (len(samples) * longest_response),
    }[loss_mean]
    weighted = [(sample, np.full(len(sample.mask), weigh(sample), dtype=np.float32)) for sample in learnable]
    groups = _shared(weighted, tokens_per_pack)
    kinds = [group for group in groups if group.learns], [group for group in groups if not group.learns]
    return [_batch(bin_) for kind in kinds for bin_ in _bins(kind, tokens_per_pack)]


def to_device(batch: Batch, device: torch.device) -> Batch:
    moved = {
        name: value.to(device)
        for name in Batch.__dataclass_fields__
        if isinstance(value := getattr(batch, name), torch.Tensor)
    }
    return replace(batch, **moved)


def _shared(weighted: list[tuple[Sample, np.ndarray]], limit: int) -> list[_Shared]:
    """Samples by prompt, in order of first appearance; a group that exceeds the limit continues with its prompt
    repeated."""
    groups: dict[bytes, list[tuple[Sample, np.ndarray]]] = {}
    for sample, weight in weighted:
        groups.setdefault(sample.prompt_ids.tobytes(), []).append((sample, weight))
    result = []
    for members in groups.values():
        prompt_ids = members[0][0].prompt_ids
        current = _Shared(prompt_ids, [])
        for sample, weight in members:
            if current.samples and current.tokens + len(sample.response_ids) > limit:
                result.append(current)
                current = _Shared(prompt_ids, [])
            current.samples.append((sample, weight))
        result.append(current)
    return result


def _bins(groups: list[_Shared], limit: int) -> list[list[_Shared]]:
    """First fit, largest first."""
    bins: list[list[_Shared]] = []
    room: list[int] = []
    for group in sorted(groups, key=lambda group: -group.tokens):
        index = next((i for i, free in enumerate(room) if free >= group.tokens), len(bins))
        if index == len(bins):
            bins.append([])
            room.append(limit)
        bins[index].append(group)
        room[index] -= group.tokens
    return bins


def _batch(groups: list[_Shared]) -> Batch:
    tokens: list[np.ndarray] = []
    positions: list[np.ndarray] = []
    predictors: list[np.ndarray] = []
    segments: list[Segment] = []
    offset = 0
    for group in groups:
        start, size = offset, len(group.prompt_ids)
        tokens.append(group.prompt_ids)
        positions.append(np.arange(size))
        offset += size
        responses = []
        for sample, _ in group.samples:
            length = len(sample.response_ids)
            tokens.append(sample.response_ids)
            positions.append(np.arange(size, size + length))
            before = np.arange(offset - 1, offset + length - 1)
            before[0] = start + size - 1  # the prompt's last token predicts the first of every response
            predictors.append(before[sample.mask])
            responses.append((offset, length))
            offset += length
        segments.append(Segment(start, size, tuple(responses)))
    members = [member for group in groups for member in group.samples]
    return Batch(
        token_ids=torch.from_numpy(np.concatenate(tokens)).long(),
        positions=torch.from_numpy(np.concatenate(positions)).long(),
        segments=tuple(segments),
        predictors=torch.from_numpy(np.concatenate(predictors)).long(),
        targets=torch.from_numpy(np.concatenate([sample.response_ids[sample.mask] for sample, _ in members])).long(),
        weight=torch.from_numpy(np.concatenate([weight[sample.mask] for sample, weight in members])),
        advantages=torch.from_numpy(np.concatenate([sample.advantages[sample.mask] for sample, _ in members])),
        behaviour_logprobs=torch.from_numpy(
            np.concatenate([sample.behaviour_logprobs[sample.mask] for sample, _ in members])
        ),
    )
