"""Rewards that look at a response's length in tokens, or at those of its whole group.

What a verifier knows of a response besides its text is in `problem.extra`: `response_tokens` and `finish_reason`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from r1zero.rewards.math import UNVERIFIABLE, judge
from r1zero.types import Problem, Score


def tokens(problem: Problem) -> int:
    """Length of the response. Raises ValueError where only its text is known."""
    if "response_tokens" not in problem.extra:
        raise ValueError("needs the response's length: a column response_tokens")
    return int(problem.extra["response_tokens"])


def soft_overlong(problem: Problem, text: str, *, max_tokens: int = 16384, buffer: int = 4096) -> Score:
    """0 up to max_tokens - buffer, from there linearly down to -1 at max_tokens and beyond (DAPO, equation 13)."""
    if not 0 < buffer <= max_tokens:
        raise ValueError(f"soft_overlong: buffer = {buffer}: must be positive and at most max_tokens = {max_tokens}")
    return Score(value=-overlong(tokens(problem), max_tokens, buffer))


def overlong(count: int, longest: int, cushion: int) -> float:
    """0..1: how far a response of `count` tokens reaches into the last `cushion` of the `longest` allowed (arXiv
    2503.14476, equation 13, with the sign turned)."""
    return min(max((count - (longest - cushion)) / cushion, 0.0), 1.0)


def cosine(
    problem: Problem,
    text: str,
    *,
    max_tokens: int = 1000,
    min_right: float = 0.5,
    max_right: float = 1.0,
    min_wrong: float = -1.0,
    max_wrong: float = -0.5,
) -> Score:
    """Right answers fall from max_right to min_right with the length, wrong ones rise from min_wrong to max_wrong,
    along a half cosine (Yeo et al. 2025, "Demystifying long chain-of-thought reasoning"). Past max_tokens the value
    stays where it is; Open-R1's turns round."""
    verdict = judge(problem.answer, text)
    if verdict.outcome == "unverifiable":
        return Score(value=0.0, verdict="unverifiable", detail=UNVERIFIABLE)
    start, end = (max_right, min_right) if verdict.outcome == "right" else (min_wrong, max_wrong)
    progress = min(tokens(problem) / max_tokens, 1.0)
    return Score(value=end + 0.5 * (start - end) * (1 + math.cos(math.pi * progress)))


def group_lengths(right: Sequence[bool], lengths: Sequence[int]) -> list[float]:
    """Kimi k1.5's length reward within one prompt's responses: 0.5 - (length - min) / (max - min), and at most 0 for
    wrong answers; 0 for all if they are equally long. Open-R1 takes minimum and maximum over all prompts of a call."""
    low, high = min(lengths), max(lengths)
    if low == high:
        return [0.0] * len(lengths)
    shares = [0.5 - (length - low) / (high - low) for length in lengths]
    return [share if good else min(0.0, share) for share, good in zip(shares, right, strict=True)]
