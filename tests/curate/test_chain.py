"""The chain from files to a published data set: what is in it, what is not, and why."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from r1zero.base.errors import UsageError
from r1zero.config import CurateRecipe, Recipe, load
from r1zero.curate.chain import curate
from r1zero.run import store

from ..recipes import TINY, r1zero

pytest.importorskip("datasketch")
pytest.importorskip("py3langid")

SUMS = [
    {"question": f"Tim has {n} apples and gets {n} more from his sister. How many are there?", "answer": str(2 * n)}
    for n in range(10, 20)
]
BAD = [
    {"question": "Tim has 10 apples and gets 10 more from his  sister. How many are there?", "answer": "20"},
    {"question": "Tim has 11 apples and gets 11 more from his big sister. How many are there?", "answer": "22"},
    {"question": "Wie viele Äpfel hat Tim, wenn ihm seine Schwester noch 4 davon gibt?", "answer": "4"},
    {"question": "Name a colour. (A) red (B) blue (C) green", "answer": "B"},
    {"question": "What is Tim's life about, in your opinion?", "answer": "see how the story goes on"},
    {"question": "Simplify $\\sqrt{242}$ please.", "answer": "11\\sqrt{2}"},
    {"question": "x", "answer": "1"},
]
STEPS = """
  - {step: schema}
  - {step: language}
  - {step: verifiable, workers: 1}
  - {step: exact_duplicates}
  - {step: near_duplicates}
  - {step: decontaminate, against: [{path: FOLDER/test.jsonl}]}
"""


def write(file: Path, rows: list[dict[str, Any]], *further: str) -> None:
    file.write_text("".join(json.dumps(row) + "\n" for row in rows) + "".join(f"{line}\n" for line in further))


def rows(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()]


def recipe(folder: Path, steps: str = STEPS, sources: str = "- {path: FOLDER/sums.jsonl}") -> Path:
    path = folder / "curate.yaml"
    text = f"run: {{dir: FOLDER/out}}\nsources:\n  {sources}\nsteps:{steps}"
    path.write_text(text.replace("FOLDER", str(folder)))
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write(tmp_path / "sums.jsonl", [*SUMS, *BAD], "not json")
    write(tmp_path / "test.jsonl", [{"question": "Simplify $\\sqrt{242}$.", "answer": "11\\sqrt{2}"}])
    return tmp_path


def test_the_page_of_a_curation(folder: Path) -> None:
    write(folder / "sums.jsonl", [*SUMS, *BAD, {"question": "<script>x</script>", "answer": "1"}], "not json")
    r1zero("curate", recipe(folder))
    page = (folder / "out" / "curated" / "report.html").read_text()
    report = json.loads((folder / "out" / "curated" / "report.json").read_text())
    assert "<script>" not in page and "&lt;script&gt;x" in page
    assert "1 row: not valid JSON: Expecting value: line 1 column 1 (char 0)" in page
    for number, step in enumerate(report["steps"], start=1):
        counts = (step["before"], step["after"], step["before"] - step["after"])
        cells = "".join(f"<td class='number'>{count}</td>" for count in counts)
        assert f"<td>step {number}: {step['step']}</td>{cells}" in page
        assert all(f"{count} row{'s' * (count > 1)}: {reason}" in page for reason, count in step["reasons"].items())
    assert "Simplify $\\sqrt{242}$ please." in page and f"like {folder}/test.jsonl:1: Simplify" in page
    hashes = [entry["sha256"] for kind in ("inputs", "evaluation_sets", "outputs") for entry in report[kind]]
    assert len(hashes) == 3 and all(digest in page for digest in hashes)
    assert "max_answer_characters = " in page and "sums, problem 11" in page and "<mark>1</mark>" in page


def test_every_step_takes_out_its_own_and_says_why(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    r1zero("curate", recipe(folder))
    out = folder / "out" / "curated"
    store.verify(out)
    kept = rows(out / "sums.jsonl")
    assert [(row["question"], row["answer"]) for row in kept] == [(row["question"], row["answer"]) for row in SUMS]
    assert kept[3]["source"] == str(folder / "sums.jsonl") and kept[3]["line"] == 4
    removed = {
        file.stem: [(row["line"], row["reason"]) for row in rows(file)] for file in sorted((out / "removed").iterdir())
    }
    assert removed == {
        "00_unreadable": [(18, "not valid JSON: Expecting value: line 1 column 1 (char 0)")],
        "01_schema": [(17, "question too short")],
        "02_language": [(13, "language de")],
        "03_verifiable": [(14, "multiple choice"), (15, "no verifier can judge the answer")],
        "04_exact_duplicates": [(11, "repeats an earlier question")],
        "05_near_duplicates": [(12, "nearly an earlier question")],
        "06_decontaminate": [(16, "in test")],
    }
    report = json.loads((out / "report.json").read_text())
    assert [(step["step"], step["before"], step["after"]) for step in report["steps"]] == [
        ("schema", 17, 16),
        ("language", 16, 15),
        ("verifiable", 15, 13),
        ("exact_duplicates", 13, 12),
        ("near_duplicates", 12, 11),
        ("decontaminate", 11, 10),
    ]
    assert report["inputs"][0]["rows"] == 18 and len(report["inputs"][0]["sha256"]) == 64
    example = report["steps"][5]["examples"][0]
    assert (
        example["question"] == "Simplify $\\sqrt{242}$ please."
        and example["like"]["question"] == "Simplify $\\sqrt{242}$."
    )
    printed = capsys.readouterr().out
    assert printed == (out / "report.txt").read_text()
    assert "in test\n" in printed and f"like {folder}/test.jsonl:1 Simplify $\\sqrt{{242}}$." in printed


def test_the_result_is_complete_or_absent_and_not_overwritten(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = load(CurateRecipe, recipe(folder))

    def fail(*_: object) -> None:
        raise OSError("disk full")

    with monkeypatch.context() as patched:
        patched.setattr("r1zero.curate.report.write_report", fail)
        with pytest.raises(OSError, match="disk full"):
            curate(settings)
    assert not (folder / "out" / "curated").exists()
    assert curate(settings) == folder / "out" / "curated"
    with pytest.raises(UsageError, match="holds a curated data set already; choose another folder"):
        curate(settings)


def test_the_same_input_gives_the_same_bytes(folder: Path) -> None:
    first = curate(load(CurateRecipe, recipe(folder)))
    second = curate(load(CurateRecipe, recipe(folder), [f"run.dir={folder}/again"]))
    for name in ("sums.jsonl", *(f"removed/{file.name}" for file in (first / "removed").iterdir())):
        assert (first / name).read_bytes() == (second / name).read_bytes()


def test_open_r1_mode_of_the_step(folder: Path) -> None:
    steps = "\n  - {step: decontaminate, mode: open_r1, ngram: 3, against: [{path: FOLDER/test.jsonl}]}\n"
    write(folder / "test.jsonl", [{"question": "who has 12 apples and why", "answer": "1"}])
    out = curate(load(CurateRecipe, recipe(folder, steps)))
    assert [row["line"] for row in rows(out / "removed" / "01_decontaminate.jsonl")] == [3]


def test_buckets_and_weights_become_sources_of_a_training_recipe(folder: Path) -> None:
    levels = [{**row, "level": n % 5} for n, row in enumerate(SUMS)]
    write(folder / "sums.jsonl", levels)
    (folder / "b").mkdir()
    write(folder / "b" / "sums.jsonl", levels[:5])
    sources = (
        "- {path: FOLDER/sums.jsonl, weight: 3}\n  - {path: FOLDER/b/sums.jsonl, weight: 1, verifiers: {acc: 2.0}}"
    )
    steps = "\n  - {step: difficulty, column: level, edges: [1, 3], names: [easy, middle, hard], weights: [1, 2, 1]}\n"
    out = curate(load(CurateRecipe, recipe(folder, steps, sources)))
    assert len(rows(out / "sums-0-middle.jsonl")) == 4
    text = TINY.replace("path: r1zero:sums", "shuffle: true").split("\n")
    train = out / "train.yaml"
    train.write_text("defaults: [sources]\n" + "\n".join(line for line in text if "options:" not in line))
    mixed = load(Recipe, train).data.sources
    assert [Path(source.path).name for source in mixed] == [
        f"sums-{number}-{name}.jsonl" for number in (0, 1) for name in ("easy", "middle", "hard")
    ]
    assert [source.weight for source in mixed] == [0.75, 1.5, 0.75, 0.25, 0.5, 0.25]
    assert [source.verifiers for source in mixed] == [{}] * 3 + [{"acc": 2.0}] * 3


def message(folder: Path, steps: str = STEPS, *overrides: str) -> str:
    with pytest.raises(UsageError) as caught:
        curate(load(CurateRecipe, recipe(folder, steps), overrides))
    return str(caught.value).replace(str(folder), "FOLDER")


def test_mistakes(folder: Path) -> None:
    assert message(folder, STEPS, "steps.2.verifier=acct") == (
        "steps.2.verifier = 'acct': unknown verifier; did you mean 'acc'?"
    )
    assert message(folder, "\n  - {step: language, languages: [xq]}\n").startswith(
        "steps.0 (language): languages = 'xq': unknown language code"
    )
    assert message(folder, STEPS, "run.max_bad_fraction=0.01") == (
        "sources.0.path = 'FOLDER/sums.jsonl': 1 of 18 rows cannot be read, more than run.max_bad_fraction = 0.01; "
        "line 18: not valid JSON: Expecting value: line 1 column 1 (char 0)"
    )
    assert message(folder, "\n  - {step: schema, min_characters: 500}\n") == (
        "steps.0 (schema): no problem is left; it took out: 17 question too short"
    )
    assert message(folder, "\n  - {step: difficulty, column: level, edges: [1], names: [a, b]}\n").startswith(
        "steps.0 (difficulty): column = 'level': no problem has it"
    )
    assert message(folder, "\n  - {step: similar, model: ./nowhere}\n").startswith(
        "steps.0 (similar): model = './nowhere': no such folder, and not a model the hub gives: "
    )
    write(folder / "test.jsonl", [{"question": "?", "answer": ""}, {"question": "?", "answer": "1"}])
    assert message(folder) == (
        "steps.5 (decontaminate): against.0.path = 'FOLDER/test.jsonl': row 1 cannot be read: column 'answer' is empty"
        "; mend it or leave it out"
    )


def test_mistakes_in_the_recipe_are_found_before_any_work(folder: Path) -> None:
    def conflict(steps: str) -> str:
        with pytest.raises(UsageError) as caught:
            load(CurateRecipe, recipe(folder, steps))
        return str(caught.value).replace(str(folder), "FOLDER")

    assert conflict("\n  - {step: schema, min_chars: 3}\n") == (
        "FOLDER/curate.yaml:5: steps.0.min_chars = 3: unknown key; did you mean 'min_characters'?"
    )
    assert conflict("\n  - {step: decontaminte}\n") == (
        "FOLDER/curate.yaml:5: steps.0.step = 'decontaminte': unknown step; did you mean 'decontaminate'?"
    )
    assert conflict("\n  - {step: decontaminate, against: [{pth: x}]}\n").splitlines() == [
        "FOLDER/curate.yaml:5: steps.0.against.0.path: missing; add it",
        "FOLDER/curate.yaml:5: steps.0.against.0.pth = 'x': unknown key; did you mean 'path'?",
    ]
    assert conflict("\n  - {step: pass_rate, recipe: x, low: 0.5, high: 0.5}\n") == (
        "FOLDER/curate.yaml:5: steps.0.low = 0.5: nothing lies between it and high = 0.5; lower it"
    )
    assert "steps.0.names = ('a', 'b'): must be 3 different names" in conflict(
        "\n  - {step: difficulty, edges: [1, 2], names: [a, b]}\n"
    )
