"""Rows from every kind of source, and what happens to bad ones."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet
import pytest

from r1zero.base.errors import UsageError
from r1zero.config import Source
from r1zero.config.data import Columns
from r1zero.data.problems import to_problems
from r1zero.data.read import sources
from r1zero.types import Message

ROWS = [{"question": "1+1?", "answer": "2"}, {"question": "2+2?", "answer": 4.0}]


def read(path: Path | str, **settings: object) -> list[tuple[str, str]]:
    source = Source(path=str(path), **settings)  # pyright: ignore[reportArgumentType]
    problems, _ = to_problems(sources.read(source), source)
    return [(problem.text, problem.answer) for problem in problems]


def test_the_same_rows_from_every_file_type(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text("\n".join(json.dumps(row) for row in ROWS) + "\n\n")
    (tmp_path / "a.json").write_text(json.dumps(ROWS))
    (tmp_path / "a.csv").write_text('question,answer\n"1+1?",2\n"2+2?",4\n')
    pyarrow.parquet.write_table(
        pa.Table.from_pylist([{**row, "answer": str(row["answer"])} for row in ROWS]), tmp_path / "a.parquet"
    )
    expected = [("1+1?", "2"), ("2+2?", "4")]
    assert read(tmp_path / "a.jsonl") == read(tmp_path / "a.json") == read(tmp_path / "a.csv") == expected
    assert read(tmp_path / "a.parquet") == [("1+1?", "2"), ("2+2?", "4.0")]


def test_limit_columns_and_marker(tmp_path: Path) -> None:
    rows = [{"q": f"{n}?", "solution": f"so #### it is\n#### {n}"} for n in range(5)]
    (tmp_path / "a.json").write_text(json.dumps(rows))
    columns = Columns(question="q", answer="solution")
    assert read(tmp_path / "a.json", columns=columns, answer_after="####", limit=2) == [("0?", "0"), ("1?", "1")]


def test_chat_questions(tmp_path: Path) -> None:
    chat = [{"role": "system", "content": "s"}, {"role": "user", "content": "u"}]
    (tmp_path / "a.json").write_text(json.dumps([{"question": chat, "answer": "1"}]))
    source = Source(path=str(tmp_path / "a.json"))
    problems, _ = to_problems(sources.read(source), source)
    assert problems[0].question == (Message("system", "s"), Message("user", "u")) and problems[0].text == "u"


def test_bad_rows_are_rejected_with_line_and_reason(tmp_path: Path) -> None:
    lines = [
        json.dumps(ROWS[0]).encode(),
        b'{"question": "broken',
        b"[1, 2]",
        b'{"question": "no answer?"}',
        b'{"question": "empty?", "answer": "  "}',
        b'{"question": "", "answer": "1"}',
        b'{"question": "list?", "answer": [1]}',
        b'{"question": "\xff\xfe", "answer": "1"}',
        b'{"question": [{"role": "assistant", "content": "x"}], "answer": "1"}',
        json.dumps(ROWS[1]).encode(),
    ]
    (tmp_path / "a.jsonl").write_bytes(b"\n".join(lines))
    source = Source(path=str(tmp_path / "a.jsonl"))
    problems, rejected = to_problems(sources.read(source), source)
    assert [problem.line for problem in problems] == [1, 10]
    reasons = {row.line: row.reason for row in rejected}
    assert reasons[2].startswith("not valid JSON: Unterminated string")
    assert reasons[3] == "a row must be an object, found list"
    assert reasons[4] == "column 'answer' is missing"
    assert reasons[5] == "column 'answer' is empty"
    assert reasons[6] == "column 'question' is empty"
    assert reasons[7] == "column 'answer' must be text or a number, found list"
    assert reasons[8].startswith("not valid JSON: 'utf-8' codec")
    assert reasons[9] == "column 'question' is a chat that does not end with a user's message"


def test_a_first_row_without_the_column_is_one_bad_row(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps([{"question": "?"}, *ROWS]))
    assert read(tmp_path / "a.json") == [("1+1?", "2"), ("2+2?", "4")]


def test_missing_marker_is_a_reason(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps([*ROWS, {"question": "?", "answer": "x #### 3"}]))
    source = Source(path=str(tmp_path / "a.json"), answer_after="####")
    problems, rejected = to_problems(sources.read(source), source)
    assert [problem.answer for problem in problems] == ["3"]
    assert rejected[0].reason == "column 'answer' does not contain the marker '####'"


def test_generated_and_gym_tasks() -> None:
    assert read("r1zero:sums", options={"terms": 2, "low": 2, "high": 60, "count": 3})[0][0].startswith("What is ")
    pytest.importorskip("reasoning_gym")
    assert len(read("reasoning-gym:chain_sum", options={"size": 5, "seed": 1})) == 5


def error(path: Path | str, **settings: object) -> str:
    with pytest.raises(UsageError) as caught:
        read(path, **settings)
    return str(caught.value)


def test_errors(tmp_path: Path) -> None:
    pytest.importorskip("reasoning_gym")
    (tmp_path / "a.doc").write_text("x")
    (tmp_path / "a.json").write_text("{}")
    assert error("./nowhere.jsonl") == "path = 'nowhere.jsonl': no such file"
    assert error(tmp_path / "a.doc").endswith(
        "a.doc': unknown file type '.doc'; use one of .jsonl, .json, .csv, .parquet, .arrow, .txt"
    )
    assert error(tmp_path / "a.json").endswith("a.json': must hold a list of rows, found dict")
    assert error("r1zero:sum") == "path = 'r1zero:sum': unknown task; did you mean 'sums'?"
    assert error("r1zero:sums", options={"terms": 2}).startswith("options = {'terms': 2}: r1zero:sums says: ")
    assert (
        error("reasoning-gym:chain_sums")
        == "path = 'reasoning-gym:chain_sums': unknown task; did you mean 'chain_sum'?"
    )
    assert error("r1zero:sums", options={"terms": 2, "low": 2, "high": 9}, split="test") == (
        "split = 'test': this task has 'train' and 'heldout'"
    )
