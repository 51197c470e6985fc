"""Training on rows, from recipe to a model that others can load: the loss falls, preferences are learned, a killed run
resumes to the same bits, and what is wrong with rows or recipes is said."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from r1zero import config
from r1zero.base import device
from r1zero.base.errors import UsageError
from r1zero.data.indexed import IndexedWriter
from r1zero.grading.reward_model import OutcomeModel, ProcessModel
from r1zero.models import adapters
from r1zero.types import Problem

from ..data.prepared import write_jsonl
from ..recipes import events, metrics, r1zero, signal_when, start

RECIPE = """\
run: {dir: RUN, steps: 8, save_every: 2, device: cpu, threads: 1, deterministic: true}
model: {path: tiny, dtype: fp32}
data: {path: DATA/rows.jsonl, layout: LAYOUT, template: plain, max_tokens: 60}
evaluation: {path: DATA/held.jsonl, layout: LAYOUT}
objective: {name: NAME}
trainer: {samples_per_step: 8, tokens_per_pack: 240, lr: 1e-3}
logging: {tensorboard: false}
"""
CPU = device.select("cpu", "fp32", threads=1)


def recipe(folder: Path, rows: Iterable[Any], held: Iterable[Any], name: str, layout: str = "alpaca") -> Path:
    write_jsonl(folder / "rows.jsonl", rows)
    write_jsonl(folder / "held.jsonl", held)
    path = folder / "recipe.yaml"
    text = RECIPE.replace("RUN", str(folder / "run")).replace("DATA", str(folder))
    path.write_text(text.replace("LAYOUT", layout).replace("NAME", name))
    return path


def sums(count: int, seed: int = 0) -> list[dict[str, str]]:
    rng = np.random.default_rng(seed)
    pairs = rng.integers(10, 99, (count, 2))
    return [{"instruction": f"{a}+{b}=?", "output": f"{a}+{b}={a + b}"} for a, b in pairs.tolist()]


def preferences(count: int, seed: int) -> list[dict[str, str]]:
    """The polite answer is the better one, whatever the sum."""
    rng = np.random.default_rng(seed)
    rows = []
    for a, b in rng.integers(10, 99, (count, 2)).tolist():
        polite, rude = f"please: {a + b}", f"no! {a + b}"
        rows.append({"instruction": f"{a}+{b}=?", "chosen": polite, "rejected": rude})
    return rows


def evaluation(run: Path, step: int) -> dict[str, float]:
    return json.loads((run / "evaluations" / f"step_{step:06d}.json").read_text())


def last(run: Path, step: int) -> Path:
    return run / "checkpoints" / f"step_{step:06d}"


@pytest.fixture(scope="module")
def tuned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tuned")
    r1zero("train", recipe(folder, [*sums(40), {"instruction": "1+1=?"}], sums(10, seed=1), "sft"))
    return folder


def test_fine_tuning_lowers_the_held_out_loss(tuned: Path) -> None:
    run = tuned / "run"
    assert evaluation(run, 8)["evaluation/loss"] < 0.7 * evaluation(run, 0)["evaluation/loss"]
    record = metrics(run)[-2]
    assert record["epoch"] == pytest.approx(8 * 8 / 40)
    assert {"loss", "entropy", "grad_norm", "lr", "tokens_per_second/update", "gemm_share/update"} <= record.keys()
    assert "held-out loss" in (run / "report.html").read_text()
    (row,) = [json.loads(line) for line in (run / "quarantine.jsonl").read_text().splitlines()]
    assert row["line"] == 41 and row["reason"] == "column 'output' is missing"


def test_a_tuned_model_loads_in_transformers(tuned: Path, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    r1zero("model", "export", tuned / "run", tmp_path / "model")
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "model")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "model")
    ids = tokenizer("20+30=?\n20+30=", return_tensors="pt")["input_ids"]
    assert model(ids).logits.isfinite().all()


def test_sigkill_and_resume_gives_the_same_bits(tuned: Path, tmp_path: Path) -> None:
    path = recipe(tmp_path, [*sums(40), {"instruction": "1+1=?"}], sums(10, seed=1), "sft")
    process = start("train", path)
    signal_when(process, tmp_path / "run" / "checkpoints" / "step_000002", signal.SIGKILL)
    r1zero("train", path, "--resume")
    for name in ("model.safetensors", "optimizer.safetensors", "state.json"):
        assert (last(tmp_path / "run", 8) / name).read_bytes() == (last(tuned / "run", 8) / name).read_bytes()
    timed = ("seconds/", "peak_memory", "tokens_per_second/", "gflops/", "gemm_share/")
    left, right = (
        [{key: value for key, value in record.items() if not key.startswith(timed)} for record in metrics(folder)]
        for folder in (tuned / "run", tmp_path / "run")
    )
    assert left == right


def test_ctrl_c_saves_the_finished_steps(tmp_path: Path) -> None:
    path = recipe(tmp_path, preferences(40, 0), preferences(4, 1), "dpo")
    process = start("train", path, "run.steps=2000", "run.save_every=0")
    signal_when(process, tmp_path / "run" / "evaluations" / "step_000000.json", signal.SIGINT)
    assert process.returncode == 130 and events(tmp_path / "run")[-1] == "interrupted"
    (saved,) = (tmp_path / "run" / "checkpoints").iterdir()
    done = json.loads((saved / "state.json").read_text())
    assert done["position"] == 8 * done["step"]


@pytest.mark.parametrize(
    "settings",
    [
        ["objective.beta=0.5"],
        ["objective.loss=hinge", "objective.beta=0.5"],
        # a squared loss asks for a smaller learning rate than the others
        ["objective.loss=ipo", "objective.beta=0.25", "objective.length_normalised=true", "trainer.lr=1e-4"],
    ],
)
def test_preference_optimisation_learns_the_preference(tmp_path: Path, settings: list[str]) -> None:
    path = recipe(tmp_path, preferences(60, 0), preferences(20, 1), "dpo")
    r1zero("train", path, "run.steps=12", *settings)
    before, after = (evaluation(tmp_path / "run", step) for step in (0, 12))
    assert before["evaluation/margin"] == pytest.approx(0, abs=1e-4), "the reference is the model itself"
    assert after["evaluation/accuracy"] > 0.95 and after["evaluation/loss"] < before["evaluation/loss"]
    assert after["evaluation/reward/chosen"] > after["evaluation/reward/rejected"]


def test_the_reference_survives_a_resume(tmp_path: Path) -> None:
    """It is the weights the run began with, not those it goes on from."""
    path = recipe(tmp_path, preferences(60, 0), preferences(20, 1), "dpo")
    r1zero("train", path)
    r1zero("train", path, f"run.dir={tmp_path}/again", "run.steps=3")
    r1zero("train", path, f"run.dir={tmp_path}/again", "--resume")
    for name in ("model.safetensors", "optimizer.safetensors"):
        assert (last(tmp_path / "run", 8) / name).read_bytes() == (last(tmp_path / "again", 8) / name).read_bytes()


def test_a_reward_model_learns_and_scores(tmp_path: Path) -> None:
    path = recipe(tmp_path, preferences(60, 0), preferences(20, 1), "reward_model")
    r1zero("train", path)
    assert evaluation(tmp_path / "run", 8)["evaluation/accuracy"] > 0.95
    r1zero("model", "export", tmp_path / "run", tmp_path / "model")
    scorer = OutcomeModel.load(config.RewardModel(path=str(tmp_path / "model")), CPU)
    problem = Problem(id="p", question="40+41=?", answer="81", source="test")
    polite, rude = scorer.score([(problem, "please: 81"), (problem, "no! 81")])
    assert polite.value > rude.value + 0.5
    chosen = evaluation(tmp_path / "run", 8)["evaluation/reward/chosen"]
    held = preferences(20, 1)
    scores = scorer.score(
        [(Problem(id="p", question=r["instruction"], answer="", source=""), r["chosen"]) for r in held]
    )
    assert np.mean([score.value for score in scores]) == pytest.approx(chosen, abs=1e-4)


def judged(count: int, seed: int) -> list[dict[str, Any]]:
    """A step is good if it ends with a full stop."""
    rng = np.random.default_rng(seed)
    rows = []
    for a, b in rng.integers(10, 99, (count, 2)).tolist():
        labels = (rng.random(3) < 0.5).tolist()
        steps = [f"{a}+{b}{'.' if good else '?'}" for good in labels]
        rows.append({"prompt": f"{a}+{b}=?", "completions": steps, "labels": labels})
    return rows


@pytest.mark.parametrize("tokens", [False, True])
def test_a_process_reward_model_learns_and_scores(tmp_path: Path, tokens: bool) -> None:
    """As a token classifier, and as a causal model that says one of two tokens."""
    path = recipe(tmp_path, judged(60, 0), judged(20, 1), "process_reward", "steps")
    causal = {"good_token": "+", "bad_token": "-"} if tokens else {}
    r1zero("train", path, "run.steps=16", *(f"objective.{key}='{value}'" for key, value in causal.items()))
    assert evaluation(tmp_path / "run", 16)["evaluation/accuracy"] > 0.95
    r1zero("model", "export", tmp_path / "run", tmp_path / "model")
    scorer = ProcessModel.load(config.ProcessReward(path=str(tmp_path / "model"), **causal), CPU)
    problem = Problem(id="p", question="40+41=?", answer="81", source="test")
    good, bad, fine = scorer.steps(problem, "40+41.\n\n40+41?\n\n40+41.")
    assert good > 0.5 > bad and fine > 0.5


def test_pretraining_from_an_indexed_data_set(tmp_path: Path) -> None:
    """Documents of token ids in the format of Megatron, longer ones in pieces."""
    from transformers import AutoTokenizer

    from r1zero.models.fetch import TINY

    tokenizer = AutoTokenizer.from_pretrained(str(TINY))
    with IndexedWriter(tmp_path / "set_text_document") as writer:
        for number in range(30):
            writer.add_document([np.array(tokenizer(f"{number} and {number} " * 12)["input_ids"], np.int32)])
        writer.finish()
        writer.publish()
    path = recipe(tmp_path, [], [{"text": "31 and 31"}], "pretraining", "text")
    given = [f"data.path={tmp_path}/set", "data.layout=prepared", "data.too_long=split", "run.steps=0", "run.epochs=2"]
    r1zero("train", path, *given, "run.save_every=0")
    run = tmp_path / "run"
    losses = [record["loss"] for record in metrics(run) if "loss" in record]
    assert losses[-1] < 0.6 * losses[0] and metrics(run)[-2]["epoch"] == pytest.approx(2, abs=0.1)
    assert not (run / "quarantine.jsonl").exists()


def test_a_longer_context_by_another_rope_base(tmp_path: Path) -> None:
    from transformers import AutoConfig

    path = recipe(tmp_path, sums(10), sums(2), "sft")
    r1zero("train", path, "run.steps=1", "model.rope_theta=5000", "model.context=1024")
    saved = AutoConfig.from_pretrained(last(tmp_path / "run", 1))
    assert saved.rope_parameters["rope_theta"] == 5000 and saved.max_position_embeddings == 1024


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["objective.name=stf"], "objective.name = 'stf': unknown objective; did you mean 'sft'?"),
        (["objective.betta=1"], "command line: objective.betta = 1: unknown key; did you mean 'beta'?"),
        (["run.steps=0"], "run.steps = 0: missing; give run.steps or run.epochs"),
        (["trainer.tokens_per_pack=20"], "cannot hold one row of data.max_tokens = 60; raise it"),
        (
            ["data.max_tokens=9000", "trainer.tokens_per_pack=9000"],
            "data.max_tokens = 9000: the model's context is 256",
        ),
        (["data.max_tokens=5"], "no row is left; the first reason: the row has "),
        (["data.too_long=split"], "data.too_long = 'split': sft can only drop or cut; choose one of them"),
        (["model.rope_theta=-1"], "model.rope_theta = -1: input should be greater than 0"),
        (["objective.good_token=+"], "objective.good_token = '+': needs a bad_token to be compared with"),
        (["evaluation.path=nowhere.jsonl"], "evaluation.path = 'nowhere.jsonl': no such file"),
        (["data.layout=text"], "data.layout = 'text': sft reads one of alpaca, sharegpt, openai, prepared"),
        (
            ["objective.name=dpo", "trainer.tokens_per_pack=70"],
            "trainer.tokens_per_pack = 70: dpo keeps the 2 answers of a row in one pack, up to 120 tokens; raise it",
        ),
    ],
)
def test_mistakes(tmp_path: Path, overrides: list[str], message: str) -> None:
    path = recipe(tmp_path, sums(4), sums(2), "sft")
    with pytest.raises(UsageError) as caught:
        r1zero("train", path, *overrides)
    assert message in str(caught.value)


def test_pairs_that_are_none(tmp_path: Path) -> None:
    same = {"instruction": "1+1=?", "chosen": "2", "rejected": "2"}
    path = recipe(tmp_path, [*preferences(10, 0), same], preferences(2, 1), "dpo")
    r1zero("train", path, "run.steps=1")
    (row,) = [json.loads(line) for line in (tmp_path / "run" / "quarantine.jsonl").read_text().splitlines()]
    assert row["line"] == 11 and row["reason"] == "the chosen and the rejected answer are the same"
    assert "1+1=?" in row["row"]["chosen_input_ids"]


@pytest.mark.parametrize("name", ["sft", "dpo", "reward_model"])
def test_adapters_alone(tmp_path: Path, name: str) -> None:
    """The reference of a preference is the model without them; a reward model's head trains whole."""
    pytest.importorskip("peft", reason="peft is not installed: pip install 'r1zero[lora]'")
    rows, held = (sums(40), sums(10, seed=1)) if name == "sft" else (preferences(60, 0), preferences(20, 1))
    r1zero("train", recipe(tmp_path, rows, held, name), "model.lora={rank: 8, alpha: 16}", "trainer.lr=3e-3")
    before, after = (evaluation(tmp_path / "run", step) for step in (0, 8))
    assert after["evaluation/loss"] < before["evaluation/loss"]
    assert name != "dpo" or before["evaluation/margin"] == pytest.approx(0, abs=1e-4)
    assert adapters.has_head(last(tmp_path / "run", 8)) == (name == "reward_model")
    merged = tmp_path / "merged"
    r1zero("model", "export", tmp_path / "run", merged)
    settings = json.loads((merged / "config.json").read_text())
    assert settings["architectures"][0].endswith(
        "ForSequenceClassification" if name == "reward_model" else "ForCausalLM"
    )


def test_the_shipped_recipes_say_what_they_train() -> None:
    from r1zero.config import TuningRecipe, load_training
    from r1zero.config.load import RECIPES
    from r1zero.tuning.objectives import OBJECTIVES, build
    from r1zero.tuning.parts import check_lengths

    found = set()
    for file in RECIPES.rglob("*.yaml"):
        if "\nobjective:" not in file.read_text():
            continue
        loaded = load_training(file)
        assert isinstance(loaded, TuningRecipe)
        objective = build(loaded.objective)
        check_lengths(loaded, objective)
        found.add(loaded.objective.name)
    assert found == set(OBJECTIVES)
