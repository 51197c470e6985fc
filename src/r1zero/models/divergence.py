"""How far a student's next-token distribution is from a teacher's, over the whole vocabulary, without ever holding
logits [N, V] for all tokens."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from r1zero.models.attention import PackPlan
from r1zero.models.head import LMHead, lm_head
from r1zero.models.load import hidden_states
from r1zero.types import Batch, TokenDivergence

Name = Literal["reverse_kl", "forward_kl", "jsd"]
_ROWS = 256  # rows whose logits, of both models, exist at once


def token_divergence(student: Any, batch: Batch, *, teacher: Any, name: Name, teacher_share: float) -> TokenDivergence:
    """The divergence [N] before each of a pack's targets, with gradient to the student alone. Its logits are computed
    again in the backward pass."""
    plan = partial(PackPlan, batch.segments)
    with torch.no_grad():
        theirs = hidden_states(teacher, batch.token_ids, batch.positions, plan())[batch.predictors]
    ours = hidden_states(student, batch.token_ids, batch.positions, plan())[batch.predictors]
    heads = lm_head(student), lm_head(teacher)
    shared = min(len(head.weight) for head in heads)  # beyond it a vocabulary is padding
    measure = partial(
        _rows, heads=tuple(_first(head, shared) for head in heads), between=partial(between, name, teacher_share)
    )
    parts = [
        checkpoint(measure, ours[start : start + _ROWS], theirs[start : start + _ROWS], use_reentrant=False)
        for start in range(0, len(ours), _ROWS)
    ]
    divergence, entropy, agreement = (torch.cat(part) for part in zip(*parts, strict=True))
    return TokenDivergence(divergence, entropy, agreement)


def _first(head: LMHead, size: int) -> LMHead:
    """The head's first `size` tokens."""
    return replace(head, weight=head.weight[:size], bias=None if head.bias is None else head.bias[:size])


def _rows(
    ours: Tensor, theirs: Tensor, heads: tuple[LMHead, ...], between: Callable[[Tensor, Tensor], Tensor]
) -> tuple[Tensor, Tensor, Tensor]:
    """Hidden states [n, d] of both models -> divergence, the student's entropy, whether both say the same: [n]."""
    student, teacher = heads
    with torch.no_grad():
        log_q = torch.log_softmax(teacher.logits(theirs), dim=-1)
    log_p = torch.log_softmax(student.logits(ours), dim=-1)
    entropy = -(log_p.detach().exp() * log_p.detach()).sum(-1)
    agreement = (log_p.detach().argmax(-1) == log_q.argmax(-1)).float()
    return between(log_p, log_q), entropy, agreement


def between(name: Name, teacher_share: float, log_p: Tensor, log_q: Tensor) -> Tensor:
    """[n, V] of the student, [n, V] of the teacher -> [n] (GKD, arXiv 2306.13649):

    reverse_kl  KL(p || q), which avoids what the teacher would not say
    forward_kl  KL(q || p), which covers all that the teacher might say
    jsd         b KL(q || m) + (1 - b) KL(p || m) with m = b q + (1 - b) p and b the teacher's share
    """
    if name == "reverse_kl":
        return _kl(log_p, log_q)
    if name == "forward_kl":
        return _kl(log_q, log_p)
    b = torch.tensor(teacher_share, dtype=log_p.dtype, device=log_p.device)
    log_m = torch.logaddexp(log_q + b.log(), log_p + (-b).log1p())
    return b * _kl(log_q, log_m) + (1 - b) * _kl(log_p, log_m)


def _kl(log_a: Tensor, log_b: Tensor) -> Tensor:
    """KL(a || b), [n]."""
    return (log_a.exp() * (log_a - log_b)).sum(-1)
