"""`r1zero grade`: verdicts, disagreements, labels, slowest items."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from r1zero.base.errors import UsageError
from r1zero.cli.main import app

ROWS = [
    {"id": "a", "gold": "4", "answer": "\\boxed{4}", "expected": True},
    {"id": "b", "gold": "4", "answer": "so it is 4", "expected": True},
    {"id": "c", "gold": 4, "answer": "\\boxed{5}", "expected": False},
    {"id": "d", "gold": "see the proof above", "answer": "\\boxed{5}", "expected": True},
]


def run(*arguments: str) -> str:
    result = CliRunner().invoke(app, ["grade", *arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "answers.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return str(path)


def test_table_and_rows(file: str, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    printed = run(
        file, "--gold-column", "gold", "--response-column", "answer", "--verifier", "math", "--json", str(out)
    )
    assert printed.splitlines()[1].split() == ["math", "4", "2", "1", "1", "0", "0", "0.5000"]
    assert "slowest items" in printed
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert [(row["id"], row["verdict"], row["value"]) for row in rows] == [
        ("a", "graded", 1.0),
        ("b", "graded", 1.0),
        ("c", "graded", 0.0),
        ("d", "unverifiable", 0.0),
    ]
    assert all(0 < row["seconds"] < 60 for row in rows)


def test_disagreements_and_labels(file: str, tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    options = ["--verifier", "math", "--verifier", "acc", "--label-column", "expected", "--json", str(out)]
    printed = run(file, *options)
    assert "math and acc disagree: 1\n  b  math 1 graded, acc -1 graded  gold '4'  response 'so it is 4'" in printed
    assert "math against the labels: 0.7500 of 4 agree, 0 false positives, 1 false negatives" in printed
    rows = json.loads(out.read_text())
    assert set(rows[0]["verifiers"]) == {"math", "acc"} and rows[1]["verifiers"]["acc"]["value"] == -1.0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--gold-column", "golt"], ":1: --gold-column 'golt': no such column; did you mean 'gold'?"),
        (["--verifier", "mat"], "unknown verifier; did you mean 'math'?"),
        (
            ["--label-column", "gold"],
            ":4: --label-column 'gold' = 'see the proof above': must be true or false, 1 or 0",
        ),
    ],
)
def test_mistakes(file: str, options: list[str], message: str, tmp_path: Path) -> None:
    if "--label-column" in options:
        Path(file).write_text(
            Path(file).read_text().replace('"gold": "4"', '"gold": "1"').replace('"gold": 4', '"gold": 1')
        )
    with pytest.raises(UsageError) as caught:
        CliRunner().invoke(app, ["grade", file, *options], catch_exceptions=False)
    assert message in str(caught.value)
