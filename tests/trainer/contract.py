"""What every trainer must do. A trainer's test module calls `check_trainer` with a way to make one of a model."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from r1zero.algorithms import build
from r1zero.config import Algorithm
from r1zero.data.packing import pack
from r1zero.trainer.base import Trainer

from ..conftest import random_samples, small_model

SAMPLES = random_samples([(6, [5, 3, 8, 2]), (3, [4, 4]), (9, [7, 1])], masked=True)
LOSS = build(Algorithm(name="grpo", group_size=4, entropy=0.01)).loss


def weights(trainer: Trainer[Any]) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in trainer.weights()}


def equal(left: dict[str, Tensor], right: dict[str, Tensor]) -> bool:
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)


def update(trainer: Trainer[Any], tokens_per_pack: int = 1000) -> dict[str, float]:
    shares = [trainer.forward_backward(batch, LOSS) for batch in pack(SAMPLES, tokens_per_pack=tokens_per_pack)]
    trainer.step()
    return {name: sum(share[name] for share in shares) for name in shares[0]}


def check_trainer(make: Callable[[Any], Trainer[Any]], folder: Path) -> None:
    """`make` builds a trainer of a transformers model."""
    first, second = make(small_model()), make(small_model())
    names = {name for name, _ in small_model().named_parameters()}
    assert {name for name, _ in first.weights()} == names, "the names are Hugging Face's"
    start = weights(first)

    (batch, *_) = pack(SAMPLES, tokens_per_pack=1000)
    trained, plain = (run(batch, LOSS) for run in (first.forward_backward, first.forward))
    assert trained == pytest.approx(plain, abs=1e-6)
    assert len(first.predict(batch).logprobs) == len(batch.targets)
    assert equal(weights(first), start), "nothing changes before a step"
    first.discard_gradients()
    passed = first.pass_over()
    assert equal(weights(first), start) and passed.grad_norm == 0 and not passed.skipped
    second.pass_over()

    whole, cut = update(first), update(second, tokens_per_pack=40)
    assert whole == pytest.approx(cut, abs=1e-5), "metrics do not depend on the packs"
    left, right = weights(first), weights(second)
    assert max(float((left[name] - right[name]).abs().max()) for name in left) < 1e-4, "nor does the step"
    assert not equal(left, start)

    first.save(folder)
    third = make(small_model(seed=1))
    third.load(folder)
    assert equal(weights(third), left)
    update(first), update(third)
    assert equal(weights(first), weights(third)), "a loaded trainer goes on exactly"
    with first.averaged():
        assert {name for name, _ in first.weights()} == names
