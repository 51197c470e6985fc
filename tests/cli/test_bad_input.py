"""What users get wrong: one clear message, exit code 2, no traceback, nothing left behind."""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path

import pytest

from r1zero.base.errors import UsageError

from ..recipes import TINY, metrics, r1zero, start, write_recipe

QUESTIONS = [{"question": "11+22+33=?", "answer": "66"}, {"question": "12+22+33=?", "answer": "67"}]


def fails(recipe: Path, *overrides: str, command: str = "train") -> str:
    with pytest.raises(UsageError) as caught:
        r1zero(command, recipe, *overrides)
    return str(caught.value).replace(str(recipe), "recipe.yaml")


def test_a_mistake_is_one_message_without_a_traceback_and_exit_code_2() -> None:
    process = start("train", "demo_tiny", "rollout.temprature=1")
    _, said = process.communicate(timeout=60)
    assert process.returncode == 2
    assert said == "r1zero: command line: rollout.temprature = 1: unknown key; did you mean 'temperature'?\n"


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    return write_recipe(tmp_path)


@pytest.fixture
def from_file(tmp_path: Path) -> Path:
    """A recipe that reads data.jsonl."""
    (tmp_path / "data.jsonl").write_text("".join(json.dumps(row) + "\n" for row in QUESTIONS))
    text = TINY.replace("r1zero:sums", str(tmp_path / "data.jsonl")).split("\n")
    return write_recipe(tmp_path, "\n".join(line for line in text if "options:" not in line))


def test_unknown_key(recipe: Path) -> None:
    assert fails(recipe, "rollout.temprature=1") == (
        "command line: rollout.temprature = 1: unknown key; did you mean 'temperature'?"
    )


def test_unknown_verifier(recipe: Path) -> None:
    assert fails(recipe, "rewards.verifier_function=[base_acc, strict_fromat]") == (
        "rewards.verifier_function = 'strict_fromat': unknown verifier; did you mean 'strict_format'?"
    )


def test_missing_column(from_file: Path) -> None:
    assert fails(from_file, "data.columns.question=problem") == (
        f"data.columns.question = 'problem': no such column in {from_file.parent}/data.jsonl; known: answer, question"
    )


def test_empty_data_set(from_file: Path) -> None:
    data = from_file.parent / "data.jsonl"
    data.write_text("")
    assert fails(from_file) == f"data.path = '{data}': the data set is empty"
    data.write_text('{"question": "?", "answer": ""}\n')
    assert fails(from_file) == (
        f"data.path = '{data}': the data set is empty; all 1 rows were rejected, the first: column 'answer' is empty"
    )


def test_all_prompts_too_long(recipe: Path) -> None:
    assert fails(recipe, "data.max_prompt_tokens=4") == (
        "data.max_prompt_tokens = 4: every prompt is longer, the shortest has 12 tokens; raise it"
    )


def test_answers_that_no_verifier_can_parse(from_file: Path) -> None:
    data = from_file.parent / "data.jsonl"
    data.write_text(json.dumps({"question": "Prove it.", "answer": "see the proof above"}) + "\n")
    assert fails(from_file) == (
        f"data.path = '{data}': all 1 answers are unusable; line 1: no verifier can parse the answer "
        "'see the proof above' (the reference answer cannot be parsed)"
    )


def test_one_such_answer_among_others_is_quarantined_and_the_run_goes_on(
    from_file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    data = from_file.parent / "data.jsonl"
    rows = [*QUESTIONS, {"question": "Prove it.", "answer": "see the proof above"}]
    data.write_text("".join(json.dumps(row) + "\n" for row in rows) + "not json\n")
    with caplog.at_level(logging.INFO, logger="r1zero"):
        r1zero("train", from_file, "run.steps=1")
    run = from_file.parent / "run"
    kept = [json.loads(line) for line in (run / "quarantine.jsonl").read_text().splitlines()]
    assert {row["line"]: row["reason"] for row in kept} == {
        3: "no verifier can parse the answer 'see the proof above' (the reference answer cannot be parsed)",
        4: "not valid JSON: Expecting value: line 1 column 1 (char 0)",
    }
    assert "2 rows are not used" in caplog.text


def test_model_path_that_does_not_exist(recipe: Path) -> None:
    message = fails(recipe, "model.path=./no/such/model")
    assert message.startswith("model.path = './no/such/model': no such folder, and not a model the hub gives: ")
    assert message.endswith("; `r1zero model list` shows what r1zero brings")


def test_no_write_permission_on_the_run_folder(recipe: Path, tmp_path: Path) -> None:
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o500)
    where = "/proc/r1zero-run" if os.access(locked, os.W_OK) else f"{locked}/run"  # nothing is locked to root
    message = fails(recipe, f"run.dir={where}")
    assert message.startswith(f"run.dir = '{where}': cannot be written: ")
    assert message.endswith("; choose another folder")


def test_run_folder_is_a_file(recipe: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert fails(recipe, f"run.dir={tmp_path}/file") == f"run.dir = '{tmp_path}/file': is a file; choose another folder"


def test_existing_run_folder_without_resume(recipe: Path, tmp_path: Path) -> None:
    r1zero("train", recipe, "run.steps=0")
    assert fails(recipe) == (
        f"run.dir = '{tmp_path}/run': holds a run already; continue it with --resume or choose another folder"
    )


def test_sequence_longer_than_the_models_context(recipe: Path) -> None:
    assert fails(recipe, "rollout.max_new_tokens=4000", "trainer.tokens_per_pack=5000") == (
        "rollout.max_new_tokens = 4000: with data.max_prompt_tokens = 16 a sequence may have 4016 tokens, but the "
        "model's context is 256"
    )


def test_a_cache_too_small_for_the_longest_prompt_or_the_evaluation(from_file: Path) -> None:
    """Found before anything is sampled, though the first step's prompts might fit."""
    folder = from_file.parent
    rows = [*QUESTIONS, {"question": "+".join(["11"] * 14) + "=?", "answer": "154"}]
    (folder / "data.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "test.jsonl").write_text(json.dumps({"question": "11+22+34=?", "answer": "67"}) + "\n")
    from_file.write_text(from_file.read_text() + f"evaluation: {{path: '{folder}/test.jsonl', samples: 8}}\n")
    lengths = ["data.max_prompt_tokens=64", "rollout.max_new_tokens=8", "trainer.prompts_per_step=1"]
    needed = fails(from_file, *lengths, "rollout.kv_cache_gib=1e-6")
    assert needed.startswith(
        "rollout.kv_cache_gib = 1e-06: one group of 4 samples with 45 prompt and 8 new tokens needs "
    )
    gib = float(needed.split(" needs ")[1].split()[0]) / (45 + 4 * 8)  # a token's
    message = fails(from_file, *lengths, f"rollout.kv_cache_gib={gib * 60}")
    assert "one group of 4 samples with 45 prompt and 8 new tokens needs" in message
    message = fails(from_file, *lengths, f"rollout.kv_cache_gib={gib * 79}", "evaluation.samples=9")
    assert "one group of 9 samples with 12 prompt and 8 new tokens needs" in message
    assert not list((folder / "run").glob("rollouts/*"))


def test_device_that_is_not_there(recipe: Path) -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("this machine has one")
    assert fails(recipe, "run.device=cuda") == "run.device = 'cuda': not available here; available: cpu"


def test_every_training_question_held_out(from_file: Path) -> None:
    text = from_file.read_text() + f"evaluation: {{path: '{from_file.parent}/data.jsonl'}}\n"
    from_file.write_text(text)
    assert fails(from_file) == (
        f"data.path = '{from_file.parent}/data.jsonl': every training question is in the evaluation set too"
    )


def test_evaluate_without_an_evaluation_section(recipe: Path) -> None:
    assert fails(recipe, command="evaluate") == "recipe.yaml: has no evaluation section; add evaluation.path=..."


def test_a_hostile_answer_is_a_timeout_and_the_run_continues(tmp_path: Path) -> None:
    """An engine whose answer holds the verifier for ever: verdict `timeout`, counted, and training goes on."""
    from r1zero.base import device
    from r1zero.config import Recipe, load
    from r1zero.grading.pool import ScorerPool
    from r1zero.rl.loop import train
    from r1zero.rl.parts import rl_parts
    from r1zero.run.folder import RunFolder
    from r1zero.run.interrupt import Stop
    from r1zero.run.session import Session

    from ..fakes import ScriptedEngine

    stuck = f"{Path(__file__).parents[1] / 'grading' / 'stuck.py'}:stuck"
    changes = ["rewards.timeout_seconds=1", f"rewards.verifier_function=['{stuck}']", "rewards.verifier_weight=[1.0]"]
    changes += ["run.steps=2", "trainer.prompts_per_step=1"]
    recipe = load(Recipe, write_recipe(tmp_path), changes)
    folder = RunFolder.create(tmp_path / "run", resume=False)
    chosen = device.select("cpu", "fp32", threads=1)
    with Stop() as stop, ScorerPool.of(recipe.rewards) as pool:
        parts = rl_parts(recipe, chosen, pool, folder.quarantine_rows)
        engine = ScriptedEngine(
            parts.trainer.tokenizer, ["\\boxed{9^{9^{9^{9}}}}", "\\boxed{66}", "\\boxed{1}", "no box"]
        )
        object.__setattr__(parts.rollouts, "engine", engine)
        with Session(recipe, folder, chosen, parts, stop, parts.stream.fingerprints) as session:
            train(parts, session)
    steps = metrics(tmp_path / "run")
    assert [record["verdict/timeout"] for record in steps] == [1, 1]
    assert [record["verdict/graded"] for record in steps] == [3, 3]
    record = json.loads((tmp_path / "run" / "rollouts" / "step_000001.jsonl").read_text().splitlines()[0])
    assert [rollout["verdict"] for rollout in record["rollouts"]] == ["timeout", "graded", "graded", "graded"]
    assert record["rollouts"][0]["detail"] == f"{stuck}: no verdict within 1 s"
