"""A whole run of a model whose config asks for all at once: dropout, a window, and angles that go by length."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
import torch

from ..conftest import small_config
from ..recipes import metrics, r1zero, write_recipe

LONGROPE = {
    "rope_type": "longrope",
    "short_factor": [1.0] * 4,
    "long_factor": [1.0, 2.0, 4.0, 8.0],
    "original_max_position_embeddings": 32,
    "rope_theta": 1e4,
}


def test_it_trains_beyond_its_window_without_clipping(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from r1zero.models import fetch

    tokenizer = AutoTokenizer.from_pretrained(fetch.resolve("tiny"))
    ends = dict.fromkeys(("eos_token_id", "bos_token_id", "pad_token_id"), tokenizer.eos_token_id)
    config = small_config(
        "phi3",
        **{**ends, "vocab_size": len(tokenizer), "resid_pdrop": 0.1, "embd_pdrop": 0.1, "attention_dropout": 0.1},
        **{"sliding_window": 24, "original_max_position_embeddings": 32, "rope_parameters": LONGROPE},
    )
    torch.manual_seed(0)
    AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path / "model")
    tokenizer.save_pretrained(tmp_path / "model")
    with caplog.at_level(logging.INFO, logger="r1zero"):
        # a second minibatch is the first to have a ratio other than 1: by its update alone, not by noise
        settings = ["run.steps=2", "rollout.max_new_tokens=60", "algorithm.entropy=0.1", "trainer.minibatches=2"]
        r1zero("train", write_recipe(tmp_path), f"model.path={tmp_path}/model", *settings)
    assert "phi3's own dropout (attention_dropout 0.1, embd_pdrop 0.1, resid_pdrop 0.1) is off" in caplog.text
    assert "longrope rotary angles go by length: this run has those of 76 tokens" in caplog.text
    for record in metrics(tmp_path / "run"):
        assert record["response_length"] > 24 and 0 < record["grad_norm"] < 1
        assert record["clip_ratio/low"] == record["clip_ratio/high"] == 0
