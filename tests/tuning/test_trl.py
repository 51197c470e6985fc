"""The same numbers through TRL's own losses of preferences; see `tests/algorithms/test_trl.py`."""

from __future__ import annotations

from collections import defaultdict
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from r1zero.config import Objective
from r1zero.models.divergence import between
from r1zero.tuning.objectives import build
from r1zero.types import Batch, Sample, TokenLogprobs, TokenValues

from ..one_process import Accelerator
from .test_losses import packed, pair_rows, preferences, values_and_gradient

trl = pytest.importorskip("trl")


class Model(torch.nn.Module):
    is_gradient_checkpointing = False


def sides(batch: Batch) -> list[Tensor]:
    """Places of each answer's tokens in the batch: those of the chosen answers, then of the rejected."""
    places = {member: torch.nonzero(batch.sequence_ids == k).flatten() for k, member in enumerate(batch.members)}
    return [places[member] for side in (0, 1) for member in range(side, len(places), 2)]


def padded(values: Tensor, rows: list[Tensor]) -> Tensor:
    return torch.nn.utils.rnn.pad_sequence([values[places] for places in rows], batch_first=True)


def output(logprobs: Tensor) -> SimpleNamespace:
    """What TRL's fused head returns, of which only `log_probs` enters the loss."""
    nothing = torch.zeros_like(logprobs)
    return SimpleNamespace(log_probs=logprobs, entropy=nothing, mean_logits=nothing, is_top1=nothing.bool())


def trl_dpo(batch: Batch, logprobs: Tensor, **settings: Any) -> Tensor:
    assert batch.reference_logprobs is not None
    rows = sides(batch)
    references = padded(batch.reference_logprobs, rows)
    counted = padded(torch.ones_like(logprobs), rows)
    own = SimpleNamespace(
        model=Model(),
        ref_model=lambda **_: output(references),
        accelerator=Accelerator(),
        args=SimpleNamespace(gradient_checkpointing_kwargs=None),
        aux_loss_enabled=False,
        f_divergence_type="reverse_kl",
        label_smoothing=0.0,
        ld_alpha=None,
        precompute_ref_logps=False,
        use_weighting=False,
        _metrics={"train": defaultdict(list)},
        _total_train_tokens=0,
        _tp_size=1,
        **settings,
    )
    prompt = torch.zeros(len(rows), 1)
    inputs = {
        "input_ids": torch.zeros(len(rows), counted.shape[1] + 1, dtype=torch.int64),
        "attention_mask": torch.cat([prompt + 1, counted], dim=1),
        "completion_mask": torch.cat([prompt, counted], dim=1),
    }
    return trl.DPOTrainer._compute_loss(own, lambda **_: output(padded(logprobs, rows)), inputs, False)


@pytest.mark.parametrize(
    ("keys", "losses", "pairs"),
    [
        ({"beta": 0.5}, {"sigmoid": 1.0}, 5),
        ({"beta": 0.5, "length_normalised": True}, {"sigmoid_norm": 1.0}, 5),
        ({"beta": 0.3, "loss": "hinge"}, {"hinge": 1.0}, 5),
        (
            {"beta": 0.2, "loss": "ipo", "length_normalised": True},
            {"ipo": 1.0},
            5,
        ),  # its mean per token
        ({"beta": 0.5, "nll_weight": 0.7}, {"sigmoid": 1.0, "sft": 0.7}, 1),  # its nll is a mean over tokens
    ],
)
def test_preference_losses_equal_trl(keys: dict[str, Any], losses: dict[str, float], pairs: int) -> None:
    (batch,) = packed(preferences(pairs))
    given = torch.from_numpy(np.random.default_rng(3).normal(-3, 1, len(batch.targets)).astype(np.float32))
    wrap = lambda logprobs: TokenLogprobs(logprobs, torch.zeros_like(logprobs))  # noqa: E731
    value, gradient = values_and_gradient(build(Objective(name="dpo", **keys)).loss, batch, wrap, given)
    leaf = given.clone().requires_grad_()
    theirs = trl_dpo(batch, leaf, beta=keys["beta"], loss_types=list(losses), loss_weights=list(losses.values()))
    theirs.backward()
    assert value == pytest.approx(float(theirs.detach()), abs=1e-5)
    torch.testing.assert_close(gradient, leaf.grad, atol=1e-5, rtol=0)
    assert gradient.abs().max() > 1e-3


@pytest.mark.parametrize("margins", [None, [0.0, 0.5, 1.0, 2.0, 0.25]])
def test_bradley_terry_equals_trl(margins: list[float] | None) -> None:
    objective = build(Objective(name="reward_model"))
    samples: list[Sample] = []
    for fields, margin in zip(pair_rows(), margins or [0.0] * 5, strict=True):
        samples += objective.to_samples({**fields, "margin": np.array([margin], np.float32)})
    (batch,) = packed(samples)
    scores = torch.from_numpy(np.random.default_rng(4).normal(0, 1, len(batch.targets)).astype(np.float32))
    value, gradient = values_and_gradient(objective.loss, batch, TokenValues, scores)
    leaf = scores.clone().requires_grad_()
    own = SimpleNamespace(
        model=SimpleNamespace(training=True),
        args=SimpleNamespace(center_rewards_coefficient=None),
        accelerator=Accelerator(),
        _metrics={"train": defaultdict(list)},
        _total_train_tokens=0,
        _tp_size=1,
    )
    inputs: dict[str, Any] = {"attention_mask": torch.ones(10, 3)}
    if margins is not None:
        inputs["margin"] = torch.tensor(margins)
    in_order = torch.cat(sides(batch))
    model = lambda **_: SimpleNamespace(logits=leaf[in_order, None])  # noqa: E731
    theirs = trl.RewardTrainer.compute_loss(own, model, inputs)
    theirs.backward()
    assert value == pytest.approx(float(theirs.detach()), abs=1e-5)
    torch.testing.assert_close(gradient, leaf.grad, atol=1e-5, rtol=0)


@pytest.mark.parametrize(("name", "beta"), [("forward_kl", 0.0), ("reverse_kl", 1.0), ("jsd", 0.3)])
def test_divergences_equal_trl(name: Any, beta: float) -> None:
    trainer = pytest.importorskip("trl.trainer.distillation_trainer")
    generator = torch.Generator().manual_seed(0)
    student, teacher = (torch.randn(1, 7, 4, generator=generator) for _ in range(2))
    heads = [torch.randn(11, 4, generator=generator) for _ in range(2)]
    left, right = student.clone().requires_grad_(), student.clone().requires_grad_()
    ours = between(name, beta, (left[0] @ heads[0].T).log_softmax(-1), (teacher[0] @ heads[1].T).log_softmax(-1)).mean()
    theirs, *_ = trainer._chunked_divergence_loss(right, teacher, *heads, torch.ones(1, 7), beta)
    ours.backward()
    theirs.backward()
    assert float(ours.detach()) == pytest.approx(float(theirs.detach()), abs=1e-5)
    torch.testing.assert_close(left.grad, right.grad, atol=1e-5, rtol=0)
