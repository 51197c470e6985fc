"""Sampling by inverse distribution function: exact, and cheap for large vocabularies."""

from __future__ import annotations

import torch
from torch import Tensor

from r1zero.types import Sampling

_BLOCK = 256  # tokens per block: the row's uniform number first finds the block, then the token inside it


def sample(logits: Tensor, uniforms: Tensor, sampling: Sampling) -> tuple[Tensor, Tensor]:
    """Next tokens and their log-probabilities under softmax(logits / temperature).

    logits [B, V] float32 (overwritten), uniforms [B] in [0, 1) -> tokens [B] int64, log-probabilities [B] float32.
    Greedy, temperature 0, gives the log-probability at temperature 1. Filters apply in the order top-k, top-p, min-p;
    the log-probability is of the unfiltered distribution (see `Completion`).
    """
    if sampling.temperature == 0:
        tokens = logits.argmax(dim=-1)
        return tokens, _gather(logits, tokens) - torch.logsumexp(logits, dim=-1)
    if sampling.temperature != 1:
        logits /= sampling.temperature
    largest = logits.amax(dim=-1, keepdim=True)
    mass = torch.exp_(logits.sub_(largest))  # unnormalised probabilities, the largest is 1
    total = mass.sum(dim=-1)
    tokens = _inverse(_filtered(mass, sampling), uniforms)
    return tokens, torch.log(_gather(mass, tokens) / total)


def _filtered(mass: Tensor, sampling: Sampling) -> Tensor:
    """Probability mass [B, V] after top-k, top-p and min-p; what is cut is 0."""
    floor = torch.zeros(len(mass), 1, device=mass.device)
    if 0 < sampling.top_k < mass.shape[1]:
        floor = mass.topk(sampling.top_k, dim=-1).values[:, -1:]
    if sampling.top_p < 1:
        floor = torch.maximum(floor, _nucleus_floor(mass.where(mass >= floor, 0), sampling.top_p))
    if sampling.min_p > 0:
        floor = floor.clamp(min=sampling.min_p)
    return mass if floor.max() == 0 else mass.where(mass >= floor, 0)


def _nucleus_floor(mass: Tensor, top_p: float) -> Tensor:
    """The smallest mass inside the nucleus, the fewest tokens that hold `top_p` of the total: [B, V] -> [B, 1].

    Only tokens that can belong to it are sorted: all with less than (1 - top_p) total / V hold less than 1 - top_p
    together, so the nucleus is complete without them.
    """
    total = mass.sum(dim=-1, keepdim=True)
    candidates = int((mass >= (1 - top_p) * total / mass.shape[1]).sum(dim=-1).max())
    ordered = mass.topk(candidates, dim=-1).values
    inside = ordered.cumsum(dim=-1) - ordered < top_p * total
    return ordered.where(inside, torch.inf).amin(dim=-1, keepdim=True)


def _inverse(mass: Tensor, uniforms: Tensor) -> Tensor:
    """The token where the cumulative mass first exceeds uniform x total, in two levels: [B, V], [B] -> [B].

    A token without mass is never chosen: cumulative sums must strictly exceed the target, and a target that rounding
    has pushed past the end falls back to the last token that has mass.
    """
    size = mass.shape[1]
    if short := -size % _BLOCK:
        mass = torch.nn.functional.pad(mass, (0, short))
    blocks = mass.unflatten(1, (-1, _BLOCK))  # [B, blocks, _BLOCK]
    sums = blocks.sum(dim=-1).double()
    block, rest = _first_above(sums, uniforms.double() * sums.sum(dim=-1))
    rows = torch.arange(len(mass), device=mass.device)
    inside, _ = _first_above(blocks[rows, block].double(), rest)
    return block * _BLOCK + inside


def _first_above(mass: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """First index whose cumulative mass exceeds the target, and the rest of the target there: [B, n], [B] -> 2 [B]."""
    cumulative = mass.cumsum(dim=-1)
    index = torch.searchsorted(cumulative, target[:, None], right=True).squeeze(1)
    steps = torch.arange(mass.shape[1], device=mass.device)
    last = torch.where(mass > 0, steps, 0).amax(dim=-1)
    index = torch.minimum(index, last)
    before = _gather(cumulative, index) - _gather(mass, index)
    return index, (target - before).clamp(min=0)


def _gather(table: Tensor, index: Tensor) -> Tensor:
    return table.gather(1, index[:, None]).squeeze(1)
