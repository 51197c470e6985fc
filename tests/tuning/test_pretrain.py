"""Pretraining: the loss falls, documents that do not fit are kept aside, and a killed run resumes to the same bits."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from r1zero.base.errors import UsageError

from ..recipes import metrics, r1zero

RECIPE = """\
run: {dir: RUN, steps: 12, save_every: 5, device: cpu, deterministic: true}
model:
  dtype: fp32
  vocabulary: 270
  tokens: ["<think>"]
  architecture: {model_type: llama, hidden_size: 32, intermediate_size: 48, num_hidden_layers: 2,
                 num_attention_heads: 4, num_key_value_heads: 2}
data: {path: DATA, max_document_tokens: 40}
trainer: {samples_per_step: 16, tokens_per_pack: 300, lr: 1e-2}
logging: {tensorboard: false}
"""


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    rows = [{"text": f"<think>{n}+{n}={2 * n}"} for n in range(60)] + [{"text": "long " * 50}, {"txt": "no text"}]
    (tmp_path / "data.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    path = tmp_path / "recipe.yaml"
    path.write_text(RECIPE.replace("RUN", str(tmp_path / "run")).replace("DATA", str(tmp_path / "data.jsonl")))
    return path


def test_pretraining_resumes_exactly_and_exports_a_model(recipe: Path, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    r1zero("pretrain", recipe)
    losses = [record["loss"] for record in metrics(tmp_path / "run")]
    assert losses[-1] < losses[0] - 0.5
    reasons = [json.loads(line)["reason"] for line in (tmp_path / "run" / "quarantine.jsonl").read_text().splitlines()]
    assert reasons[0] == "column 'text' is missing or empty"
    assert reasons[1].startswith("the row has ") and reasons[1].endswith("more than data.max_document_tokens = 40")

    r1zero("pretrain", recipe, f"run.dir={tmp_path}/again", "run.steps=7")
    r1zero("pretrain", recipe, f"run.dir={tmp_path}/again", "--resume")
    model = "checkpoints/step_000012/model.safetensors"
    assert (tmp_path / "run" / model).read_bytes() == (tmp_path / "again" / model).read_bytes()

    r1zero("model", "export", tmp_path / "run", tmp_path / "model", "--dtype", "bf16")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "model")
    text = "<think>12+12=24 für Ä\n"
    assert tokenizer.decode(tokenizer(text)["input_ids"]) == text
    assert len(tokenizer("<think>")["input_ids"]) == 1 and len(tokenizer("123")["input_ids"]) == 3
    assert tokenizer.bos_token_id == tokenizer.eos_token_id, "documents begin with the end token"
    assert AutoModelForCausalLM.from_pretrained(tmp_path / "model").config.model_type == "llama"


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("data.max_document_tokens=3", "data.max_document_tokens = 3: every document is longer; raise it"),
        ("model.architecture.model_type=lama", "model.architecture.model_type = 'lama': Unrecognized model identifier"),
        ("trainer.tokens_per_pack=20", "trainer.tokens_per_pack = 20: cannot hold one document of 40 tokens; raise it"),
    ],
)
def test_mistakes(recipe: Path, override: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        r1zero("pretrain", recipe, override)
    assert message in str(caught.value)


def test_export_refuses_a_folder_in_use_and_a_run_without_a_checkpoint(recipe: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="has no intact checkpoint"):
        r1zero("model", "export", tmp_path / "nothing", tmp_path / "model")
    with pytest.raises(UsageError, match="is not empty; name a new folder"):
        r1zero("model", "export", tmp_path / "run", tmp_path)
