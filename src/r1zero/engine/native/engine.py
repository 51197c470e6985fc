"""The native engine: continuous batching on the trainer's own model.

    waiting prompts --admit--> prefill once per group --> rows: decode one token each, together --> finished groups
                      ^                                             |
                      └──────── a finished row leaves, room for the next group ┘

Groups wait until the cache has room for all their rows, so memory is bounded by `kv_cache_gib` whatever the batch.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from r1zero.base import seeds
from r1zero.base.errors import UsageError
from r1zero.engine.native.cache import Cache, DecodePlan, PrefillPlan, Shape, SizePlan
from r1zero.engine.native.compiled import CompiledLayers
from r1zero.engine.native.packed import PackedLinears
from r1zero.engine.native.sampler import sample
from r1zero.engine.native.stopping import StopStrings, TokenTexts
from r1zero.models.head import lm_head
from r1zero.models.load import hidden_states
from r1zero.run import interrupt
from r1zero.types import Completion, FinishReason, Prompt, Sampling, Segment

_PREFILL_TOKENS = 4096  # prompt tokens of one prefill pass
_SAMPLED_ROWS = 128  # rows whose fp32 logits over the vocabulary exist at once


@dataclass(slots=True)
class _Row:
    """One rollout being sampled."""

    group: _Group
    number: int
    uniforms: np.ndarray  # [max_new_tokens]
    tokens: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)

    def completion(self, reason: FinishReason, version: int) -> Completion:
        return Completion(
            token_ids=np.array(self.tokens, dtype=np.int32),
            logprobs=np.array(self.logprobs, dtype=np.float32),
            finish_reason=reason,
            versions=((version, len(self.tokens)),),
        )


@dataclass(slots=True, eq=False)
class _Group:
    """A prompt in a slot, and what its rows have produced."""

    index: int
    prompt: Prompt
    completions: dict[int, Completion] = field(default_factory=dict)


class NativeEngine:
    """Samples from a model prepared by `models.load`. Weights that share the model's storage need no copy. Layers run
    compiled, with plain weights, or as they are, with weights packed for the processor."""

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        *,
        kv_cache_gib: float,
        compiled: bool = False,
        key: str = "rollout.kv_cache_gib",  # what the recipe calls it
    ) -> None:
        self.model, self.tokenizer = model, tokenizer
        self.kv_cache_gib, self._key = kv_cache_gib, key
        self.texts = TokenTexts(tokenizer)
        self._compiled = CompiledLayers(model) if compiled else None
        self._bytes_per_token = _bytes_per_token(model)
        self.version = 0
        self._cache: Cache | None = None
        self._linears: PackedLinears | None = None
        self._aborted = False

    def generate(self, prompts: Sequence[Prompt], sampling: Sampling) -> Iterator[tuple[int, tuple[Completion, ...]]]:
        """Yields (index, completions) as groups finish. The order depends on the sampled lengths alone. Raises
        UsageError for a prompt without tokens and for logits that are not finite."""
        self._aborted = False
        if not prompts:
            return
        for prompt in prompts:
            if not len(prompt.token_ids):
                raise UsageError(f"{prompt.problem.id}: the prompt has no tokens; give it a question, or a template")
        shape = self._shape(prompts, sampling)
        if self._cache is None or self._cache.shape != shape:
            self._cache = None  # free the old one first
            self._cache = Cache(shape)
        if self._linears is None:
            self._linears = PackedLinears(self.model, lm_head(self.model), layers=self._compiled is None)
        self._linears.refresh(shape.rows)
        self.model.eval()
        layers = self._compiled or self._linears
        batch = _Batch(self, self._cache, self._linears, sampling)
        waiting = deque(_Group(index, prompt) for index, prompt in enumerate(prompts))
        while waiting or batch.rows:
            interrupt.check()
            if self._aborted:
                waiting.clear()
                finished = batch.abort()
            else:
                with torch.inference_mode(), layers.in_use():
                    finished = batch.admit(waiting) if waiting else []
                    finished += batch.decode() if batch.rows else []
            for group in finished:
                yield group.index, tuple(group.completions[number] for number in range(sampling.n))

    def abort(self) -> None:
        """End the running `generate`: it yields the groups in progress as they are, unfinished completions with finish
        reason `abort`, and drops the prompts still waiting. Callable from its consumer or another thread."""
        self._aborted = True

    def load_weights(self, weights: Iterable[tuple[str, Tensor]], version: int) -> None:
        """Copy what is not already ours; tensors that share our storage are up to date by definition."""
        own = dict(self.model.named_parameters())
        with torch.no_grad():
            for name, tensor in weights:
                if own[name].data_ptr() != tensor.data_ptr():
                    own[name].copy_(tensor)
        self.version = version

    def sleep(self) -> None:
        """Drop the cache and the packed weights; they are made again when next needed."""
        self._cache = self._linears = None

    def wake(self) -> None:
        """Nothing to do: `generate` allocates."""

    def close(self) -> None:
        self.sleep()

    def check_room(self, longest: int, sampling: Sampling) -> None:
        """Raises UsageError unless one group with a prompt of `longest` tokens fits the cache."""
        needed = self._bytes(Shape(1, longest, sampling.n, sampling.max_new_tokens)) / 2**30
        if needed > self.kv_cache_gib:
            raise UsageError(
                f"{self._key} = {self.kv_cache_gib:g}: one group of {sampling.n} samples with {longest} prompt "
                f"and {sampling.max_new_tokens} new tokens needs {needed:.3g} GiB; raise it"
            )

    def _shape(self, prompts: Sequence[Prompt], sampling: Sampling) -> Shape:
        """The largest cache that is useful and fits the budget; at least one group must fit."""
        longest = max(len(prompt.token_ids) for prompt in prompts)
        self.check_room(longest, sampling)
        for groups in range(len(prompts), 0, -1):
            # spare slots, so that a group's last straggler does not keep the next group out
            shape = Shape(min(2 * groups, len(prompts)), longest, groups * sampling.n, sampling.max_new_tokens)
            if self._bytes(shape) <= self.kv_cache_gib * 2**30:
                return shape
        return Shape(1, longest, sampling.n, sampling.max_new_tokens)

    def _bytes(self, shape: Shape) -> int:
        return shape.tokens() * self._bytes_per_token


@torch.no_grad()
def _bytes_per_token(model: Any) -> int:
    """What a token takes in the cache of all layers, as the model's own keys and values have it."""
    plan = SizePlan([Segment(0, 1, ())])
    first = torch.zeros(1, dtype=torch.int64, device=model.device)
    hidden_states(model, first, first, plan)
    return sum(plan.bytes.values())


class _Batch:
    """The rows being decoded. Row i of every array, and of the cache, is `rows[i]`."""

    def __init__(self, engine: NativeEngine, cache: Cache, linears: PackedLinears, sampling: Sampling) -> None:
        self.engine, self.cache, self.sampling = engine, cache, sampling
        self.device = engine.model.device
        self.rows: list[_Row] = []
        self.groups: list[_Group] = []  # by slot
        self.head = linears.head
        self.stop_strings = StopStrings(engine.texts, sampling.stop_strings)

    def admit(self, waiting: deque[_Group]) -> list[_Group]:
        """Prefill as many waiting groups as there is room for, and sample the first token of all their rows."""
        admitted: list[_Group] = []
        tokens = 0
        while waiting and self._room(len(admitted)):
            tokens += len(waiting[0].prompt.token_ids)
            if admitted and tokens > _PREFILL_TOKENS:
                break
            admitted.append(waiting.popleft())
        if not admitted:
            return []
        last_hidden = self._prefill(admitted)  # [G, d]
        n = self.sampling.n
        rows = [self._row(group, number) for group in admitted for number in range(n)]
        self.groups += admitted
        self.rows += rows
        return self._sample(last_hidden.repeat_interleave(n, dim=0), rows)

    def decode(self) -> list[_Group]:
        """One more token for every row; returns the groups that this finished."""
        prompt_lengths = [len(group.prompt.token_ids) for group in self.groups]
        slot_of = {id(group): slot for slot, group in enumerate(self.groups)}
        slots = self._tensor([slot_of[id(row.group)] for row in self.rows])
        # the newest token of a row is sampled but not yet in the cache
        lengths = self._tensor([len(row.tokens) - 1 for row in self.rows])
        plan = DecodePlan(self.cache, slots, self._tensor(prompt_lengths), lengths)
        positions = self._tensor(prompt_lengths)[slots] + lengths
        newest = self._tensor([row.tokens[-1] for row in self.rows])
        hidden = hidden_states(self.engine.model, newest, positions, plan)
        return self._sample(hidden, self.rows)

    def abort(self) -> list[_Group]:
        """All groups, their unfinished rows cut off where they are."""
        for row in self.rows:
            row.group.completions[row.number] = row.completion("abort", self.engine.version)
        finished, self.rows, self.groups = self.groups, [], []
        return finished

    def _room(self, admitted: int) -> bool:
        slots = len(self.groups) + admitted < self.cache.shape.slots
        rows = len(self.rows) + (admitted + 1) * self.sampling.n <= self.cache.shape.rows
        return slots and rows

    def _row(self, group: _Group, number: int) -> _Row:
        uniforms = seeds.generator(self.sampling.seed, "row", group.index, number).random(self.sampling.max_new_tokens)
        return _Row(group, number, uniforms)

    def _prefill(self, groups: Sequence[_Group]) -> Tensor:
        lengths = [len(group.prompt.token_ids) for group in groups]
        ends = np.cumsum(lengths)
        segments = [Segment(int(end) - length, length, ()) for end, length in zip(ends, lengths, strict=True)]
        slots = range(len(self.groups), len(self.groups) + len(groups))
        token_ids = self._tensor(np.concatenate([group.prompt.token_ids for group in groups]).tolist())
        positions = torch.cat([torch.arange(length, device=self.device) for length in lengths])
        plan = PrefillPlan(self.cache, segments, list(slots))
        return hidden_states(self.engine.model, token_ids, positions, plan)[self._tensor((ends - 1).tolist())]

    def _sample(self, hidden: Tensor, rows: Sequence[_Row]) -> list[_Group]:
        """Sample a token for each of `rows`, retire those that end, and return the groups without rows left."""
        for start in range(0, len(rows), _SAMPLED_ROWS):
            part = rows[start : start + _SAMPLED_ROWS]
            uniforms = torch.tensor([row.uniforms[len(row.tokens)] for row in part], device=self.device)
            logits = self.head.logits(hidden[start : start + _SAMPLED_ROWS])
            tokens, logprobs = sample(logits, uniforms, self.sampling)
            for row, token, logprob in zip(part, tokens.tolist(), logprobs.tolist(), strict=True):
                row.tokens.append(token)
                row.logprobs.append(logprob)
        _check_finite(rows, self.engine.version)
        ended = [place for place, row in enumerate(self.rows) if self._retire(row)]
        self._compact(ended)
        return self._free_slots()

    def _retire(self, row: _Row) -> bool:
        """Whether the row has ended; if so its group holds the completion."""
        stopped = row.tokens[-1] in self.sampling.stop_token_ids or self.stop_strings.completed_by(row.tokens)
        if not stopped and len(row.tokens) < self.sampling.max_new_tokens:
            return False
        row.group.completions[row.number] = row.completion("stop" if stopped else "length", self.engine.version)
        return True

    def _compact(self, ended: Sequence[int]) -> None:
        """Close the gaps with rows from the end."""
        movers, holes = _moves(len(self.rows), ended)
        if movers:
            length = max(len(self.rows[place].tokens) for place in movers)
            self.cache.move_rows(movers, holes, length)
        for hole, mover in zip(holes, movers, strict=True):
            self.rows[hole] = self.rows[mover]
        del self.rows[len(self.rows) - len(ended) :]

    def _free_slots(self) -> list[_Group]:
        finished = []
        for slot in reversed(range(len(self.groups))):
            if len(self.groups[slot].completions) == self.sampling.n:
                finished.append(self.groups[slot])
                last = len(self.groups) - 1
                if slot != last:
                    self.cache.move_slot(last, slot, len(self.groups[last].prompt.token_ids))
                    self.groups[slot] = self.groups[last]
                self.groups.pop()
        return finished

    def _tensor(self, values: Sequence[int]) -> Tensor:
        return torch.tensor(values, dtype=torch.int64, device=self.device)


def _moves(count: int, ended: Sequence[int]) -> tuple[list[int], list[int]]:
    """Which of `count` rows go where, so that those left after `ended` lie dense: rows from the end, and the holes."""
    gone = set(ended)
    left = count - len(gone)
    return [place for place in range(left, count) if place not in gone], [place for place in ended if place < left]


def _check_finite(rows: Sequence[_Row], version: int) -> None:
    """Raises UsageError where the newest token came from logits that are no numbers."""
    for row in rows:
        if not math.isfinite(row.logprobs[-1]):
            raise UsageError(
                f"{row.group.prompt.problem.id}: the model's logits are not finite after {len(row.tokens) - 1} tokens "
                f"of a response (weights of version {version}): its weights have overflowed or are damaged; go back to "
                f"an earlier checkpoint with a lower trainer.lr, or compute with model.dtype: fp32"
            )
