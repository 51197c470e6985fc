"""Packed attention against dense float64 attention, one sequence at a time."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from r1zero.models import attention
from r1zero.models.attention import attend_after_prefix


def dense(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    prefix_key: Tensor,
    prefix_value: Tensor,
    lengths: tuple[int, ...],
    scale: float,
) -> Tensor:
    """Written apart from the code under test: each sequence with its own copy of the prefix and a full mask."""
    shared_by = query.shape[0] // key.shape[0]
    prefix = prefix_key.shape[1]
    outputs, start = [], 0
    for length in lengths:
        span = slice(start, start + length)
        keys = torch.cat([prefix_key, key[:, span]], 1).repeat_interleave(shared_by, 0)
        values = torch.cat([prefix_value, value[:, span]], 1).repeat_interleave(shared_by, 0)
        scores = query[:, span] @ keys.transpose(1, 2) * scale
        visible = torch.ones(length, prefix + length, dtype=torch.bool).tril(prefix)
        outputs.append((scores.masked_fill(~visible, float("-inf")).softmax(-1) @ values).transpose(0, 1))
        start += length
    return torch.cat(outputs)


def tensors(lengths: tuple[int, ...], prefix: int, seed: int) -> list[Tensor]:
    torch.manual_seed(seed)
    count = sum(lengths)
    shapes = [(6, count, 8), (2, count, 8), (2, count, 5), (2, prefix, 8), (2, prefix, 5)]
    return [torch.randn(shape, dtype=torch.float64) for shape in shapes]


def compare(lengths: tuple[int, ...], prefix: int, seed: int = 0) -> None:
    exact = [tensor.requires_grad_() for tensor in tensors(lengths, prefix, seed)]
    ours = [tensor.detach().float().requires_grad_() for tensor in exact]
    expected, output = dense(*exact, lengths, 0.3), attend_after_prefix(*ours, lengths, 0.3)
    gradient = torch.randn_like(expected)
    expected.backward(gradient)
    output.backward(gradient.float())
    torch.testing.assert_close(output.double(), expected, atol=2e-6, rtol=0)
    for mine, reference in zip(ours, exact, strict=True):
        assert mine.grad is not None and reference.grad is not None
        torch.testing.assert_close(mine.grad.double(), reference.grad, atol=1e-5, rtol=0)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(1, 9), min_size=1, max_size=5).map(tuple), st.integers(0, 6), st.integers(0, 9))
def test_equals_dense_attention(lengths: tuple[int, ...], prefix: int, seed: int) -> None:
    compare(lengths, prefix, seed)


@pytest.mark.parametrize("budget", [1, 6 * 4 * 40 * 20, 6 * 4 * 40 * 90])
def test_blocks_of_any_size_give_the_same(budget: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attention, "_SCORES_BYTES", budget)
    compare((40, 17, 33), 7)


def test_padding_in_the_grid_gives_no_gradient() -> None:
    """A long neighbour must not change a short sequence's gradient."""
    query, key, value, prefix_key, prefix_value = (tensor.float() for tensor in tensors((2,), 3, 0))

    def gradient(extra: int) -> Tensor:
        leaf = prefix_key.clone().requires_grad_()
        wide = [
            torch.cat([tensor, torch.randn(tensor.shape[0], extra, tensor.shape[2])], 1)
            for tensor in (query, key, value)
        ]
        lengths = (2, extra) if extra else (2,)
        attend_after_prefix(*wide, leaf, prefix_value, lengths, 0.3)[:2].sum().backward()
        assert leaf.grad is not None
        return leaf.grad

    torch.testing.assert_close(gradient(0), gradient(9))
