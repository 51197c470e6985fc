"""docs/extend.md is true: its package, laid out as pip would install it, trains with one of each kind it adds."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from r1zero.grading import contained

from .recipes import write_recipe

PAGE = Path(__file__).parents[1] / "docs" / "extend.md"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder to put on the path: the page's files, and the entry points of its pyproject.toml."""
    folder = tmp_path_factory.mktemp("site")
    folder.chmod(0o755)
    blocks = re.findall(r"```(?:python|toml)\n# (\S+)\n(.*?)```", PAGE.read_text(), re.DOTALL)
    for name, text in blocks:
        file = folder / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)
    (folder / "my_r1zero" / "__init__.py").touch()
    project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    info = folder / "my_r1zero-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: 1.0\n")
    lines = [
        "\n".join([f"[{group}]", *(f"{name} = {value}" for name, value in entries.items())])
        for group, entries in project["entry-points"].items()
    ]
    (info / "entry_points.txt").write_text("\n".join(lines) + "\n")
    return folder


def r1zero(installed: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    code = "import sys; from r1zero.cli.main import main; sys.exit(main())"
    environment = {**os.environ, "PYTHONPATH": str(installed)}
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.skipif(bool(contained.unavailable()), reason="no container for other people's verifiers here")
def test_a_run_with_one_of_each(tmp_path: Path, installed: Path) -> None:
    (tmp_path / "sums.pairs").write_text("\n\n".join(f"What is {n} + 1?\n{n + 1}" for n in range(10, 40)) + "\n")
    recipe = write_recipe(tmp_path)
    changes = [
        *("run.steps=1", "algorithm.name=raft", "algorithm.kl=null", "rollout.engine=counted", "logging.sinks=[tsv]"),
        *("rewards.verifier_function=[base_acc,short_answer]", "rewards.verifier_weight=[1.0,0.5]"),
        *(f"data.path={tmp_path}/sums.pairs", "data.options={}", "data.split=train", "data.max_prompt_tokens=32"),
        *("evaluation.path=r1zero:squares", "evaluation.split=test", "evaluation.options={count: 3}"),
    ]
    done = r1zero(installed, "train", recipe, *changes)
    assert done.returncode == 0, done.stderr
    written = (tmp_path / "run" / "metrics.tsv").read_text()
    lines = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    record = next(record for record in map(json.loads, lines) if "seconds/step" in record)
    assert "1\treward/short_answer\t" in written and "reward/short_answer" in record
    assert record["verdict/error"] == 0
    questions = (tmp_path / "run" / "evaluations" / "step_000000.jsonl").read_text()
    assert "What is 5 times 5?" in questions and "30 prompts from" in done.stderr + done.stdout
    shown = r1zero(installed, "tail", tmp_path / "run")
    assert shown.returncode == 0 and "evaluation/problems" in shown.stdout, shown.stderr


def test_an_objective_of_a_package(tmp_path: Path, installed: Path) -> None:
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps({"text": f"{n} + 1 = {n + 1}"}) + "\n" for n in range(20)))
    changes = [
        *(
            f"run.dir={tmp_path}/run",
            "run.steps=2",
            f"data.path={tmp_path}/rows.jsonl",
            "model.path=tiny",
            "data.layout=text",
            "data.max_tokens=64",
        ),
        "objective.name=likelihood",
    ]
    done = r1zero(installed, "train", "pretrain_indexed_smollm2", *changes)
    assert done.returncode == 0, done.stderr
    assert "nll" in (tmp_path / "run" / "metrics.jsonl").read_text()


def test_a_package_that_is_broken_is_named(tmp_path: Path, installed: Path) -> None:
    (tmp_path / "broken-2.0.dist-info").mkdir()
    (tmp_path / "broken-2.0.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: broken\nVersion: 2.0\n")
    entries = "[r1zero.algorithms]\nbad = nowhere:bad\n[r1zero.commands]\nbad = nowhere:bad\ntrain = nowhere:bad\n"
    (tmp_path / "broken-2.0.dist-info" / "entry_points.txt").write_text(entries)
    done = r1zero(tmp_path, "train", write_recipe(tmp_path), "algorithm.name=bad")
    said = "broken: entry point r1zero.algorithms:bad = 'nowhere:bad' cannot be loaded: ModuleNotFoundError"
    assert done.returncode == 2 and said in done.stderr
    assert "r1zero has a command of this name" in done.stdout + done.stderr
    (tmp_path / "broken-2.0.dist-info" / "entry_points.txt").write_text("[r1zero.readers]\njsonl = nowhere:bad\n")
    done = r1zero(tmp_path, "train", write_recipe(tmp_path))
    assert done.returncode == 2
    assert "broken: entry point r1zero.readers:jsonl: r1zero has one of this name; rename it" in done.stderr


@pytest.mark.parametrize(("change", "said"), [
    ("rollout.engine=nativ", "rollout.engine = 'nativ': unknown engine; did you mean 'native'"),
    ("logging.sinks=[tensorbord]", "logging.sinks = 'tensorbord': unknown sink; did you mean 'tensorboard'"),
])  # fmt: skip
def test_unknown_names(tmp_path: Path, change: str, said: str) -> None:
    done = r1zero(tmp_path, "train", write_recipe(tmp_path), change)
    assert done.returncode == 2 and said in done.stderr


def test_a_reader_that_fails_says_where(tmp_path: Path, installed: Path) -> None:
    (tmp_path / "sums.pairs").write_text("What is 1 + 1?\n2\n\nno answer\n")
    done = r1zero(installed, "train", write_recipe(tmp_path), f"data.path={tmp_path}/sums.pairs", "data.options={}")
    assert done.returncode == 2 and "the reader of .pairs files failed after row 1: ValueError" in done.stderr
