"""Duplicates: other wording is removed, other numbers are kept."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from r1zero.data.curation.duplicates import exact, near, same_answer, similar
from r1zero.types import Message, Problem

from .problems import lines, problems, removed

TRAIN = "A train leaves the station at 5 miles per hour and arrives after 12 hours. How far away is the next station?"


def test_exact_keeps_the_first_whatever_the_typography() -> None:
    outcome = exact(problems("Find $\\frac{1}{2}+x$.", "find \\(\\dfrac12 + x\\)", "Find $\\frac{1}{3}+x$."))
    assert lines(outcome.kept) == [1, 3]
    assert removed(outcome) == {2: "repeats an earlier question"}
    assert outcome.removed[0].like is outcome.kept[0]


def test_exact_heeds_brackets() -> None:
    outcome = exact(problems("What is $88 \\div 4 \\div 2$?", "What is $88 \\div (4 \\div 2)$?"))
    assert lines(outcome.kept) == [1, 2]


def test_exact_says_when_the_answers_disagree() -> None:
    outcome = exact([*problems("1+1=?", answer="2"), *problems("1 + 1 = ?", answer="3", source="other")])
    assert outcome.removed[0].reason == "repeats an earlier question with another answer"
    assert outcome.removed[0].detail == "the answers are '3' and '2'"


def test_chats_differ_by_their_earlier_turns() -> None:
    chats = [
        Problem(
            id=first, question=(Message("system", first), Message("user", "1+1?")), answer="2", source="x", line=line
        )
        for line, first in enumerate(["Be brief.", "Be long.", "Be brief."], start=1)
    ]
    assert lines(exact(chats).kept) == [1, 2]


def test_texts_of_symbols_alone_are_compared_as_they_are() -> None:
    assert lines(exact(problems("???", "!!!", "???")).kept) == [1, 2]


@pytest.mark.parametrize(
    "copy",
    [
        TRAIN.replace("How far away", "How far off"),
        TRAIN.replace("leaves the station", "leaves the old station").replace("5 miles", "$5$ miles"),
        TRAIN.lower().replace("12", "twelve"),
    ],
)
def test_near_removes_edits_of_the_wording(copy: str) -> None:
    pytest.importorskip("datasketch")
    outcome = near(problems(TRAIN, "Find the area of a circle with radius 5.", copy), threshold=0.5, ngram=3)
    assert lines(outcome.kept) == [1, 2] and removed(outcome) == {3: "nearly an earlier question"}
    assert outcome.removed[0].like is outcome.kept[0]


@pytest.mark.parametrize(
    "other",
    [
        TRAIN.replace("5 miles", "6 miles"),
        TRAIN.replace("12 hours", "twenty hours"),
        TRAIN.replace("12 hours", "12 minutes"),
        TRAIN + " Each wagon has 3 doors.",
    ],
)
def test_near_keeps_edits_of_numbers_and_opposites(other: str) -> None:
    pytest.importorskip("datasketch")
    assert lines(near(problems(TRAIN, other), threshold=0.5, ngram=3).kept) == [1, 2]


def test_near_keeps_what_has_another_answer() -> None:
    pytest.importorskip("datasketch")
    texts = [*problems(TRAIN, answer="60"), *problems(TRAIN.replace("far away", "far off"), answer="61", source="b")]
    assert len(near(texts, threshold=0.5, ngram=3).kept) == 2


def test_near_survives_many_short_questions() -> None:
    pytest.importorskip("datasketch")
    texts = problems("?", *(f"Compute ${number}+x$." for number in range(300)), "?")
    outcome = near(texts, threshold=0.5, ngram=3)
    assert len(outcome.kept) == 302, "a question without words or formulas has nothing to compare"


def embed(texts: Sequence[str]) -> np.ndarray:
    """Bags of letters."""
    counts = np.array(
        [[text.lower().count(letter) for letter in "abcdefghijklmnopqrstuvwxyz"] for text in texts], float
    )
    return (counts / np.maximum(np.linalg.norm(counts, axis=1, keepdims=True), 1e-9)).astype(np.float32)


def test_similar_removes_other_words_and_keeps_other_numbers() -> None:
    texts = problems(
        "Tim has 5 apples and 3 pears.",
        "Pears, 3; apples, 5: Tim has and.",
        "Tim has 5 apples and 4 pears.",
        "Quiz: 3 xylophones, 5 jukeboxes!",
    )
    outcome = similar(texts, embed, threshold=0.95)
    assert lines(outcome.kept) == [1, 3, 4] and removed(outcome) == {2: "an earlier question in other words"}
    assert outcome.removed[0].detail == "cosine 1.000"
    assert lines(similar(texts, embed, threshold=0.01).kept) == [1, 3], "below every cosine, numbers still decide"


def test_similar_compares_over_the_borders_of_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("r1zero.data.curation.duplicates._ROWS", 2)
    texts = problems("alpha", "bravo", "charlie", "Alpha!", "delta", "Bravo?")
    assert lines(similar(texts, embed, threshold=0.999).kept) == [1, 2, 3, 5]


def test_similar_of_nothing() -> None:
    assert similar([], embed, threshold=0.9).kept == []


def test_same_answer() -> None:
    one, other = problems("?", answer="\\dfrac{1}{2}")[0], problems("?", answer="$\\frac12$")[0]
    assert same_answer(one, other) and not same_answer(one, problems("?", answer="2")[0])
