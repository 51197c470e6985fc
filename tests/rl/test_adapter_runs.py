"""Whole runs that train adapters: they learn, resume exactly, are evaluated, merged and exported."""

from __future__ import annotations

import json
import logging
import signal
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from r1zero.base.errors import UsageError
from r1zero.data.packing import pack
from r1zero.models import adapters
from r1zero.models.fetch import TINY as TINY_FOLDER
from r1zero.models.forward import token_logprobs
from r1zero.models.load import load_model

from ..conftest import random_samples
from ..recipes import TINY, metrics, r1zero, signal_when, start, write_recipe

LORA = "lora: {rank: 4, alpha: 8, dropout: 0.1, targets: [q_proj, v_proj, down_proj]}"
RECIPE = TINY.replace("dtype: fp32}", f"dtype: fp32, {LORA}}}").replace(
    "tokens_per_pack: 400", "ema: 0.5, optimizer: adamw_8bit, minibatches: 2, tokens_per_pack: 400"
)
HELD_OUT = """\
evaluation:
  path: r1zero:sums
  split: heldout
  options: {terms: 3, low: 10, high: 99, count: 8, text: '{sum}=?', plus: '+'}
  samples: 1
  ema: true
rewards:"""
(BATCH,) = pack(random_samples([(6, [5, 3]), (3, [4])]), tokens_per_pack=100)
LAST = "checkpoints/step_000004"


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("undisturbed")
    r1zero("train", write_recipe(folder, RECIPE))
    return folder / "run"


@torch.no_grad()
def logprobs(path: Path) -> torch.Tensor:
    model, _ = load_model(str(path), dtype=torch.float32, device=torch.device("cpu"))
    return token_logprobs(model, BATCH).logprobs


def test_a_checkpoint_holds_adapters_alone(undisturbed: Path) -> None:
    folder = undisturbed / LAST
    names = {str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file()}
    assert {"adapter_config.json", "adapter_model.safetensors", "ema/adapter_model.safetensors"} <= names
    assert not any("model.safetensors" in name and "adapter" not in name for name in names)
    assert sum((folder / name).stat().st_size for name in names) < (TINY_FOLDER / "model.safetensors").stat().st_size
    settings = json.loads((folder / "adapter_config.json").read_text())
    assert settings["base_model_name_or_path"] == str(TINY_FOLDER) and settings["r"] == 4
    assert len(load_file(folder / "adapter_model.safetensors")) == 4 * 3 * 2


def test_killed_and_resumed_ends_with_the_same_bits(undisturbed: Path, tmp_path: Path) -> None:
    recipe = write_recipe(tmp_path, RECIPE)
    process = start("train", recipe)
    signal_when(process, tmp_path / "run" / "rollouts" / "step_000003.jsonl", signal.SIGKILL)
    r1zero("train", recipe, "--resume")
    for name in ("adapter_model", "ema/adapter_model", "optimizer", "rng"):
        file = f"{LAST}/{name}.safetensors"
        assert (undisturbed / file).read_bytes() == (tmp_path / "run" / file).read_bytes(), name
    for step in (3, 4):
        name = f"rollouts/step_{step:06d}.jsonl"
        assert (undisturbed / name).read_text() == (tmp_path / "run" / name).read_text()


def test_the_reference_is_the_base(undisturbed: Path) -> None:
    """With KL on, the first step's KL is exactly zero: adapters that change nothing against adapters off."""
    kl = [record["kl"] for record in metrics(undisturbed)]
    assert kl[0] < 1e-4 < max(kl[1:])


def test_merge_and_export_make_the_model_that_was_trained(
    undisturbed: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, logger="r1zero"):
        r1zero("model", "merge", undisturbed, tmp_path / "merged")
    assert f"LoRA adapters of rank 4 for {TINY_FOLDER} -> {tmp_path / 'merged'}, a whole model in fp32" in caplog.text
    r1zero("model", "merge", undisturbed / LAST, tmp_path / "same")
    r1zero("model", "export", undisturbed, tmp_path / "exported")
    r1zero("model", "merge", undisturbed, tmp_path / "average", "--ema")
    expected = logprobs(undisturbed / LAST)
    assert (expected - logprobs(TINY_FOLDER)).abs().max() > 1e-3
    for name in ("merged", "same", "exported"):
        assert (logprobs(tmp_path / name) - expected).abs().max() <= 1e-4
    assert (logprobs(tmp_path / "average") - logprobs(undisturbed / LAST / "ema")).abs().max() <= 1e-4
    assert (logprobs(tmp_path / "average") - expected).abs().max() > 1e-5
    from transformers import AutoModelForCausalLM

    merged = AutoModelForCausalLM.from_pretrained(tmp_path / "merged")
    base = AutoModelForCausalLM.from_pretrained(TINY_FOLDER)
    assert merged.config.to_dict().keys() == base.config.to_dict().keys()
    assert merged.generation_config.eos_token_id == base.generation_config.eos_token_id
    for (name, value), (_, before) in zip(merged.named_parameters(), base.named_parameters(), strict=True):
        changed = any(target in name for target in ("q_proj.weight", "v_proj.weight", "down_proj.weight"))
        assert torch.equal(value, before) != changed, name


def test_what_cannot_be_merged(undisturbed: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="holds no adapters; r1zero model export writes the model of a run"):
        r1zero("model", "merge", TINY_FOLDER, tmp_path / "out")
    with pytest.raises(UsageError, match="is not empty; name a new folder"):
        r1zero("model", "merge", undisturbed, undisturbed)
    with pytest.raises(UsageError, match="--quantization 'int3': must be none or nf4"):
        r1zero("model", "merge", undisturbed / LAST, tmp_path / "out", "--quantization", "int3")
    with pytest.raises(UsageError, match="is a folder of adapters already; merge it first: r1zero model merge"):
        r1zero("train", write_recipe(tmp_path, RECIPE), f"model.path={undisturbed / LAST}")
    plain = write_recipe(tmp_path, TINY)
    with pytest.raises(UsageError, match="adapters do not train further; merge them first: r1zero model merge"):
        r1zero("train", plain, f"model.path={undisturbed / LAST}")


def test_adapters_and_averages_are_evaluated(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The run evaluates the average; so does the command, from the folder of adapters."""
    recipe = write_recipe(tmp_path, RECIPE.replace("rewards:", HELD_OUT).replace("lr: 3e-4", "lr: 3e-2"))
    r1zero("train", recipe)
    kept = tmp_path / "run" / "evaluations" / "step_000004.jsonl"
    answers = [[r["text"] for r in json.loads(line)["rollouts"]] for line in kept.read_text().splitlines()]
    r1zero("evaluate", tmp_path / "run")
    assert "greedy_accuracy" in capsys.readouterr().out
    r1zero("evaluate", tmp_path / "run", "evaluation.ema=false", f"run.dir={tmp_path / 'newest'}")

    def again(where: Path) -> list[list[str]]:
        (file,) = where.glob("evaluate-*/evaluations/*.jsonl")
        return [[r["text"] for r in json.loads(line)["rollouts"]] for line in file.read_text().splitlines()]

    assert again(tmp_path / "run") == answers
    assert again(tmp_path / "newest") != answers
    plain = tmp_path / "plain.yaml"
    plain.write_text(TINY.replace("RUN", str(tmp_path / "third")).replace("rewards:", HELD_OUT))
    r1zero("evaluate", plain, f"model.path={tmp_path / 'run' / LAST / 'ema'}", "trainer.ema=0.5")
    assert again(tmp_path / "third") == answers


def test_a_critic_trains_adapters_and_its_head(tmp_path: Path) -> None:
    recipe = write_recipe(
        tmp_path,
        RECIPE.replace("name: grpo, group_size: 4, kl: 0.01", "name: ppo, group_size: 2")
        + "critic: {lr: 1e-3, tokens_per_pack: 400, lora: {rank: 2}}\n",
    )
    r1zero("train", recipe, "run.steps=2")
    r1zero("train", recipe, "run.steps=3", "--resume")
    folder = tmp_path / "run" / "checkpoints" / "step_000003" / "critic"
    saved = load_file(folder / "adapter_model.safetensors")
    assert "base_model.model.score.weight" in saved and len(saved) == 4 * 7 * 2 + 1
    before = load_file(tmp_path / "run" / "checkpoints" / "step_000002" / "critic" / "adapter_model.safetensors")
    assert all(not torch.equal(value, before[name]) for name, value in saved.items())
    r1zero("model", "merge", folder, tmp_path / "critic")
    merged = load_file(tmp_path / "critic" / "model.safetensors")
    assert torch.equal(merged["score.weight"], saved["base_model.model.score.weight"])
    assert adapters.describe(tmp_path / "critic") == "a whole model"
    import peft
    from transformers import AutoModelForSequenceClassification

    ids = torch.arange(3, 14)[None]
    base = AutoModelForSequenceClassification.from_pretrained(TINY_FOLDER, num_labels=1)
    theirs = peft.PeftModel.from_pretrained(base, str(folder)).eval()
    ours = AutoModelForSequenceClassification.from_pretrained(tmp_path / "critic").eval()
    with torch.no_grad():
        assert (theirs(input_ids=ids).logits - ours(input_ids=ids).logits).abs().max() <= 1e-4


def test_quantized_runs(tmp_path: Path) -> None:
    pytest.importorskip("bitsandbytes", reason="bitsandbytes is not installed: pip install 'r1zero[lora]'")
    recipe = write_recipe(tmp_path, RECIPE.replace("dtype: fp32,", "dtype: fp32, quantization: nf4,"))
    r1zero("train", recipe, "run.steps=2")
    r1zero("model", "merge", tmp_path / "run", tmp_path / "merged")
    newest = tmp_path / "run" / "checkpoints" / "step_000002"
    model, _ = load_model(str(newest), dtype=torch.float32, device=torch.device("cpu"), quantization="nf4")
    with torch.no_grad():
        trained = token_logprobs(model, BATCH).logprobs
    assert (logprobs(tmp_path / "merged") - trained).abs().max() <= 1e-4
    assert (logprobs(newest) - trained).abs().max() > 1e-2, "into weights of full precision it is another model"


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("model.quantization=nf4", "weights in 4 bits cannot be trained; add model.lora"),
        ("model.lora={rnk: 4}", r"model.lora.rnk = 4: unknown key; did you mean 'rank'\?"),
        ("model.lora={targets: [q_prj]}", "lora.targets: the model has no linear layer 'q_prj'; did you mean 'q_proj'"),
        ("trainer.schedule=wsd", "trainer.decay_steps = 0: schedule wsd falls in the last decay_steps; set it above 0"),
        ("trainer.decay_steps=3", "trainer.decay_steps = 3: belongs to schedule wsd; choose that, or set it to 0"),
        ("trainer.optimizer=adamm", "trainer.optimizer = 'adamm': input should be 'adamw'"),
        ("trainer.ema=1.0", "trainer.ema = 1.0: input should be less than 1"),
    ],
)
def test_mistakes(tmp_path: Path, override: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        r1zero("train", write_recipe(tmp_path), override)


def test_an_average_must_be_kept_to_be_evaluated(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="evaluation.ema = True: there is no average; set trainer.ema, for example"):
        r1zero("train", write_recipe(tmp_path, TINY.replace("rewards:", HELD_OUT)))


def test_a_run_learns(tmp_path: Path) -> None:
    """Sums that the miniature mostly gets wrong: by adapters alone its reward rises well beyond chance."""
    changes = {
        "steps: 4": "steps: 13",
        "save_every: 1": "save_every: 0",
        "low: 10, high: 99": "low: 10, high: 49",
        "group_size: 4, kl: 0.01": "group_size: 8",
        "max_new_tokens: 40": "max_new_tokens: 64",
        "prompts_per_step: 4": "prompts_per_step: 8",
        "tokens_per_pack: 400, lr: 3e-4": "tokens_per_pack: 4000, lr: 4e-3",
        "dtype: fp32}": "dtype: fp32, lora: {rank: 8, alpha: 16}}",
    }
    text = TINY
    for before, after in changes.items():
        assert before in text
        text = text.replace(before, after)
    r1zero("train", write_recipe(tmp_path, text))
    reward = [record["reward"] for record in metrics(tmp_path / "run")]
    assert sum(reward[-4:]) / 4 > sum(reward[:4]) / 4 + 0.15
