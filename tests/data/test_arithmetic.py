"""Generated tasks: disjoint, reproducible, right."""

from __future__ import annotations

import re
from collections import Counter

import pytest

from r1zero.base.errors import UsageError
from r1zero.data.read.arithmetic import reasoning_corpus, sums

SUMS = {"terms": 2, "low": 2, "high": 60}
MIX = {
    "terse": 0.25,
    "steps": 0.25,
    "check": 0.25,
    "broken": 0.25,
    "terse_right": 0.5,
    "slip": 0.3,
}


def operands(question: str) -> tuple[int, ...]:
    return tuple(sorted(int(number) for number in re.findall(r"\d+", question)))


@pytest.mark.parametrize("seed", [0, 1])
def test_no_order_of_a_held_out_sum_is_trained_on(seed: int) -> None:
    train = {operands(row["question"]) for row in sums("train", **SUMS, seed=seed)}
    held_out = [operands(row["question"]) for row in sums("heldout", **SUMS, seed=seed)]
    assert len(held_out) == len(set(held_out)) >= 200
    assert not train & set(held_out)
    assert len(train) + len(held_out) == 59 * 60 // 2


def test_answers_are_right_and_rows_reproducible() -> None:
    rows = list(sums("train", **SUMS, count=50))
    assert all(sum(operands(row["question"])) == int(row["answer"]) for row in rows)
    assert rows == list(sums("train", **SUMS, count=50)) != list(sums("train", **SUMS, count=50, seed=1))


def test_corpus_mixes_its_manners_and_avoids_held_out_sums() -> None:
    texts = [row["text"] for row in reasoning_corpus("train", terms=3, low=10, high=99, count=2000, **MIX)]
    held_out = {operands(row["question"]) for row in sums("heldout", terms=3, low=10, high=99)}
    assert not any(operands(text.split("\n")[0]) in held_out for text in texts)
    manners = Counter(
        "terse"
        if "<think></think>" in text
        else "check"
        if "wait" in text
        else "steps"
        if "</answer>" in text
        else "broken"
        for text in texts
    )
    assert all(400 < count < 600 for count in manners.values()) and len(manners) == 4
    right = sum(f"{{{sum(operands(text.split(chr(10))[0]))}}}" in text for text in texts if "wait" in text)
    assert right / manners["check"] > 0.9


def test_shares_must_add_up() -> None:
    with pytest.raises(UsageError, match="terse \\+ steps \\+ check \\+ broken = 1.75: must be 1"):
        next(reasoning_corpus("train", terms=3, low=10, high=99, count=1, **{**MIX, "terse": 1.0}))


def test_universe_must_be_small_enough() -> None:
    with pytest.raises(UsageError, match="4 numbers from 10 to 99 are 65610000 problems; at most 5000000"):
        next(sums("train", terms=4, low=10, high=99))
