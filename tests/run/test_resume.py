"""A run that was killed and resumed ends with the same bits as one that was not."""

from __future__ import annotations

import json
import logging
import signal
from pathlib import Path

import pytest

from ..recipes import TINY, events, metrics, r1zero, signal_when, start, write_recipe

UPDATES = TINY.replace("prompts_per_step: 4", "prompts_per_step: 4, minibatches: 2, epochs: 2")
# the first source has fewer problems than its share of the prompts, so an epoch of it ends inside the run
SOURCES = """\
  sources:
    - {path: FIRST, weight: 3}
    - {path: SECOND, weight: 1, verifiers: {base_acc: 2.0}}
  curriculum: [{after_prompts: 6, weights: [1, 1]}]
"""


def write_mixed(folder: Path) -> Path:
    """A recipe that mixes two files of sums, with verifiers of its own for the second."""
    for name, size, low in (("first", 7, 10), ("second", 20, 50)):
        rows = ({"question": f"{n}+{low}+33=?", "answer": str(n + low + 33)} for n in range(11, 11 + size))
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    sources = SOURCES.replace("FIRST", f"{folder}/first.jsonl").replace("SECOND", f"{folder}/second.jsonl")
    lines = [line for line in UPDATES.split("\n") if "options:" not in line and "path: r1zero" not in line]
    return write_recipe(folder, "\n".join(lines).replace("data:\n", f"data:\n{sources}"))


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("undisturbed")
    r1zero("train", write_recipe(folder, UPDATES))
    return folder / "run"


def assert_same_end(run: Path, other: Path) -> None:
    last = "checkpoints/step_000004"
    for name in ("model.safetensors", "optimizer.safetensors", "state.json", "rng.json", "rng.safetensors"):
        assert (run / last / name).read_bytes() == (other / last / name).read_bytes(), name
    for step in range(1, 5):
        name = f"rollouts/step_{step:06d}.jsonl"
        assert (run / name).read_text() == (other / name).read_text()
    timed = ("seconds/", "peak_memory", "tokens_per_second/", "gflops/", "gemm_share/")
    left, right = (
        [{key: value for key, value in record.items() if not key.startswith(timed)} for record in metrics(folder)]
        for folder in (run, other)
    )
    assert left == right and [record["step"] for record in left] == [1, 2, 3, 4]


# killed while the first rollouts are sampled, inside a step's updates, and while a checkpoint is written
@pytest.mark.parametrize("moment", ["events.jsonl", "rollouts/step_000002.jsonl", "checkpoints/.tmp-step_000003"])
def test_sigkill_anywhere_and_resume_gives_the_same_bits(undisturbed: Path, tmp_path: Path, moment: str) -> None:
    recipe = write_recipe(tmp_path, UPDATES)
    process = start("train", recipe)
    signal_when(process, tmp_path / "run" / moment, signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    r1zero("train", recipe, "--resume")
    assert_same_end(undisturbed, tmp_path / "run")


def test_several_sources_go_on_at_the_exact_position(tmp_path: Path) -> None:
    for name in ("whole", "killed"):
        (tmp_path / name).mkdir()
    r1zero("train", write_mixed(tmp_path / "whole"))
    recipe = write_mixed(tmp_path / "killed")
    process = start("train", recipe)
    signal_when(process, tmp_path / "killed" / "run" / "rollouts" / "step_000003.jsonl", signal.SIGKILL)
    r1zero("train", recipe, "--resume")
    assert_same_end(tmp_path / "whole" / "run", tmp_path / "killed" / "run")
    seen = []
    for step in range(1, 5):
        lines = (tmp_path / "killed" / "run" / f"rollouts/step_{step:06d}.jsonl").read_text().splitlines()
        seen += [json.loads(line) for line in lines]
    sources = [group["problem"].split(":")[0].split("/")[1] for group in seen]
    assert [sources[:6].count(name) for name in ("first", "second")] in ([4, 2], [5, 1])
    assert [sources[6:].count(name) for name in ("first", "second")] == [5, 5]
    first = [group["problem"] for group, source in zip(seen, sources, strict=True) if source == "first"]
    assert len(set(first[:7])) == 7 and len(first) > 7, "an epoch of a source shows every problem once"
    parts = {source: set(group["rollouts"][0]["parts"]) for group, source in zip(seen, sources, strict=True)}
    assert parts == {"first": {"base_acc", "strict_format"}, "second": {"base_acc"}}


def test_a_damaged_checkpoint_is_named_and_the_one_before_used(
    undisturbed: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    recipe = write_recipe(tmp_path, UPDATES)
    r1zero("train", recipe, "run.steps=3")
    file = tmp_path / "run" / "checkpoints" / "step_000003" / "optimizer.safetensors"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    with caplog.at_level(logging.INFO, logger="r1zero"):
        r1zero("train", recipe, "--resume")
    assert "damaged checkpoint passed over" in caplog.text
    assert "optimizer.safetensors has changed: its SHA-256 differs" in caplog.text
    assert "resuming after step 2 " in caplog.text
    assert "damaged checkpoint" in events(tmp_path / "run")
    assert_same_end(undisturbed, tmp_path / "run")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupt_saves_stops_cleanly_and_loses_nothing(
    undisturbed: Path, tmp_path: Path, number: signal.Signals
) -> None:
    recipe = write_recipe(tmp_path, UPDATES.replace("save_every: 1", "save_every: 0"))
    process = start("train", recipe)
    said = signal_when(process, tmp_path / "run" / "rollouts" / "step_000002.jsonl", number)
    assert process.returncode == 130, said
    assert "stopped after step" in said and "continue with --resume" in said
    assert "Traceback" not in said
    happened = events(tmp_path / "run")
    assert happened[0] == "started" and happened[-1] == "interrupted"
    r1zero("train", recipe, "--resume")
    assert_same_end(undisturbed, tmp_path / "run")


def test_a_changed_setting_is_said_aloud_on_resume(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    recipe = write_recipe(tmp_path)
    r1zero("train", recipe, "run.steps=1")
    with caplog.at_level(logging.INFO, logger="r1zero"):
        r1zero("train", recipe, "run.steps=2", "trainer.lr=1e-4", "--resume")
    assert "resuming with run.steps = 2; the run began with 1" in caplog.text
    assert "resuming with trainer.lr = 0.0001; the run began with 0.0003" in caplog.text
    assert [record["step"] for record in metrics(tmp_path / "run")] == [1, 2]
