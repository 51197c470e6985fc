"""Packed attention against dense float64 attention, one sequence at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from r1zero.models import attention
from r1zero.models.attention import PackPlan, Scoring
from r1zero.types import Segment


def segments(lengths: Sequence[tuple[int, Sequence[int]]]) -> list[Segment]:
    made, start = [], 0
    for prompt, responses in lengths:
        starts = start + prompt + np.cumsum([0, *responses])
        made.append(Segment(start, prompt, tuple(zip(starts[:-1].tolist(), responses, strict=True))))
        start = int(starts[-1])
    return made


def dense(query: Tensor, key: Tensor, value: Tensor, pack: Sequence[Segment], scoring: Scoring) -> Tensor:
    """Written apart from the code under test: each sequence with its own copy of its prompt and a full mask."""
    shared_by = query.shape[0] // key.shape[0]
    outputs = []
    for segment in pack:
        prompt = list(range(segment.start, segment.start + segment.length))
        for before, start, length in [([], *prompt[:1], len(prompt)), *((prompt, *span) for span in segment.responses)]:
            own = list(range(start, start + length))
            keys = key[:, before + own].repeat_interleave(shared_by, 0)
            values = value[:, before + own].repeat_interleave(shared_by, 0)
            scores = query[:, own] @ keys.transpose(1, 2) * scoring.scale
            if scoring.softcap is not None:
                scores = (scores / scoring.softcap).tanh() * scoring.softcap
            back = torch.arange(length)[:, None] + len(before) - torch.arange(len(before) + length)
            visible = (back >= 0) & (back < (scoring.window or 10**6))
            scores = scores.masked_fill(~visible, float("-inf"))
            if scoring.sinks is not None:
                sinks = scoring.sinks.view(-1, 1, 1).expand(-1, length, 1)
                scores, values = torch.cat((scores, sinks), -1), torch.nn.functional.pad(values, (0, 0, 0, 1))
            outputs.append((scores.softmax(-1) @ values).transpose(0, 1))
    return torch.cat(outputs)


def tensors(pack: Sequence[Segment], seed: int) -> list[Tensor]:
    torch.manual_seed(seed)
    count = sum(segment.length + sum(length for _, length in segment.responses) for segment in pack)
    return [torch.randn(shape, dtype=torch.float64) for shape in [(6, count, 8), (2, count, 8), (2, count, 5)]]


PLAIN = Scoring(0.3)


def compare(pack: Sequence[Segment], seed: int = 0, scoring: Scoring = PLAIN) -> None:
    exact = [tensor.requires_grad_() for tensor in tensors(pack, seed)]
    ours = [tensor.detach().float().requires_grad_() for tensor in exact]
    theirs, mine = scoring, scoring
    if scoring.sinks is not None:
        exact.append(scoring.sinks.double().requires_grad_())
        ours.append(scoring.sinks.clone().requires_grad_())
        theirs, mine = (replace(scoring, sinks=leaves[-1]) for leaves in (exact, ours))
    expected, output = dense(*exact[:3], pack, theirs), PackPlan(pack).attend(0, *ours[:3], mine)
    gradient = torch.randn_like(expected)
    expected.backward(gradient)
    output.backward(gradient.float())
    torch.testing.assert_close(output.double(), expected, atol=2e-6, rtol=0)
    for leaf, reference in zip(ours, exact, strict=True):
        assert leaf.grad is not None and reference.grad is not None
        torch.testing.assert_close(leaf.grad.double(), reference.grad, atol=1e-5, rtol=0)


groups = st.tuples(st.integers(1, 7), st.lists(st.integers(1, 9), max_size=5))


scorings = st.builds(
    Scoring,
    scale=st.just(0.3),
    window=st.none() | st.integers(1, 17),
    softcap=st.none() | st.just(0.7),
    sinks=st.none() | st.just(torch.linspace(-1, 2, 6)),
)


@settings(max_examples=40, deadline=None)
@given(st.lists(groups, min_size=1, max_size=3), st.integers(0, 9))
def test_equals_dense_attention(lengths: list[tuple[int, list[int]]], seed: int) -> None:
    compare(segments(lengths), seed)


@settings(max_examples=80, deadline=None)
@given(st.lists(groups, min_size=1, max_size=3), st.integers(0, 9), scorings)
def test_windows_caps_and_sinks_equal_dense_attention(
    lengths: list[tuple[int, list[int]]], seed: int, scoring: Scoring
) -> None:
    compare(segments(lengths), seed, scoring)


@pytest.mark.parametrize("window", [None, 1, 5, 20, 60])
@pytest.mark.parametrize("budget", [1, 6 * 4 * 40 * 20, 6 * 4 * 40 * 90])
def test_blocks_of_any_size_give_the_same(budget: int, window: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attention, "_SCORES_BYTES", budget)
    compare(segments([(7, (40, 17, 33)), (50, ())]), scoring=Scoring(0.3, window, 0.7, torch.linspace(-1, 2, 6)))
    compare(segments([(7, (40, 17, 33)), (50, ())]), scoring=Scoring(0.3, window))


def test_layers_of_one_pack_may_differ() -> None:
    pack = segments([(7, (4, 9))])
    plan, leaves = PackPlan(pack), [tensor.float() for tensor in tensors(pack, 0)]
    for scoring in (PLAIN, Scoring(0.3, window=4), PLAIN, Scoring(0.3, window=6)):
        expected = dense(*tensors(pack, 0), pack, scoring)
        torch.testing.assert_close(plan.attend(0, *leaves, scoring).double(), expected, atol=2e-6, rtol=0)


def test_a_window_computes_only_what_it_sees() -> None:
    """Scores of a long sequence: about twice the window per row, not the whole length."""
    (segment,) = segments([(3000, ())])
    (part,) = attention._parts(segment, 6, 2, 100, torch.device("cpu"))
    scores = sum((block.end - block.start) * (block.own.stop - block.own.start) for block in part.grid.blocks)
    assert scores < 2 * 100 * 3000


def test_padding_in_the_grid_gives_no_gradient() -> None:
    """A long neighbour must not change a short sequence's gradient."""
    alone, beside = segments([(3, (2,))]), segments([(3, (2, 9))])
    wide = [tensor.float() for tensor in tensors(beside, 0)]

    def gradient(pack: Sequence[Segment], count: int) -> Tensor:
        leaves = [tensor[:, :count].clone().requires_grad_() for tensor in wide]
        PackPlan(pack).attend(0, *leaves, Scoring(0.3))[3:5].sum().backward()
        assert leaves[1].grad is not None
        return leaves[1].grad[:, :5]

    torch.testing.assert_close(gradient(alone, 5), gradient(beside, 14))
