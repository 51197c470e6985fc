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

# what a sample knows of each of its tokens
_STREAMS = ("advantages", "behaviour_logprobs", "old_logprobs", "reference_logprobs", "values", "returns")


@dataclass(frozen=True, slots=True)
class _Member:
    """A sample, its place among those that are packed, and the weight of each of its tokens."""

    index: int
    sample: Sample
    weight: float


@dataclass(frozen=True, slots=True)
class _Shared:
    """Samples of one prompt."""

    prompt_ids: np.ndarray
    members: list[_Member]

    @property
    def learns(self) -> bool:
        return any(member.sample.advantages.any() for member in self.members)

    @property
    def tokens(self) -> int:
        return len(self.prompt_ids) + sum(len(member.sample.response_ids) for member in self.members)


def pack(
    samples: Sequence[Sample],
    *,
    tokens_per_pack: int,
    loss_mean: Literal["token", "sequence", "constant"] = "token",
    longest_response: int = 0,
    together: int = 1,
) -> list[Batch]:
    """All samples of one optimizer step as packs of at most `tokens_per_pack` tokens.

    The weights of all packs together make the mean: of tokens, 1/N each; of sequences, 1/(S R_i); constant,
    1/(S `longest_response`) (Dr. GRPO, arXiv 2503.20783). Samples without a token to learn are left out; groups whose
    advantages are all 0 have packs of their own, since some losses need no backward pass for them.

    Each `together` samples in a row have one prompt and tokens to learn; they are neighbours in the same pack.
    """
    total = sum(int(sample.mask.sum()) for sample in samples)
    weigh = {
        "token": lambda sample: 1 / total,
        "sequence": lambda sample: 1 / (len(samples) * int(sample.mask.sum())),
        "constant": lambda sample: 1 / (len(samples) * longest_response),
    }[loss_mean]
    members = [_Member(i, sample, weigh(sample)) for i, sample in enumerate(samples) if sample.mask.any()]
    groups = _shared(members, tokens_per_pack, together)
    kinds = [group for group in groups if group.learns], [group for group in groups if not group.learns]
    return [_batch(bin_) for kind in kinds for bin_ in _bins(kind, tokens_per_pack)]


def to_device(batch: Batch, device: torch.device) -> Batch:
    moved = {
        name: value.to(device)
        for name in Batch.__dataclass_fields__
        if isinstance(value := getattr(batch, name), torch.Tensor)
    }
    return replace(batch, **moved)


def unpack(packs: Sequence[Batch], values: Sequence[torch.Tensor], count: int) -> list[np.ndarray]:
    """What was computed for the targets of packs, [N] each, as one array per sample of the `count` that were packed;
    empty for a sample without a token to learn."""
    found = [np.zeros(0, dtype=np.float32)] * count
    for batch, of_batch in zip(packs, values, strict=True):
        sizes = np.bincount(batch.sequence_ids.numpy(), minlength=len(batch.members))
        parts = np.split(of_batch.cpu().numpy(), np.cumsum(sizes)[:-1])
        for member, part in zip(batch.members, parts, strict=True):
            found[member] = part
    return found


def _shared(members: list[_Member], limit: int, together: int) -> list[_Shared]:
    """Samples by prompt, in order of first appearance; a group that exceeds the limit continues with its prompt
    repeated."""
    groups: dict[bytes, list[_Member]] = {}
    for member in members:
        groups.setdefault(member.sample.prompt_ids.tobytes(), []).append(member)
    result = []
    for same_prompt in groups.values():
        prompt_ids = same_prompt[0].sample.prompt_ids
        current = _Shared(prompt_ids, [])
        for unit in (same_prompt[start : start + together] for start in range(0, len(same_prompt), together)):
            assert [member.index % together for member in unit] == list(range(together)), "a unit is not whole"
            if current.members and current.tokens + sum(len(member.sample.response_ids) for member in unit) > limit:
                result.append(current)
                current = _Shared(prompt_ids, [])
            current.members.extend(unit)
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
        for sample in (member.sample for member in group.members):
            length = len(sample.response_ids)
            tokens.append(sample.response_ids)
            positions.append(np.arange(size, size + length))
            before = np.arange(offset - 1, offset + length - 1)
            before[0] = start + size - 1  # the prompt's last token predicts the first of every response
            predictors.append(before[sample.mask])
            responses.append((offset, length))
            offset += length
        segments.append(Segment(start, size, tuple(responses)))
    members = [member for group in groups for member in group.members]
    sizes = [int(member.sample.mask.sum()) for member in members]
    return Batch(
        token_ids=torch.from_numpy(np.concatenate(tokens)).long(),
        positions=torch.from_numpy(np.concatenate(positions)).long(),
        segments=tuple(segments),
        predictors=torch.from_numpy(np.concatenate(predictors)).long(),
        targets=_joined(members, "targets").long(),
        members=tuple(member.index for member in members),
        sequence_ids=torch.from_numpy(np.repeat(np.arange(len(members)), sizes)),
        weight=torch.from_numpy(np.repeat(np.array([member.weight for member in members], np.float32), sizes)),
        **{name: _joined(members, name) for name in _STREAMS if getattr(members[0].sample, name) is not None},
    )


def _joined(members: Sequence[_Member], name: str) -> torch.Tensor:
    """One array of every sample at its learnable tokens, one sample after another: [N]."""
    return torch.from_numpy(np.concatenate([getattr(member.sample, name)[member.sample.mask] for member in members]))
