"""The same tensors through TRL's own loss. Runs where TRL is installed, in an environment of its own: its pins are not
ours. Its trainers are not started; their loss method is called on what it reads."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from r1zero.algorithms import build
from r1zero.algorithms.advantages import leave_one_out
from r1zero.config import Algorithm
from r1zero.data.packing import pack
from r1zero.types import Sample, TokenLogprobs

from ..conftest import random_samples
from ..one_process import Accelerator

trl = pytest.importorskip("trl")

LONGEST = 9
LENGTHS = [3, 6, 2, 9]


class Metrics(dict[str, list[float]]):
    def __missing__(self, name: str) -> list[float]:
        return self.setdefault(name, [])


def scene() -> tuple[list[Sample], Tensor, Tensor]:
    """Four responses to one prompt; log-probabilities and entropies [4, 9], of which the first `length` count."""
    rng = np.random.default_rng(0)
    samples = [
        replace(
            sample,
            old_logprobs=(sample.behaviour_logprobs + rng.normal(0, 0.2, length)).astype(np.float32),
            reference_logprobs=(sample.behaviour_logprobs + rng.normal(0, 0.3, length)).astype(np.float32),
        )
        for sample, length in zip(random_samples([(5, LENGTHS)]), LENGTHS, strict=True)
    ]
    advantages = rng.normal(size=4).astype(np.float32)
    samples = [
        replace(sample, advantages=np.full(length, advantage, np.float32))
        for sample, length, advantage in zip(samples, LENGTHS, advantages, strict=True)
    ]
    logprobs = torch.zeros(4, LONGEST)
    for row, sample in enumerate(samples):
        assert sample.old_logprobs is not None
        noise = rng.normal(0, 0.2, LENGTHS[row]).astype(np.float32)
        logprobs[row, : LENGTHS[row]] = torch.from_numpy(sample.old_logprobs + noise)
    return samples, logprobs, torch.from_numpy(rng.uniform(0, 2, (4, LONGEST)).astype(np.float32))


def padded(samples: list[Sample], name: str) -> Tensor:
    result = torch.zeros(len(samples), LONGEST)
    for row, sample in enumerate(samples):
        result[row, : len(sample.mask)] = torch.from_numpy(getattr(sample, name))
    return result


def theirs(trainer: type, samples: list[Sample], logprobs: Tensor, entropies: Tensor, **settings: Any) -> Tensor:
    mask = torch.tensor([[float(column < length) for column in range(LONGEST)] for length in LENGTHS])
    arguments = {"delta": None, "use_bias_correction_kl": False, "steps_per_generation": 1, **settings}
    own = SimpleNamespace(
        _get_per_token_logps_and_entropies=lambda *_, **__: (logprobs, entropies, None),
        accelerator=Accelerator(),
        args=SimpleNamespace(**arguments),
        aux_loss_enabled=False,
        beta=settings.get("beta", 0.0),
        current_gradient_accumulation_steps=1,
        epsilon_high=settings["epsilon_high"],
        epsilon_low=settings["epsilon_low"],
        importance_sampling_level=settings.get("importance_sampling_level", "token"),
        loss_type=settings.get("loss_type"),
        max_completion_length=LONGEST,
        model=SimpleNamespace(training=True),
        off_policy_mask_threshold=None,
        top_entropy_quantile=1.0,
        use_vllm="correction" in settings,
        vllm_importance_sampling_correction="correction" in settings,
        _entropy_bonus_enabled=False,
        _metrics={"train": Metrics()},
    )
    inputs = {
        "prompt_ids": torch.zeros(4, 5, dtype=torch.int64),
        "prompt_mask": torch.ones(4, 5),
        "completion_ids": torch.zeros(4, LONGEST, dtype=torch.int64),
        "completion_mask": mask,
        "advantages": torch.tensor([float(sample.advantages[0]) for sample in samples]),
        "old_per_token_logps": padded(samples, "old_logprobs"),
        "old_logps": (padded(samples, "old_logprobs") * mask).sum(1),
        "ref_per_token_logps": padded(samples, "reference_logprobs"),
        "num_items_in_batch": mask.sum(),
        "importance_sampling_ratio": settings.get("correction"),
    }
    return trainer._compute_loss(own, None, inputs)


def ours(samples: list[Sample], logprobs: Tensor, entropies: Tensor, recipe: Algorithm) -> Tensor:
    algorithm = build(recipe)
    (batch,) = pack(samples, tokens_per_pack=100, loss_mean=algorithm.mean, longest_response=LONGEST)
    rows = [slice(0, length) for length in LENGTHS]
    policy = TokenLogprobs(
        torch.cat([logprobs[member, rows[member]] for member in batch.members]),
        torch.cat([entropies[member, rows[member]] for member in batch.members]),
    )
    return (algorithm.loss(policy, batch).value * batch.weight).sum()


CASES = {
    "GRPO as TRL's grpo": ("grpo", "grpo", {"loss_mean": "sequence"}, {}),
    "GRPO as TRL's bnpo": ("grpo", "bnpo", {}, {}),
    "GRPO with KL": ("grpo", "grpo", {"loss_mean": "sequence", "kl": 0.04}, {"beta": 0.04}),
    "Dr. GRPO": ("dr_grpo", "dr_grpo", {}, {}),
    "DAPO": ("dapo", "dapo", {"clip_high": 0.28}, {"epsilon_high": 0.28}),
    "GSPO": ("gspo", "grpo", {}, {"importance_sampling_level": "sequence"}),
    "CISPO": ("cispo", "cispo", {"clip_low": 1.0, "clip_high": 0.1}, {"epsilon_high": 1.1}),
}


@pytest.mark.parametrize("case", CASES)
def test_group_losses_equal_trl(case: str) -> None:
    name, loss_type, own_settings, their_settings = CASES[case]
    samples, logprobs, entropies = scene()
    recipe = Algorithm(name=name, group_size=4, **{"clip_low": 0.1, "clip_high": 0.15, **own_settings})  # pyright: ignore
    settings = {"epsilon_low": 0.1, "epsilon_high": 0.15, "loss_type": loss_type, **their_settings}
    assert_same(trl.GRPOTrainer, samples, logprobs, entropies, recipe, settings)


@pytest.mark.parametrize("mode", ["truncate", "mask"])
@pytest.mark.parametrize("level", ["token", "sequence"])
def test_correction_equals_trl(level: str, mode: str) -> None:
    """Its ratio is computed outside the loss, by these lines of `_generate_and_score_completions`."""
    samples, logprobs, entropies = scene()
    lengths = torch.tensor(LENGTHS)
    mask = (torch.arange(LONGEST) < lengths[:, None]).float()
    difference = (padded(samples, "old_logprobs") - padded(samples, "behaviour_logprobs")) * mask
    ratio = torch.exp(difference.sum(-1, keepdim=True) if level == "sequence" else difference)
    if mode == "truncate":
        ratio = torch.clamp(ratio, min=0.9, max=1.2)
    else:
        ratio = ratio.masked_fill((ratio < 0.9) | (ratio > 1.2), 0.0)
    correction = {"level": level, "mode": mode, "low": 0.9, "high": 1.2}
    recipe = Algorithm(name="grpo", group_size=4, correction=correction)  # pyright: ignore
    settings = {"epsilon_low": 0.2, "epsilon_high": 0.2, "loss_type": "bnpo", "correction": ratio}
    assert_same(trl.GRPOTrainer, samples, logprobs, entropies, recipe, settings)


def test_rloo_equals_trl() -> None:
    samples, logprobs, entropies = scene()
    recipe = Algorithm(name="rloo", group_size=4, clip_low=0.1, clip_high=0.15)
    settings = {"epsilon_low": 0.1, "epsilon_high": 0.15}
    assert_same(trl.RLOOTrainer, samples, logprobs, entropies, recipe, settings)


def test_leave_one_out_equals_trl() -> None:
    rewards = torch.tensor([[1.0, 0.0, 0.2, 0.7], [0.0, 0.0, 1.0, 0.0]])
    counts = torch.full((2, 1), 4)
    baselines = (rewards.sum(1, keepdim=True) - rewards) / (counts - 1)  # as rloo_trainer.py
    expected = (rewards - baselines).numpy()
    found = np.stack([leave_one_out(row.double().numpy()) for row in rewards])
    np.testing.assert_allclose(found, expected, atol=1e-6)


def assert_same(
    trainer: type, samples: list[Sample], logprobs: Tensor, entropies: Tensor, recipe: Algorithm, settings: Any
) -> None:
    left, right = logprobs.clone().requires_grad_(), logprobs.clone().requires_grad_()
    mine, other = ours(samples, left, entropies, recipe), theirs(trainer, samples, right, entropies, **settings)
    mine.backward()
    other.backward()
    assert float(mine.detach()) == pytest.approx(float(other.detach()), abs=1e-5)
    torch.testing.assert_close(left.grad, right.grad, atol=1e-5, rtol=0)
    assert left.grad is not None and float(left.grad.abs().max()) > 1e-3
