"""Groups that wait for the next step survive a checkpoint to the bit."""

from __future__ import annotations

import logging
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from r1zero.rl.state import LoopState
from r1zero.types import Completion, Group, Rollout, Score

from ..conftest import random_prompts

PROMPTS = random_prompts([4, 6])


def group_of(number: int) -> Group:
    rng = np.random.default_rng(number)
    rollouts = tuple(
        Rollout(
            prompt=PROMPTS[number],
            completion=Completion(
                token_ids=rng.integers(0, 90, length).astype(np.int32),
                logprobs=rng.normal(-2, 1, length).astype(np.float32),
                finish_reason="length",
                versions=((3, 1), (4, length - 1)),
            ),
            text="x = ½ — «да»\n",
            score=Score(value=1 / 3, parts={"acc": 1.0, "boxed": -0.5}, verdict="timeout", detail="acc: slow"),
        )
        for length in (2, 5)
    )
    return Group(prompt=PROMPTS[number], rollouts=rollouts)


def test_memory_comes_back_to_the_bit(tmp_path: Path) -> None:
    kept = LoopState(0.1 / 3, (group_of(0), group_of(1)))
    kept.save(tmp_path)
    found = LoopState(None)
    found.load(tmp_path, PROMPTS)
    assert found.kl == kept.kl and len(found.surplus) == 2
    for ours, theirs in zip(kept.surplus, found.surplus, strict=True):
        assert theirs.prompt is ours.prompt
        for left, right in zip(ours.rollouts, theirs.rollouts, strict=True):
            assert (left.text, left.score, right.prompt is left.prompt) == (right.text, right.score, True)
            mine, other = asdict(left.completion), asdict(right.completion)
            for name in ("token_ids", "logprobs"):
                a, b = mine.pop(name), other.pop(name)
                assert a.dtype == b.dtype and np.array_equal(a, b)
            assert mine == other


def test_groups_whose_problem_is_gone_are_dropped_aloud(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    LoopState(None, (group_of(0), group_of(1))).save(tmp_path)
    found = LoopState(None)
    with caplog.at_level(logging.INFO, logger="r1zero"):
        found.load(tmp_path, PROMPTS[1:])
    assert [group.prompt for group in found.surplus] == [PROMPTS[1]]
    assert "1 sampled groups are dropped: their problems are no longer in the data" in caplog.text
