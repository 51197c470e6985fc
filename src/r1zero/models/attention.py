"""Attention for packs, as one function that every transformers model calls.

transformers hands each layer's queries, keys and values to a registered function. Ours passes them to the *plan* that
the caller gave to the model's forward (`attention_plan=`): `PackPlan` for training and prefill, the engine's own for
decoding.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor
from transformers import AttentionInterface

from r1zero.base.errors import UsageError
from r1zero.types import Segment

IMPLEMENTATION = "r1zero"
_SCORES_BYTES = 16 * 2**20  # scores of one block: small enough to stay in cache, large enough for efficient products


@dataclass(frozen=True, slots=True)
class Scoring:
    """What a layer makes of queries and keys: softmax over the keys at most `window` - 1 tokens back of
    cap(`scale` q k), with cap(z) = c tanh(z / c). A sink takes a share of a head's softmax and has no value."""

    scale: float
    window: int | None = None
    softcap: float | None = None
    sinks: Tensor | None = None  # [Hq]

    def cap(self, scores: Tensor) -> Tensor:
        """In place."""
        return scores if self.softcap is None else scores.div_(self.softcap).tanh_().mul_(self.softcap)


class AttentionPlan(Protocol):
    """Who attends to whom."""

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, scoring: Scoring) -> Tensor:
        """[Hq, T, D], [Hkv, T, D], [Hkv, T, Dv] -> [T, Hq, Dv]."""
        ...


def plan_attention(
    module: Any,
    query: Tensor,  # [1, Hq, T, D]
    key: Tensor,  # [1, Hkv, T, D]
    value: Tensor,  # [1, Hkv, T, Dv]
    attention_mask: Tensor | None,
    *,
    scaling: float | None = None,
    dropout: float = 0.0,
    attention_plan: AttentionPlan | None = None,
    sliding_window: int | None = None,
    softcap: float | None = None,
    s_aux: Tensor | None = None,
    **_: Any,
) -> tuple[Tensor, None]:
    """The registered function. What a model asks for and we do not compute is an error, never ignored."""
    if attention_plan is None:
        raise UsageError(f"{type(module).__name__} does not pass attention_plan on: this model family is not supported")
    if attention_mask is not None:
        raise UsageError(f"{type(module).__name__} makes a mask of its own: this model family is not supported")
    if dropout:
        raise UsageError(f"{type(module).__name__} has attention dropout {dropout}: set it to 0 in the model's config")
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    scoring = Scoring(scale, sliding_window, softcap, s_aux)
    output = attention_plan.attend(module.layer_idx, query[0], key[0], value[0], scoring)
    return output[None], None


AttentionInterface.register(IMPLEMENTATION, plan_attention)


def added_mask(hidden: Tensor) -> Tensor:
    """float32 to add to scores, of the same shape: -inf where `hidden` is true."""
    return torch.zeros(hidden.shape, device=hidden.device).masked_fill_(hidden, -math.inf)


class PackPlan:
    """Attention inside a pack: prompts are causal, each response sees its prompt and, causally, itself."""

    def __init__(self, segments: Sequence[Segment]) -> None:
        self.segments = segments
        self.longest = max(_length(segment) for segment in segments)
        self._parts: dict[tuple[int, int, int | None], list[_Part]] = {}  # made by the first layer of a kind

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, scoring: Scoring) -> Tensor:
        """softmax(cap(Q K^T scale)) V over what each token sees.

        A prompt's scores are one product for all its responses, so it is read once. Scores live one block at a time and
        are recomputed in the backward pass (as in FlashAttention, arXiv 2205.14135): memory is linear in the lengths.
        """
        window = scoring.window if scoring.window is not None and scoring.window < self.longest else None
        kind = query.shape[0], key.shape[0], window
        if kind not in self._parts:
            self._parts[kind] = [part for segment in self.segments for part in _parts(segment, *kind, key.device)]
        return _PackAttention.apply(query, key, value, scoring.sinks, self._parts[kind], scoring)


def _length(segment: Segment) -> int:
    """Tokens of the longest sequence."""
    return segment.length + max((length for _, length in segment.responses), default=0)


@dataclass(frozen=True, slots=True)
class _Part:
    """Tokens `own` of a pack, a grid of sequences, which look back to the tokens `prefix` and to themselves."""

    own: slice
    prefix: slice
    grid: _Grid


def _parts(segment: Segment, heads: int, key_heads: int, window: int | None, device: torch.device) -> Iterator[_Part]:
    start, end = segment.start, segment.start + segment.length
    grid = _Grid((segment.length,), heads, key_heads, 0, window, device)
    yield _Part(slice(start, end), slice(start, start), grid)
    if segment.responses:
        lengths = tuple(length for _, length in segment.responses)
        grid = _Grid(lengths, heads, key_heads, segment.length, window, device)
        yield _Part(slice(end, end + sum(lengths)), slice(start, end), grid)


class _PackAttention(torch.autograd.Function):
    """One node for the whole pack: a node per part would give every part's gradient the size of the pack."""

    @staticmethod
    def forward(
        ctx: Any,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        sinks: Tensor | None,
        parts: Sequence[_Part],
        scoring: Scoring,
    ) -> Tensor:
        result = query.new_empty(query.shape[1], query.shape[0], value.shape[2])
        for part in parts:
            own, prefix, grid = part.own, part.prefix, part.grid
            queries, keys, values = grid.queries(query[:, own]), grid.keys(key[:, own]), grid.keys(value[:, own])
            output = queries.new_empty(*queries.shape[:-1], value.shape[-1])
            for block in grid.blocks:
                scores = block.scores(queries, keys, key[:, prefix], scoring)
                weights = torch.softmax(scores, dim=-1).to(queries.dtype)
                block.rows(output).copy_(block.mix(weights, value[:, prefix], values))
            result[own] = grid.flat(output).transpose(0, 1)
        ctx.save_for_backward(query, key, value, sinks)
        ctx.parts, ctx.scoring = parts, scoring
        return result

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        query, key, value, sinks = ctx.saved_tensors
        scoring: Scoring = ctx.scoring
        d_result = gradients[0].transpose(0, 1)  # [Hq, T, Dv]
        d_query = torch.empty_like(query)
        d_key, d_value = (torch.zeros_like(tensor, dtype=torch.float32) for tensor in (key, value))
        d_sinks = None if sinks is None else torch.zeros_like(sinks, dtype=torch.float32)
        for part in ctx.parts:
            own, prefix, grid = part.own, part.prefix, part.grid
            queries, keys, values = grid.queries(query[:, own]), grid.keys(key[:, own]), grid.keys(value[:, own])
            d_output = grid.without_padding(grid.queries(d_result[:, own]))
            d_queries = torch.empty_like(queries)
            d_keys, d_values = (torch.zeros_like(tensor, dtype=torch.float32) for tensor in (keys, values))
            for block in grid.blocks:
                scores = block.scores(queries, keys, key[:, prefix], scoring)
                weights = torch.softmax(scores, dim=-1).to(queries.dtype)
                d_rows = block.rows(d_output)
                d_weights = block.join(*block.dot(d_rows, values, value[:, prefix]), width=weights.shape[-1])
                # dS = P (dP - sum(dP P))
                d_scores = torch._softmax_backward_data(  # pyright: ignore[reportPrivateImportUsage]
                    d_weights, weights, -1, weights.dtype
                )
                if d_sinks is not None:
                    d_sinks += block.by_head(d_scores[..., -1])
                if scoring.softcap is not None:  # d cap(z) / dz = 1 - tanh(z / c)^2, and 0 where a key is hidden
                    d_scores *= scores.div_(scoring.softcap).square_().neg_().add_(1).clamp_(min=0)
                block.rows(d_queries).copy_(block.mix(d_scores, key[:, prefix], keys).mul_(scoring.scale))
                block.spread(d_scores, block.rows(queries) * scoring.scale, d_key[:, prefix], d_keys)
                block.spread(weights, d_rows, d_value[:, prefix], d_values)
            d_query[:, own] = grid.flat(d_queries)
            d_key[:, own] += grid.flat_keys(d_keys)
            d_value[:, own] += grid.flat_keys(d_values)
        if d_sinks is not None:
            d_sinks = d_sinks.to(sinks.dtype)  # pyright: ignore[reportOptionalMemberAccess]
        return d_query, d_key.to(key.dtype), d_value.to(value.dtype), d_sinks, None, None


class _Grid:
    """Sequences of unequal length as a padded grid: queries [Hkv, n, g, R, D] (g query heads share a key head), keys
    [Hkv, n, R, D]. A padding key comes after every real query of its sequence, so causality alone hides it."""

    def __init__(
        self,
        lengths: tuple[int, ...],
        heads: int,
        key_heads: int,
        prefix: int,
        window: int | None,
        device: torch.device,
    ) -> None:
        self.count, self.longest, self.prefix, self.window = len(lengths), max(lengths), prefix, window
        self.key_heads, self.shared_by = key_heads, heads // key_heads
        self.ragged = len(set(lengths)) > 1
        if self.ragged:
            sizes = torch.tensor(lengths, device=device)
            steps = torch.arange(self.longest, device=device)
            starts = sizes.cumsum(0) - sizes
            self.inside = steps < sizes[:, None]  # [n, R]
            self.gather = (starts[:, None] + steps).where(self.inside, starts[:, None]).flatten()
            self.scatter = self.inside.flatten().nonzero().flatten()
        self.blocks = list(self._blocks(device))

    def queries(self, flat: Tensor) -> Tensor:  # [Hq, N, D] -> [Hkv, n, g, R, D]
        padded = flat[:, self.gather] if self.ragged else flat
        shape = (self.key_heads, self.shared_by, self.count, self.longest, flat.shape[-1])
        return padded.reshape(shape).transpose(1, 2).contiguous()

    def without_padding(self, queries: Tensor) -> Tensor:
        """Zeroes where the grid holds no token, so that padding rows give no gradient."""
        return queries.masked_fill_(~self.inside[:, None, :, None], 0) if self.ragged else queries

    def keys(self, flat: Tensor) -> Tensor:  # [Hkv, N, D] -> [Hkv, n, R, D]
        padded = flat[:, self.gather] if self.ragged else flat
        return padded.reshape(self.key_heads, self.count, self.longest, flat.shape[-1])

    def flat(self, queries: Tensor) -> Tensor:  # [Hkv, n, g, R, D] -> [Hq, N, D]
        return self._flat(queries.transpose(1, 2).reshape(self.key_heads * self.shared_by, -1, queries.shape[-1]))

    def flat_keys(self, keys: Tensor) -> Tensor:  # [Hkv, n, R, D] -> [Hkv, N, D]
        return self._flat(keys.reshape(self.key_heads, -1, keys.shape[-1]))

    def _flat(self, padded: Tensor) -> Tensor:
        return padded[:, self.scatter] if self.ragged else padded

    def _blocks(self, device: torch.device) -> Iterator[_Block]:
        """Sequences x rows whose fp32 scores fit the budget; rows of a block see keys from the first row's window up to
        the block's end. With a window blocks have no more rows than it, so that at least half of those keys count."""
        window = self.window or self.prefix + self.longest
        keys = min(self.prefix + self.longest, 2 * window)
        per_row = 4 * self.key_heads * self.shared_by * keys
        rows = min(self.longest, max(16, min(window, _SCORES_BYTES // per_row)))
        sequences = max(1, _SCORES_BYTES // (per_row * rows)) if rows == self.longest else 1
        for first in range(0, self.count, sequences):
            for start in range(0, self.longest, rows):
                members = slice(first, min(first + sequences, self.count))
                yield _Block(members, start, min(start + rows, self.longest), self.prefix, self.window, device)


class _Block:
    """Some sequences and a range of their rows, with the keys that any of them sees. Scores are [Hkv, c g r, P + K]:
    P keys of the prefix first, then K own; a sink comes last."""

    def __init__(
        self, sequences: slice, start: int, end: int, prefix: int, window: int | None, device: torch.device
    ) -> None:
        self.sequences, self.start, self.end = sequences, start, end
        oldest = 0 if window is None else max(0, prefix + start - window + 1)  # place in prefix + own of the first key
        self.before = slice(min(oldest, prefix), prefix)
        self.own = slice(max(0, oldest - prefix), end)
        self.prefix = prefix - self.before.start
        rows, keys = torch.arange(start, end, device=device), torch.arange(self.own.start, end, device=device)
        hidden = keys > rows[:, None]
        self.prefix_mask: Tensor | None = None  # [r, P]
        if window is not None:
            hidden |= keys <= rows[:, None] - window
            places = torch.arange(self.before.start, prefix, device=device)
            self.prefix_mask = added_mask(places <= prefix + rows[:, None] - window)
        self.mask = added_mask(hidden)  # [r, K]

    def rows(self, queries: Tensor) -> Tensor:  # [Hkv, c, g, r, D], a view
        return queries[:, self.sequences, :, self.start : self.end]

    def flat(self, rows: Tensor) -> Tensor:  # [Hkv, c g r, D]
        return rows.reshape(rows.shape[0], -1, rows.shape[-1])

    def by_head(self, values: Tensor) -> Tensor:  # [Hkv, c g r] -> [Hq] float32, sums
        count = self.sequences.stop - self.sequences.start
        return values.unflatten(1, (count, -1, self.end - self.start)).float().sum((1, 3)).flatten()

    def dot(self, rows: Tensor, keys: Tensor, prefix_keys: Tensor) -> tuple[Tensor, Tensor]:
        """Products with the prefix's keys, [Hkv, c g r, P], and with the own, [Hkv, c g r, K]."""
        flat = self.flat(rows)
        own = keys[:, self.sequences, self.own]  # [Hkv, c, K, D]
        batched = flat.reshape(*own.shape[:2], -1, flat.shape[-1])  # [Hkv, c, g r, D]
        return flat @ prefix_keys[:, self.before].transpose(1, 2), (batched @ own.transpose(2, 3)).flatten(1, 2)

    def join(self, to_prefix: Tensor, to_own: Tensor, width: int) -> Tensor:
        """One row for both, zeroes for a sink: [Hkv, c g r, width]."""
        sink = width - to_prefix.shape[-1] - to_own.shape[-1]
        if not self.prefix and not sink:
            return to_own
        return torch.cat((to_prefix, to_own, to_own.new_zeros(*to_own.shape[:-1], sink)), dim=-1)

    def scores(self, queries: Tensor, keys: Tensor, prefix_keys: Tensor, scoring: Scoring) -> Tensor:
        """What the softmax is taken of, float32: [Hkv, c g r, P + K], one more for a sink."""
        to_prefix, to_own = self.dot(self.rows(queries) * scoring.scale, keys, prefix_keys)
        end = self.prefix + to_own.shape[-1]
        scores = torch.empty(*to_own.shape[:-1], end + (scoring.sinks is not None), device=queries.device)
        # without a cap one pass puts a part in its place, widens it to fp32 and masks it
        by_row = (-1, self.end - self.start)
        if scoring.softcap is not None:
            to_prefix, to_own = scoring.cap(to_prefix.float()), scoring.cap(to_own.float())
        if self.prefix_mask is None:
            scores[..., : self.prefix] = to_prefix
        else:
            part = scores[..., : self.prefix].unflatten(1, by_row)
            torch.add(to_prefix.unflatten(1, by_row), self.prefix_mask, out=part)
        torch.add(to_own.unflatten(1, by_row), self.mask, out=scores[..., self.prefix : end].unflatten(1, by_row))
        if scoring.sinks is not None:
            by_head = scores[..., -1].view(len(scores), self.sequences.stop - self.sequences.start, -1, by_row[1])
            by_head.copy_(scoring.sinks.view(len(scores), 1, -1, 1))
        return scores

    def mix(self, weights: Tensor, prefix_values: Tensor, values: Tensor) -> Tensor:
        """Weighted sums of values: [Hkv, c, g, r, Dv]."""
        own = values[:, self.sequences, self.own]  # [Hkv, c, K, Dv]
        batched = weights[..., self.prefix : self.prefix + own.shape[2]].reshape(*own.shape[:2], -1, own.shape[2])
        mixed = batched @ own  # [Hkv, c, g r, Dv]
        if self.prefix:
            mixed += (weights[..., : self.prefix] @ prefix_values[:, self.before]).reshape(mixed.shape)
        return mixed.unflatten(2, (-1, self.end - self.start))

    def spread(self, weights: Tensor, rows: Tensor, prefix_total: Tensor, total: Tensor) -> None:
        """The transpose of `mix`: adds weights^T rows to the prefix's and the own keys' totals."""
        flat = self.flat(rows)
        if self.prefix:
            prefix_total[:, self.before] += weights[..., : self.prefix].transpose(1, 2) @ flat
        own = total[:, self.sequences, self.own]
        batched = weights[..., self.prefix : self.prefix + own.shape[2]].reshape(*own.shape[:2], -1, own.shape[2])
        own += batched.transpose(2, 3) @ flat.reshape(*own.shape[:2], -1, flat.shape[-1])
