"""Packed attention against dense float64 attention, one sequence at a time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from r1zero.models import attention
from r1zero.models.attention import PackPlan
from r1zero.types import Segment


def segments(lengths: Sequence[tuple[int, Sequence[int]]]) -> list[Segment]:
    made, start = [], 0
    for prompt, responses in lengths:
        starts = start + prompt + np.cumsum([0, *responses])
        made.append(Segment(start, prompt, tuple(zip(starts[:-1].tolist(), responses, strict=True))))
        start = int(starts[-1])
    return made


def dense(query: Tensor, key: Tensor, value: Tensor, pack: Sequence[Segment], scale: float) -> Tensor:
    """Written apart from the code under test: each sequence with its own copy of its prompt and a full mask."""
    shared_by = query.shape[0] // key.shape[0]
    outputs = []
    for segment in pack:
        prompt = list(range(segment.start, segment.start + segment.length))
        for before, start, length in [([], *prompt[:1], len(prompt)), *((prompt, *span) for span in segment.responses)]:
            own = list(range(start, start + length))
            keys = key[:, before + own].repeat_interleave(shared_by, 0)
            values = value[:, before + own].repeat_interleave(shared_by, 0)
            scores = query[:, own] @ keys.transpose(1, 2) * scale
            visible = torch.ones(length, len(before) + length, dtype=torch.bool).tril(len(before))
            outputs.append((scores.masked_fill(~visible, float("-inf")).softmax(-1) @ values).transpose(0, 1))
    return torch.cat(outputs)


def tensors(pack: Sequence[Segment], seed: int) -> list[Tensor]:
    torch.manual_seed(seed)
    count = sum(segment.length + sum(length for _, length in segment.responses) for segment in pack)
    return [torch.randn(shape, dtype=torch.float64) for shape in [(6, count, 8), (2, count, 8), (2, count, 5)]]


def compare(pack: Sequence[Segment], seed: int = 0) -> None:
    exact = [tensor.requires_grad_() for tensor in tensors(pack, seed)]
    ours = [tensor.detach().float().requires_grad_() for tensor in exact]
    expected, output = dense(*exact, pack, 0.3), PackPlan(pack).attend(0, *ours, 0.3)
    gradient = torch.randn_like(expected)
    expected.backward(gradient)
    output.backward(gradient.float())
    torch.testing.assert_close(output.double(), expected, atol=2e-6, rtol=0)
    for mine, reference in zip(ours, exact, strict=True):
        assert mine.grad is not None and reference.grad is not None
        torch.testing.assert_close(mine.grad.double(), reference.grad, atol=1e-5, rtol=0)


groups = st.tuples(st.integers(1, 7), st.lists(st.integers(1, 9), max_size=5))


@settings(max_examples=40, deadline=None)
@given(st.lists(groups, min_size=1, max_size=3), st.integers(0, 9))
def test_equals_dense_attention(lengths: list[tuple[int, list[int]]], seed: int) -> None:
    compare(segments(lengths), seed)


@pytest.mark.parametrize("budget", [1, 6 * 4 * 40 * 20, 6 * 4 * 40 * 90])
def test_blocks_of_any_size_give_the_same(budget: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attention, "_SCORES_BYTES", budget)
    compare(segments([(7, (40, 17, 33)), (50, ())]))


def test_padding_in_the_grid_gives_no_gradient() -> None:
    """A long neighbour must not change a short sequence's gradient."""
    alone, beside = segments([(3, (2,))]), segments([(3, (2, 9))])
    wide = [tensor.float() for tensor in tensors(beside, 0)]

    def gradient(pack: Sequence[Segment], count: int) -> Tensor:
        leaves = [tensor[:, :count].clone().requires_grad_() for tensor in wide]
        PackPlan(pack).attend(0, *leaves, 0.3)[3:5].sum().backward()
        assert leaves[1].grad is not None
        return leaves[1].grad[:, :5]

    torch.testing.assert_close(gradient(alone, 5), gradient(beside, 14))
