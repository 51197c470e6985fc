"""Rows as they are found in the field: nested columns, splits, folders, encodings, half characters, chats."""

from __future__ import annotations

import json
import logging
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet
import pytest

from r1zero.base.errors import UsageError
from r1zero.config import Source
from r1zero.config.data import Columns
from r1zero.data.problems import Rejected, to_problems
from r1zero.data.read import sources
from r1zero.types import Message, Problem

ROW = {"question": "1+1?", "answer": "2"}
CHAT = [{"role": "user", "content": "1+1?"}]


def read(
    path: Path, question: str = "question", answer: str = "answer", **settings: Any
) -> tuple[list[Problem], list[Rejected]]:
    source = Source(path=str(path), columns=Columns(question=question, answer=answer), **settings)
    return to_problems(sources.read(source), source)


def lines(path: Path, *rows: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def table(path: Path, *rows: dict[str, Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pyarrow.parquet.write_table(pa.Table.from_pylist(list(rows)), path)
    return path


def error(path: Path, **settings: Any) -> str:
    with pytest.raises(UsageError) as caught:
        read(path, **settings)
    return str(caught.value).replace(str(path.resolve()), "PATH")


def test_a_clone_of_a_hub_repository_gives_one_split(tmp_path: Path) -> None:
    for split, count in (("train", 3), ("test", 2)):
        table(
            tmp_path / "data" / f"{split}-00000-of-00001.parquet",
            *[{**ROW, "question": f"{split}{n}?"} for n in range(count)],
        )
    assert [problem.text for problem in read(tmp_path)[0]] == ["train0?", "train1?", "train2?"]
    assert [problem.text for problem in read(tmp_path, split="test")[0]] == ["test0?", "test1?"]
    assert error(tmp_path, split="dev") == "split = 'dev': PATH has none of this name; known: test, train"
    assert error(tmp_path, subset="main").startswith("subset = 'main': path = 'PATH': ")


def test_what_a_clone_s_readme_says_counts(tmp_path: Path) -> None:
    lines(tmp_path / "one" / "a.jsonl", ROW)
    lines(tmp_path / "two" / "a.jsonl", ROW, ROW)
    lines(tmp_path / "two" / "held.jsonl", ROW, ROW, ROW)
    (tmp_path / "README.md").write_text(
        "---\nconfigs:\n- config_name: one\n  data_files: one/*.jsonl\n- config_name: two\n  data_files:\n"
        "  - {split: train, path: two/a.jsonl}\n  - {split: test, path: two/held.jsonl}\n---\n# Data\n"
    )
    assert len(read(tmp_path, subset="one")[0]) == 1
    assert len(read(tmp_path, subset="two")[0]) == 2
    assert len(read(tmp_path, subset="two", split="test")[0]) == 3
    assert "two" in error(tmp_path)  # which of both is not said


def test_a_data_set_that_was_saved_to_disk(tmp_path: Path) -> None:
    import datasets

    parts = {"train": 3, "test": 1}
    saved = datasets.DatasetDict({name: datasets.Dataset.from_list([ROW] * count) for name, count in parts.items()})
    saved.save_to_disk(tmp_path / "both")
    saved["test"].save_to_disk(tmp_path / "one")
    assert len(read(tmp_path / "both")[0]) == 3 and len(read(tmp_path / "both", split="test")[0]) == 1
    assert len(read(tmp_path / "one")[0]) == 1


def test_a_file_is_read_whole_and_says_so(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A recipe for a data set of the hub, pointed to a file of it."""
    file = lines(tmp_path / "a.jsonl", ROW)
    with caplog.at_level(logging.INFO, logger="r1zero"):
        assert len(read(file, split="test", subset="main")[0]) == 1
        assert len(read(file)[0]) == 1
    assert caplog.messages == [
        f"{file} is a file and read whole: split = 'test' and subset = 'main' are for folders and data sets of the hub"
    ]


def test_a_split_of_what_has_none_is_refused() -> None:
    assert "reasoning-gym has no splits" in error(Path("reasoning-gym:chain_sum"), split="test")


def test_problems_of_a_folder_have_ids_and_files_of_their_own(tmp_path: Path) -> None:
    folder = tmp_path / "math"
    lines(folder / "a.jsonl", ROW, {"question": "?"})
    lines(folder / "b.jsonl", {"question": "?"}, ROW)
    problems, rejected = read(folder)
    assert [problem.id for problem in problems] == ["math/a.jsonl:1", "math/b.jsonl:2"]
    assert [problem.file for problem in problems] == [str(folder / "a.jsonl"), str(folder / "b.jsonl")]
    assert [(row.source, row.line) for row in rejected] == [(str(folder / "a.jsonl"), 2), (str(folder / "b.jsonl"), 1)]
    assert Rejected.problem(problems[1], "x").source == str(folder / "b.jsonl")
    (tmp_path / "link").symlink_to(folder)
    (tmp_path / "snapshot").mkdir()  # the hub's cache is made of links
    for name in ("a.jsonl", "b.jsonl"):
        (tmp_path / "snapshot" / name).symlink_to(folder / name)
    for place, named in (("link", "math"), ("snapshot", "snapshot")):
        assert [problem.id for problem in read(tmp_path / place)[0]] == [f"{named}/a.jsonl:1", f"{named}/b.jsonl:2"]


def test_columns_inside_of_columns(tmp_path: Path) -> None:
    row = {"prompt": CHAT, "reward_model": {"ground_truth": "2", "style": "rule"}, "a.b": {"c": "3"}}
    for path in (lines(tmp_path / "a.jsonl", row), table(tmp_path / "a.parquet", row)):
        (problem,), _ = read(path, "prompt", "reward_model.ground_truth")
        assert (problem.question, problem.answer) == ((Message("user", "1+1?"),), "2")
        (problem,), _ = read(path, "prompt.0.content", "reward_model.ground_truth")
        assert problem.question == "1+1?" and problem.extra["reward_model"] == row["reward_model"]
    named = (
        "columns.answer = 'reward_model.ground_trut': no such column in PATH; did you mean 'reward_model.ground_truth'?"
    )
    assert error(tmp_path / "a.jsonl", question="prompt", answer="reward_model.ground_trut") == named
    mixed = lines(tmp_path / "b.jsonl", row, {"prompt": CHAT, "reward_model": {}}, {"prompt": [], "reward_model": None})
    _, rejected = read(mixed, "prompt.0.content", "reward_model.ground_truth")
    assert [bad.reason for bad in rejected] == [
        "column 'reward_model.ground_truth' is missing: nothing in 'reward_model' is called 'ground_truth'",
        "column 'prompt.0.content' is missing: nothing in 'prompt' is called '0'",
    ]


def test_columns_with_a_dot_in_their_name(tmp_path: Path) -> None:
    (problem,), _ = read(lines(tmp_path / "a.jsonl", {"q.text": "1+1?", "answer": "2", "q": {"text": "no"}}), "q.text")
    assert problem.question == "1+1?"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (Decimal("66"), "66"),
        (Decimal("66.000"), "66"),
        (Decimal("0.50"), "0.5"),
        (b"66", "66"),
        (2, "2"),
        (1e22, "1" + "0" * 22),
    ],
)
def test_numbers_and_bytes(tmp_path: Path, value: Any, shown: str) -> None:
    (problem,), _ = read(table(tmp_path / "a.parquet", {"question": "1+1?", "answer": value}))
    assert problem.answer == shown


def test_numbers_of_any_size(tmp_path: Path) -> None:
    (problem,), _ = read(lines(tmp_path / "a.jsonl", {"question": "?", "answer": 10**400}))
    assert problem.answer == str(10**400)


def test_bytes_that_are_no_text(tmp_path: Path) -> None:
    rows = [{"question": "1+1?", "answer": b"\xff"}, {"question": "1+1?", "answer": b"2"}]
    problems, rejected = read(table(tmp_path / "a.parquet", *rows))
    assert len(problems) == 1 and rejected[0].reason == "column 'answer' is binary, but not UTF-8 text"


def test_text_of_a_table_that_is_not_utf8(tmp_path: Path) -> None:
    texts = pa.array([b"2", b"\xff", b"3"]).cast(pa.binary()).view(pa.utf8())
    pyarrow.parquet.write_table(
        pa.table({"question": pa.array(["a?", "b?", "c?"]), "answer": texts}), tmp_path / "a.parquet"
    )
    problems, rejected = read(tmp_path / "a.parquet")
    assert [problem.line for problem in problems] == [1, 3]
    assert rejected[0].line == 2 and rejected[0].reason.startswith("not valid UTF-8")


@pytest.mark.parametrize(
    "row", [{"question": "1+1? \ud83d"}, {"answer": "2\udc00"}, {"note": {"a": ["\ud83d"]}}, {"\ud83d": 1}]
)
def test_half_a_character_sets_its_row_aside(tmp_path: Path, row: dict[str, Any]) -> None:
    problems, rejected = read(lines(tmp_path / "a.jsonl", {**ROW, **row}, ROW))
    assert [problem.line for problem in problems] == [2]
    assert rejected[0].reason.startswith("the text contains half a character: '\\ud")


def test_whole_characters_are_kept(tmp_path: Path) -> None:
    assert read(lines(tmp_path / "a.jsonl", {**ROW, "question": "\U0001f600?"}))[0][0].question == "\U0001f600?"


def test_chats_of_parts_and_as_text(tmp_path: Path) -> None:
    parts = [{"role": "user", "content": [{"type": "text", "text": "1+1?"}, "Now."]}]
    file = lines(
        tmp_path / "a.jsonl", *[{"question": chat, "answer": "2"} for chat in (parts, json.dumps(CHAT), "[1, 2]", "[")]
    )
    problems, rejected = read(file)
    assert [problem.question for problem in problems] == [
        (Message("user", "1+1?\nNow."),),
        (Message("user", "1+1?"),),
        "[1, 2]",
        "[",
    ]
    assert not rejected


@pytest.mark.parametrize(
    ("chat", "reason"),
    [
        ([{"role": "user", "content": None}], "column 'question', message 1: the content is null, not text"),
        ([{"role": "system", "content": {}}, *CHAT], "column 'question', message 1: the content is dict, not text"),
        (
            [{"role": "user", "content": [{"type": "image"}]}],
            "column 'question' has a part of type 'image' that is no text",
        ),
        ([{"role": "user", "content": [3]}], "column 'question' has a part of type 'int' that is no text"),
        ([{"role": "user", "content": ""}], "column 'question.0.content' is empty"),
        ([{"role": "human", "content": "?"}], "column 'question', message 1: the role is 'human'; known: system, "),
        ([{"role": None, "content": "?"}], "column 'question', message 1: the role is None; known: system, "),
        (
            [{"from": "human", "value": "?"}],
            "column 'question' is a list, but not of chat messages with role and content",
        ),
        ([], "column 'question' is a chat that does not end with a user's message"),
    ],
)
def test_bad_chats_are_set_aside_and_the_others_stay(tmp_path: Path, chat: Any, reason: str) -> None:
    problems, rejected = read(
        lines(tmp_path / "a.jsonl", {"question": chat, "answer": "2"}, {"question": CHAT, "answer": "2"})
    )
    assert [problem.line for problem in problems] == [2] and rejected[0].reason.startswith(reason)


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.jsonl", json.dumps(ROW).encode("utf-16"), "is UTF-16 or UTF-32 text; save it as UTF-8"),
        ("a.jsonl", json.dumps(ROW).encode("utf-16-le"), "is UTF-16 or UTF-32 text; save it as UTF-8"),
        ("a.csv", "question,answer\n1+1?,2\n".encode("utf-16"), "is UTF-16 or UTF-32 text; save it as UTF-8"),
        (
            "a.jsonl",
            b'{"question": "a", "answer": "2"}\r{"question": "b", "answer": "2"}',
            "its lines end with CR alone; ",
        ),
        ("a.csv", "问题,answer\n1+1?,2\n".encode("gbk"), "the names of the columns are not UTF-8; save it as UTF-8"),
        ("a.jsonl", '{"question": "问题", "answer": "2"}\n'.encode("gbk"), "not valid JSON: 'utf-8' codec"),
        ("a.csv", "question,answer\n问题,2\n".encode("gbk"), "not valid UTF-8; save the file as UTF-8"),
    ],
)
def test_other_encodings_are_named(tmp_path: Path, name: str, content: bytes, reason: str) -> None:
    (tmp_path / name).write_bytes(content)
    said = error(tmp_path / name)
    assert reason in said
    assert "no such column" not in said


@pytest.mark.parametrize("depth", [60, 70, 700, 950])
def test_values_of_any_depth(tmp_path: Path, depth: int) -> None:
    """Python's own JSON reads some 990."""
    deep = "[" * depth + "]" * depth
    path = tmp_path / "a.jsonl"
    path.write_text(f'{{"question": "a?", "answer": "1", "x": {deep}}}\n{json.dumps(ROW)}\n')
    problems, rejected = read(path)
    assert len(problems) == (2 if depth < 64 else 1)
    assert [bad.reason for bad in rejected] == ["values are nested more than 64 deep"] * (depth > 64)
    assert json.dumps([bad.columns for bad in rejected])


def test_a_description_that_leads_out_of_the_folder(tmp_path: Path) -> None:
    lines(tmp_path / "secret.jsonl", ROW)
    lines(tmp_path / "data" / "train.jsonl", ROW)
    (tmp_path / "data" / "README.md").write_text(
        "---\nconfigs:\n- config_name: a\n  data_files: ../secret.jsonl\n---\n"
    )
    assert "which is not in the folder" in error(tmp_path / "data")
    saved = {"_data_files": [{"filename": "../secret.jsonl"}]}
    (tmp_path / "data" / "state.json").write_text(json.dumps(saved))
    assert "which is not in the folder" in error(tmp_path / "data")
    (tmp_path / "data" / "state.json").write_text("{}")
    assert "does not describe a saved data set: KeyError" in error(tmp_path / "data")
