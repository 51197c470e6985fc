"""Rollouts and groups made by hand."""

from __future__ import annotations

from typing import Any

import numpy as np

from r1zero.types import Completion, Group, Prompt, Rollout, Score, Verdict

from .conftest import prompt_of

ASKED = prompt_of([3, 4, 5])


def rollout(
    reward: float = 1.0,
    verdict: Verdict = "graded",
    *,
    length: int = 4,
    finish: Any = "stop",
    versions: tuple[tuple[int, int], ...] = (),
    prompt: Prompt = ASKED,
    **parts: float,
) -> Rollout:
    completion = Completion(
        token_ids=np.arange(length, dtype=np.int32),
        logprobs=np.linspace(-1, 0, length, dtype=np.float32),
        finish_reason=finish,
        versions=versions or ((0, length),),
    )
    score = Score(value=reward, verdict=verdict, parts=parts)
    return Rollout(prompt=prompt, completion=completion, text="", score=score)


def group_of(*rollouts: Rollout) -> Group:
    return Group(prompt=rollouts[0].prompt, rollouts=rollouts)
