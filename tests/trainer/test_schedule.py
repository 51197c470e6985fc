"""Learning rates, by hand and against transformers' schedules."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from transformers import optimization

from r1zero.config import Optimization
from r1zero.trainer.schedule import learning_rate

TOTAL, WARMUP = 41, 6


def rates(total: int = 5, **settings: Any) -> list[float]:
    optimization = Optimization(lr=1.0, **settings)
    return [learning_rate(optimization, update, total) for update in range(total)]


def test_by_hand() -> None:
    assert rates(schedule="constant") == [1.0] * 5
    assert rates(schedule="constant", warmup_steps=2) == [0.5, 1.0, 1.0, 1.0, 1.0]
    assert rates(schedule="linear") == pytest.approx([1.0, 0.75, 0.5, 0.25, 0.0])
    assert rates(schedule="linear", warmup_steps=1, min_lr_ratio=0.1) == pytest.approx([1.0, 1.0, 0.7, 0.4, 0.1])
    assert rates(schedule="cosine") == pytest.approx(
        [1.0, (1 + math.cos(math.pi / 4)) / 2, 0.5, (1 - math.cos(math.pi / 4)) / 2, 0.0]
    )
    assert rates(schedule="wsd", decay_steps=2) == pytest.approx([1.0, 1.0, 1.0, 0.5, 0.0])
    assert rates(schedule="wsd", decay_steps=4, decay_shape="1-sqrt") == pytest.approx(
        [1.0, 0.5, 1 - math.sqrt(0.5), 1 - math.sqrt(0.75), 0.0]
    )
    assert rates(schedule="inverse_sqrt", warmup_steps=1) == pytest.approx([1.0, 1.0, *(k**-0.5 for k in (2, 3, 4))])
    assert rates(schedule="inverse_sqrt")[4] == pytest.approx((10_000 / 10_004) ** 0.5)


SAME_AS_THEIRS = {
    "constant": ({}, "get_constant_schedule_with_warmup", {}),
    "linear": ({}, "get_linear_schedule_with_warmup", {"num_training_steps": TOTAL - 1}),
    "cosine": ({}, "get_cosine_schedule_with_warmup", {"num_training_steps": TOTAL - 1}),
    "inverse_sqrt": ({}, "get_inverse_sqrt_schedule", {}),
    **{
        f"wsd {shape} {floor}": (
            {"schedule": "wsd", "decay_steps": 10, "decay_shape": shape, "min_lr_ratio": floor},
            "get_wsd_schedule",
            {"num_training_steps": TOTAL - 1, "num_decay_steps": 10, "decay_type": shape, "min_lr_ratio": floor},
        )
        for shape in ("linear", "cosine", "1-sqrt")
        for floor in (0.0, 0.2)
    },
}


@pytest.mark.parametrize("name", SAME_AS_THEIRS)
def test_equals_transformers(name: str) -> None:
    """Theirs begin at rate 0, which wastes the first update, and count from it: ours is one ahead in the warm-up."""
    ours, function, theirs = SAME_AS_THEIRS[name]
    found = rates(TOTAL, **{"schedule": name, "warmup_steps": WARMUP, **ours})
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler = getattr(optimization, function)(optimizer, num_warmup_steps=WARMUP, **theirs)
    expected = []
    for _ in range(TOTAL):
        expected.append(scheduler.get_last_lr()[0])
        optimizer.step()
        scheduler.step()
    assert found[WARMUP:] == pytest.approx(expected[WARMUP:], abs=1e-12)
    if "min_lr_ratio" not in theirs or not theirs["min_lr_ratio"]:  # their wsd warms up from its floor, ours from 0
        assert found[:WARMUP] == pytest.approx(expected[1 : WARMUP + 1], abs=1e-12)
