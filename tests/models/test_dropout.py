"""The probability of a token in training is the one it was sampled with, whatever the model's config drops."""

from __future__ import annotations

import copy
import logging
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from r1zero.config import Lora, Optimization
from r1zero.data.packing import pack
from r1zero.models.dropout import switch_off
from r1zero.models.load import load_model
from r1zero.models.value import load_scorer, token_values
from r1zero.trainer.local import LocalTrainer
from r1zero.types import Batch, TokenLogprobs, TokenLoss, TokenValues

from ..conftest import ByteTokenizer, random_samples, save_tokenizer, small_config

(BATCH,) = pack(random_samples([(6, [5, 3, 8, 2]), (3, [4, 4])]), tokens_per_pack=1000)
CPU: dict[str, Any] = {"dtype": torch.float32, "device": torch.device("cpu")}
RATES: dict[str, dict[str, Any]] = {
    "opt": {"layerdrop": 0.3, "ffn_dim": 48, "word_embed_proj_dim": 32},  # dropout 0.1 by default
    "gpt2": {},  # attn_pdrop, embd_pdrop and resid_pdrop 0.1 by default
    "phi3": {"resid_pdrop": 0.1, "embd_pdrop": 0.1},
    "gpt_neox": {"hidden_dropout": 0.1, "attention_dropout": 0.1},
    "persimmon": {"hidden_dropout": 0.1, "attention_dropout": 0.1, "num_key_value_heads": 4},  # reads its config
    "mixtral": {"router_jitter_noise": 0.3, "num_local_experts": 4, "sliding_window": None},
}


def folder_of(path: Path, family: str, **changes: Any) -> str:
    """A model whose config still has its rates."""
    from transformers import AutoModelForCausalLM

    config = small_config(family, **changes)
    torch.manual_seed(0)
    AutoModelForCausalLM.from_config(copy.deepcopy(config)).save_pretrained(path)
    config.save_pretrained(path)
    save_tokenizer(path)
    return str(path)


def in_training(model: Any, predict: Any = None) -> Tensor:
    """What the trainer's forward pass in training mode says of each target."""
    seen: list[Tensor] = []

    def loss(output: TokenLogprobs | TokenValues, batch: Batch) -> TokenLoss:
        seen.append(output.logprobs if isinstance(output, TokenLogprobs) else output.values)
        return TokenLoss(seen[-1], {})

    trainer: LocalTrainer = trainer_of(model, predict)
    trainer.forward_backward(BATCH, loss)
    assert torch.isfinite(torch.cat([gradient.flatten() for gradient in trainer.masters.gradients()])).all()
    return seen[0].detach()


def trainer_of(model: Any, predict: Any = None) -> LocalTrainer:
    options = {} if predict is None else {"predict": predict}
    return LocalTrainer(model, ByteTokenizer(), Optimization(lr=1e-3, tokens_per_pack=1000), total_updates=1, **options)


@pytest.mark.parametrize("family", RATES)
def test_training_computes_what_is_sampled_from(family: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="r1zero"):
        model, _ = load_model(folder_of(tmp_path, family, **RATES[family]), **CPU)
    (line,) = [record.getMessage() for record in caplog.records if "is off, in training too" in record.getMessage()]
    assert line.startswith(f"model.path: {family}'s own dropout (")
    assert all(name in line for name in RATES[family] if "drop" in name or "jitter" in name)
    old = trainer_of(model).predict(BATCH).logprobs
    assert torch.equal(in_training(model), old)


def test_a_critics_dropout_is_off_too(tmp_path: Path) -> None:
    path = folder_of(tmp_path, "gpt2")
    model = load_scorer(path, "critic.path", seed=0, **CPU)
    assert torch.equal(in_training(model, token_values), trainer_of(model, token_values).predict(BATCH).values)


def test_adapters_keep_the_dropout_of_the_recipe(tmp_path: Path) -> None:
    path = folder_of(tmp_path, "gpt2")
    model, _ = load_model(path, **CPU, lora=Lora(rank=4, dropout=0.5))
    rates = [module.p for module in model.modules() if isinstance(module, torch.nn.Dropout)]
    assert 0.5 in rates and set(rates) == {0.0, 0.5}
    torch.manual_seed(1)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.3)
    assert not torch.equal(in_training(model), trainer_of(model).predict(BATCH).logprobs)


def test_configs_inside_a_config_are_found() -> None:
    config = small_config("dbrx", attn_config={"attn_pdrop": 0.1}, resid_pdrop=0.2)
    switch_off(config, "model.path")
    assert config.resid_pdrop == 0 and config.attn_config.attn_pdrop == 0


def test_a_config_without_dropout_is_not_spoken_of(caplog: pytest.LogCaptureFixture) -> None:
    config = small_config("llama")
    before = config.to_dict()
    with caplog.at_level(logging.INFO, logger="r1zero"):
        switch_off(config, "model.path")
    assert not caplog.records and config.to_dict() == before
