"""The critic: its values are transformers' own, a causal LM gets a fresh head, a reward model keeps its own."""

from __future__ import annotations

import copy
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from r1zero.algorithms.losses import clipped_value_loss
from r1zero.base.errors import UsageError
from r1zero.config import Optimization
from r1zero.data.packing import pack
from r1zero.models.value import load_scorer, token_values
from r1zero.trainer.local import LocalTrainer
from r1zero.types import Sample

from ..conftest import random_samples, small_model


@pytest.fixture
def causal(tmp_path: Path) -> Path:
    small_model().save_pretrained(tmp_path / "causal")
    return tmp_path / "causal"


def critic(path: Path, seed: int = 0) -> Any:
    return load_scorer(str(path), "critic.path", dtype=torch.float32, device=torch.device("cpu"), seed=seed)


def samples() -> list[Sample]:
    from dataclasses import replace

    rng = np.random.default_rng(0)
    drawn = random_samples([(6, [5, 3, 8]), (3, [4])], masked=True)
    return [
        replace(
            sample,
            values=rng.normal(0, 1, len(sample.mask)).astype(np.float32),
            returns=rng.normal(0, 1, len(sample.mask)).astype(np.float32),
        )
        for sample in drawn
    ]


def reward_model(path: Path, labels: int = 1) -> Path:
    from transformers import AutoModelForSequenceClassification

    config = copy.deepcopy(small_model().config)
    config.num_labels = labels
    AutoModelForSequenceClassification.from_config(config).save_pretrained(path)
    return path


def test_values_are_of_the_state_before_each_token(causal: Path) -> None:
    model = critic(causal)
    (batch,) = pack(samples(), tokens_per_pack=100)
    found = token_values(model, batch).values
    plain = copy.deepcopy(model)
    plain.set_attn_implementation("eager")
    expected = []
    for sample in (samples()[member] for member in batch.members):
        ids = torch.from_numpy(np.concatenate([sample.prompt_ids, sample.response_ids])).long()
        with torch.no_grad():
            hidden = plain.base_model(input_ids=ids[None], use_cache=False).last_hidden_state[0]
        states = hidden[len(sample.prompt_ids) - 1 : -1]
        expected.append((states @ plain.score.weight[0])[torch.from_numpy(sample.mask)])
    torch.testing.assert_close(found, torch.cat(expected), atol=1e-5, rtol=1e-4)
    assert found.std() > 0.01


def test_a_causal_model_gets_a_head_from_the_seed(causal: Path) -> None:
    first, again, other = critic(causal), critic(causal), critic(causal, seed=1)
    assert torch.equal(first.score.weight, again.score.weight)
    assert not torch.equal(first.score.weight, other.score.weight)
    assert first.score.weight.shape == (1, 32) and first.score.bias is None
    assert float(first.score.weight.detach().std()) == pytest.approx(1 / 33, rel=0.4)
    language = small_model()
    assert torch.equal(first.model.layers[1].mlp.up_proj.weight, language.model.layers[1].mlp.up_proj.weight)


def test_a_reward_model_keeps_its_head(tmp_path: Path) -> None:
    from safetensors.torch import load_file

    path = reward_model(tmp_path / "reward")
    assert torch.equal(critic(path).score.weight, load_file(path / "model.safetensors")["score.weight"])


def test_a_classifier_of_several_labels_is_no_critic(tmp_path: Path) -> None:
    path = reward_model(tmp_path / "classes", labels=3)
    with pytest.raises(UsageError) as caught:
        critic(path)
    assert str(caught.value).startswith(f"critic.path = '{path}': ")


def test_no_such_critic(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        critic(tmp_path / "nothing")
    assert str(caught.value).startswith(
        f"critic.path = '{tmp_path}/nothing': neither a causal LM nor a reward model with one label: "
    )


def test_packs_do_not_change_the_critics_gradient(causal: Path) -> None:
    trainer = LocalTrainer(critic(causal), None, Optimization(lr=1e-3), total_updates=1, predict=token_values)

    def gradient(limit: int) -> torch.Tensor:
        for batch in pack(samples(), tokens_per_pack=limit):
            trainer.forward_backward(batch, partial(clipped_value_loss, clip=0.2))
        found = torch.cat([value.flatten() for value in trainer.masters.gradients()])
        trainer.discard_gradients()
        return found

    whole = gradient(100)
    torch.testing.assert_close(gradient(16), whole, atol=1e-6, rtol=0)
    assert whole.abs().max() > 1e-3
