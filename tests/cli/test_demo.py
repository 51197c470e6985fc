"""The demo: what it writes, and (slow) what it promises."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ..recipes import r1zero

KEYS = {
    "model",
    "base_accuracy",
    "final_accuracy",
    "base_greedy_accuracy",
    "final_greedy_accuracy",
    "base_response_length",
    "final_response_length",
    "base_reflection_rate",
    "final_reflection_rate",
    "heldout_problems",
    "rl_seconds",
    "total_seconds",
    "rl_steps",
    "seed",
}
SHORT = ("run.threads=1", "run.steps=2", "evaluation.options.count=12", "trainer.prompts_per_step=4")


def test_short_demo(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = tmp_path / "demo"
    r1zero("demo", "--tiny", f"run.dir={run}", "run.seed=3", *SHORT)
    summary = json.loads((run / "summary.json").read_text())
    assert summary.keys() == KEYS
    assert (summary["model"], summary["seed"], summary["heldout_problems"]) == ("tiny", 3, 12)
    assert summary["rl_steps"] == 2 and 0 < summary["rl_seconds"] < 120
    printed = capsys.readouterr().out
    assert "before" in printed and "after" in printed and "final_accuracy" in printed
    assert (run / "report.html").stat().st_size > 10_000

    r1zero("demo", "--tiny", f"run.dir={run}", "run.seed=4", *SHORT)
    assert json.loads((run / "summary.json").read_text())["seed"] == 4
    assert json.loads((tmp_path / "demo.1" / "summary.json").read_text())["seed"] == 3, "an older demo is kept"


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1])
def test_the_miniature_learns_to_think(tmp_path: Path, seed: int) -> None:
    r1zero("demo", "--tiny", f"run.dir={tmp_path}/demo", f"run.seed={seed}")
    summary = json.loads((tmp_path / "demo" / "summary.json").read_text())
    assert summary["base_accuracy"] <= 0.40 and summary["base_greedy_accuracy"] <= 0.50
    assert summary["final_accuracy"] >= 0.90 and summary["final_greedy_accuracy"] >= 0.95
    assert summary["final_response_length"] >= 1.5 * summary["base_response_length"]
    assert summary["final_reflection_rate"] > summary["base_reflection_rate"]


@pytest.mark.slow
def test_pretraining_makes_a_model_that_rl_can_start_from(tmp_path: Path) -> None:
    """A shorter run of the recipe that made the shipped base learns the same text."""
    r1zero("pretrain", "tiny_base", f"run.dir={tmp_path}/base", "run.steps=300", "data.options.count=20000")
    losses = [json.loads(line)["loss"] for line in (tmp_path / "base" / "metrics.jsonl").read_text().splitlines()]
    assert losses[0] > 5 and losses[-1] < 1.1
    r1zero("model", "export", f"{tmp_path}/base", f"{tmp_path}/model")
    r1zero("train", "demo_tiny", f"model.path={tmp_path}/model", f"run.dir={tmp_path}/run", "run.steps=1")
