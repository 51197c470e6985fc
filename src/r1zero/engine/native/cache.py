"""Keys and values: a prompt's once for its whole group, each row's own beside it.

    prefix   [slots, Hkv, D, P]    one slot per group        (keys transposed: scores are then row-major products)
    suffix   [rows, Hkv, D, R]     one row per live rollout

Slots and rows are kept dense: when one is freed, the last moves into its place.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from r1zero.models.attention import PackPlan, Scoring, added_mask
from r1zero.types import Segment


@dataclass(frozen=True, slots=True)
class Shape:
    """Sizes of a cache, in groups, rollouts and tokens."""

    slots: int
    prefix_tokens: int
    rows: int
    suffix_tokens: int

    def tokens(self) -> int:
        return self.slots * self.prefix_tokens + self.rows * self.suffix_tokens


@dataclass(frozen=True, slots=True)
class _Layer:
    prefix_keys: Tensor  # [slots, Hkv, D, P]
    prefix_values: Tensor  # [slots, Hkv, P, Dv]
    suffix_keys: Tensor  # [rows, Hkv, D, R]
    suffix_values: Tensor  # [rows, Hkv, R, Dv]


class Cache:
    """Storage for every layer, allocated when a layer first writes (only then its head sizes are known)."""

    def __init__(self, shape: Shape) -> None:
        self.shape = shape
        self._layers: dict[int, _Layer] = {}

    def layer(self, index: int, key: Tensor, value: Tensor) -> _Layer:  # [Hkv, T, D], [Hkv, T, Dv]
        if index not in self._layers:
            heads, width, value_width = key.shape[0], key.shape[2], value.shape[2]
            shape = self.shape
            self._layers[index] = _Layer(
                key.new_zeros(shape.slots, heads, width, shape.prefix_tokens),
                value.new_zeros(shape.slots, heads, shape.prefix_tokens, value_width),
                key.new_zeros(shape.rows, heads, width, shape.suffix_tokens),
                value.new_zeros(shape.rows, heads, shape.suffix_tokens, value_width),
            )
        return self._layers[index]

    def move_rows(self, sources: Sequence[int], targets: Sequence[int], length: int) -> None:
        """Copy the first `length` tokens of rows to other rows."""
        for layer in self._layers.values():
            for source, target in zip(sources, targets, strict=True):
                layer.suffix_keys[target, :, :, :length] = layer.suffix_keys[source, :, :, :length]
                layer.suffix_values[target, :, :length] = layer.suffix_values[source, :, :length]

    def move_slot(self, source: int, target: int, length: int) -> None:
        for layer in self._layers.values():
            layer.prefix_keys[target, :, :, :length] = layer.prefix_keys[source, :, :, :length]
            layer.prefix_values[target, :, :length] = layer.prefix_values[source, :, :length]


class SizePlan:
    """Attention of any pack that only counts what a token leaves in the cache: head counts and sizes may differ by
    layer, and values from keys (multi-head latent attention)."""

    def __init__(self, segments: Sequence[Segment]) -> None:
        self.pack = PackPlan(segments)
        self.bytes: dict[int, int] = {}  # by layer

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, scoring: Scoring) -> Tensor:
        self.bytes[layer] = sum(part.shape[0] * part.shape[2] * part.element_size() for part in (key, value))
        return self.pack.attend(layer, query, key, value, scoring)


class PrefillPlan:
    """Attention of whole prompts, packed one after another, which also fills their slots."""

    def __init__(self, cache: Cache, segments: Sequence[Segment], slots: Sequence[int]) -> None:
        self.cache, self.slots = cache, slots
        self.pack = PackPlan(segments)

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, scoring: Scoring) -> Tensor:
        store = self.cache.layer(layer, key, value)
        for segment, slot in zip(self.pack.segments, self.slots, strict=True):
            span = slice(segment.start, segment.start + segment.length)
            store.prefix_keys[slot, :, :, : segment.length] = key[:, span].transpose(1, 2)
            store.prefix_values[slot, :, : segment.length] = value[:, span]
        return self.pack.attend(layer, query, key, value, scoring)


@dataclass(frozen=True, slots=True)
class _View:
    """The keys that any row of a batch sees, and -inf for each row where it does not see one."""

    prompt: slice
    own: slice
    no_prompt: Tensor  # [B, 1, 1, P]
    no_token: Tensor  # [B, 1, 1, R]


class DecodePlan:
    """Attention of one new token per row to [its group's prompt | its own tokens so far].

    Rows of a group meet their prompt in one product: queries are arranged as [slots, Hkv, members x g, D]. The scores
    of both parts share one softmax.
    """

    def __init__(self, cache: Cache, slots: Tensor, prompt_lengths: Tensor, lengths: Tensor) -> None:
        """slots [B]: each row's slot; prompt_lengths [S]: of each slot; lengths [B]: own tokens before this one."""
        self.cache, self.slots, self.lengths = cache, slots, lengths
        self.rows = len(slots)
        self.live = int(lengths.max()) + 1
        self.prompt = int(prompt_lengths.max())
        self.prompts = prompt_lengths[slots]  # [B]
        self.longest = int((self.prompts + lengths).max()) + 1
        self.used = len(prompt_lengths)
        self.members, self.place = _members(slots, self.used)
        # all groups are whole and in order, so the grid is the rows as they lie
        expected = torch.arange(self.used * self.members, device=slots.device)
        self.complete = torch.equal(slots * self.members + self.place, expected)
        self.all_rows = torch.arange(self.rows, device=slots.device)
        self._views: dict[int | None, _View] = {}  # by window

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, scoring: Scoring) -> Tensor:
        store = self.cache.layer(layer, key, value)
        store.suffix_keys[self.all_rows, :, :, self.lengths] = key.transpose(0, 1)
        store.suffix_values[self.all_rows, :, self.lengths] = value.transpose(0, 1)
        view = self._view(scoring.window)
        queries = query.transpose(0, 1).unflatten(1, (key.shape[0], -1)).contiguous()  # [B, Hkv, g, D]
        own = queries @ store.suffix_keys[: self.rows, :, :, view.own]  # [B, Hkv, g, R]
        shared = self._rows(self._grid(queries) @ store.prefix_keys[: self.used, :, :, view.prompt])
        parts = [shared.shape[-1], own.shape[-1], int(scoring.sinks is not None)]
        scores = torch.empty(*own.shape[:-1], sum(parts), device=own.device)
        to_prompt, to_own, to_sink = scores.split(parts, dim=-1)
        if scoring.softcap is None:
            # one pass scales, masks, widens to fp32 and puts both parts side by side
            torch.add(view.no_prompt, shared, alpha=scoring.scale, out=to_prompt)
            torch.add(view.no_token, own, alpha=scoring.scale, out=to_own)
        else:
            torch.add(view.no_prompt, scoring.cap(shared.float() * scoring.scale), out=to_prompt)
            torch.add(view.no_token, scoring.cap(own.float() * scoring.scale), out=to_own)
        if scoring.sinks is not None:
            to_sink.copy_(scoring.sinks.view(*own.shape[1:-1], 1))
        to_prompt, to_own, _ = torch.softmax(scores, dim=-1).split(parts, dim=-1)
        mixed = to_own.to(value.dtype) @ store.suffix_values[: self.rows, :, view.own]
        prompt_weights = self._grid(to_prompt.to(value.dtype))
        mixed += self._rows(prompt_weights @ store.prefix_values[: self.used, :, view.prompt])
        return mixed.flatten(1, 2)

    def _view(self, window: int | None) -> _View:
        """Made by the first layer with this window."""
        window = window if window is not None and window < self.longest else None
        if window not in self._views:
            places, own = (torch.arange(size, device=self.slots.device) for size in (self.prompt, self.live))
            prompts, lengths = self.prompts[:, None], self.lengths[:, None]
            no_prompt, no_token = places >= prompts, own > lengths  # [B, P], [B, R]
            first_prompt = first_own = 0
            if window is not None:
                no_prompt |= places <= prompts + lengths - window
                no_token |= own <= lengths - window
                first_prompt, first_own = _first_seen(no_prompt), _first_seen(no_token)
            self._views[window] = _View(
                slice(first_prompt, self.prompt),
                slice(first_own, self.live),
                added_mask(no_prompt[:, None, None, first_prompt:]),
                added_mask(no_token[:, None, None, first_own:]),
            )
        return self._views[window]

    def _grid(self, rows: Tensor) -> Tensor:  # [B, Hkv, g, X] -> [S, Hkv, members g, X]
        heads, shared_by, width = rows.shape[1:]
        if self.complete:
            grid = rows.unflatten(0, (self.used, self.members))
        else:
            grid = rows.new_zeros(self.used, self.members, heads, shared_by, width)
            grid[self.slots, self.place] = rows
        return grid.transpose(1, 2).reshape(self.used, heads, -1, width)

    def _rows(self, grid: Tensor) -> Tensor:  # [S, Hkv, members g, X] -> [B, Hkv, g, X]
        unfolded = grid.unflatten(2, (self.members, -1))
        return unfolded.transpose(1, 2).flatten(0, 1) if self.complete else unfolded[self.slots, :, self.place]


def _first_seen(hidden: Tensor) -> int:
    """The first column of [B, n] that any row sees; the last if there is none, so that some key is left."""
    unseen = int(hidden.all(dim=0).long().cumprod(dim=0).sum())
    return min(unseen, hidden.shape[1] - 1)


def _members(slots: Tensor, used: int) -> tuple[int, Tensor]:
    """Largest number of rows in a slot, and each row's place among its slot's rows."""
    order = torch.argsort(slots, stable=True)
    counts = torch.bincount(slots, minlength=used)
    starts = counts.cumsum(0) - counts
    place = torch.empty_like(slots)
    place[order] = torch.arange(len(slots), device=slots.device) - starts[slots[order]]
    return int(counts.max()), place
