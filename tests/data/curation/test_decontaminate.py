"""Decontamination: Open-R1's counts to the row, and a stricter mode that finds rewritten copies."""

from __future__ import annotations

import json

import pytest

from r1zero.data.curation.decontaminate import open_r1, strict
from r1zero.types import Problem

from ...conftest import SHARED
from .problems import lines, problems, removed

DATA = SHARED / "data"
STOCK = "The answer is $m/n$, where $m$ and $n$ are relatively prime positive integers. Find the sum $m+n$."
TEST = problems(
    "Convert the point $(0,3)$ in rectangular coordinates to polar coordinates.",
    "Simplify $\\sqrt{242}$.",
    "Janet's ducks lay 16 eggs per day. She eats three for breakfast every morning and bakes muffins for her friends "
    "every day with four. She sells the remainder at the market for $2 per fresh duck egg. How much does she make?",
    f"A fair die with 12 faces is rolled until a 7 appears. {STOCK}",
    source="test",
)
FILLING = [f"A {thing} with ${number}$ sides is drawn. {STOCK}" for number, thing in enumerate("abcdefgh", start=20)]


def held_out(name: str) -> dict[str, list[Problem]]:
    return {name: TEST}


def test_open_r1_flags_any_shared_gram_of_eight_words() -> None:
    shared = "lay 16 eggs per day. She eats THREE for  breakfast here"
    outcome = open_r1(
        problems(shared, "lay 16 eggs per day. She eats four", "Simplify $\\sqrt{242}$."), held_out("gsm")
    )
    assert removed(outcome) == {1: "in gsm"}
    assert outcome.removed[0].detail == "shares '16 eggs per day. she eats three for'"
    assert outcome.removed[0].like == TEST[2]
    assert lines(outcome.kept) == [2, 3], "seven shared words, and a problem too short to have a gram"


def test_open_r1_takes_stock_wording_for_a_leak_and_strict_does_not() -> None:
    training = problems(*FILLING)
    assert len(open_r1(training, held_out("aime")).removed) == len(FILLING)
    assert strict(training, held_out("aime")).removed == []


@pytest.mark.parametrize(
    ("copy", "number"),
    [
        ("simplify \\(\\sqrt{242}\\)", 1),
        ("What is the value of $\\sqrt{242}$?", 1),
        ("Convert point (0, 3) from rectangular coordinates into polar ones.", 0),
        (
            "How much does Maria make? Maria's hens lay 16 eggs each day. She has 3 at breakfast every day and bakes "
            "cakes for the neighbours daily with 4. The remainder she sells at the market for $2 per fresh egg.",
            2,
        ),
        (f"We roll a fair 12-faced die until we see a 7. {STOCK}", 3),
        (f"Read this first. {TEST[2].text} Then think about $x+y=17$, $z=3$ and the number 1024.", 2),
    ],
)
def test_strict_finds_a_rewritten_copy(copy: str, number: int) -> None:
    outcome = strict([*problems(*FILLING), *problems(copy, source="copy")], held_out("test"))
    assert [removal.problem.source for removal in outcome.removed] == ["copy"]
    assert outcome.removed[0].like == TEST[number]
    assert outcome.notes == {"test": 1}


@pytest.mark.parametrize(
    "other",
    [
        "Simplify $\\sqrt{343}$.",
        "Convert the point $(5,2)$ in rectangular coordinates to polar coordinates.",
        f"A fair die with 10 faces is rolled until a 3 appears. {STOCK}",
        TEST[2].text.replace("16", "19"),
    ],
)
def test_strict_keeps_another_problem_of_the_same_kind(other: str) -> None:
    assert strict(problems(*FILLING, other), held_out("test")).removed == []


def test_a_problem_in_two_sets_is_removed_once_and_counted_twice() -> None:
    outcome = strict(problems("Simplify $\\sqrt{242}$."), {"one": TEST, "two": TEST})
    assert outcome.notes == {"one": 1, "two": 1} and len(outcome.removed) == 1 and outcome.kept == []


def test_nothing_to_compare() -> None:
    assert strict([], held_out("test")).kept == [] and len(strict(problems("?"), {"none": []}).kept) == 1


def shared(name: str, column: str) -> list[Problem]:
    rows = [json.loads(line) for line in (DATA / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()]
    return problems(*(row[column] for row in rows), source=name)


@pytest.mark.skipif(not DATA.is_dir(), reason="the data sets are not beside the repository")
@pytest.mark.parametrize(
    ("train", "column", "test", "test_column", "count"),
    [
        ("math_train", "problem", "math500", "problem", 619),
        ("math_train", "problem", "aime24", "problem", 105),
        ("math_train", "problem", "amc23", "problem", 78),
        ("gsm8k_train", "question", "gsm8k_test", "question", 70),
        ("aime_1983_2023", "problem", "math500", "problem", 216),
        ("aime_1983_2023", "problem", "aime24", "problem", 227),
        ("aime_1983_2023", "problem", "amc23", "problem", 144),
    ],
)
def test_open_r1_counts_on_the_fields_sets(train: str, column: str, test: str, test_column: str, count: int) -> None:
    assert len(open_r1(shared(train, column), {test: shared(test, test_column)}).removed) == count
