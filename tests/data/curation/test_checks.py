"""Schema, language, answers and difficulty: each fault by its name."""

from __future__ import annotations

from typing import Any

import pytest

from r1zero.base.errors import UsageError
from r1zero.data.curation import answers, checks, difficulty
from r1zero.data.curation.removal import Outcome
from r1zero.types import Problem

from .problems import lines, problems, removed


def schema(*found: Problem, **changes: Any) -> Outcome:
    limits = {"min_characters": 4, "max_characters": 60, "max_answer_characters": 20, "figures": False}
    return checks.schema(list(found), **{**limits, **changes})


@pytest.mark.parametrize(
    ("text", "reason", "detail"),
    [
        ("1+", "question too short", "2 characters"),
        ("x" * 61, "question too long", "61 characters"),
        ("What\x00 is it?", "control character", "U+0000"),
        ("What is \ufffd?", "wrong encoding", "holds U+FFFD, the mark of bytes that could not be decoded"),
        ("Find $\\frac{1}{2$.", "question cut off", "1 brace never closed"),
        ("Find $2}}$.", "question cut off", "2 braces never opened"),
        ("Is \\boxed{4} right?", "the question holds a boxed answer", ""),
        ("Use the figure below.", "figure missing", "'figure below'"),
        ("What is $x$? ![](cdn.png)", "figure missing", "'![]('"),
    ],
)
def test_faults_of_a_question(text: str, reason: str, detail: str) -> None:
    outcome = schema(*problems(text))
    assert [(removal.reason, removal.detail) for removal in outcome.removed] == [(reason, detail)]


def test_faults_of_an_answer() -> None:
    outcome = schema(*problems("What is it?", answer="x" * 21), *problems("What is it?", answer="\\frac{1}{2"))
    assert [removal.reason for removal in outcome.removed] == ["answer too long", "answer cut off"]


def test_good_questions_stay() -> None:
    good = problems(
        "Solve\n\t$\\{x : x > 2\\}$, please.", "In the figure [asy] draw(); [/asy] find $x$.", "Price: 5 €?"
    )
    assert schema(*good).kept == good
    assert len(schema(*problems("Find it in the figure."), figures=True).kept) == 1


def test_language() -> None:
    pytest.importorskip("py3langid")
    texts = problems(
        "How many apples does Tim have after he gives three of them to his sister?",
        "Wie viele Äpfel hat Tim noch, nachdem er seiner Schwester drei davon gegeben hat?",
        "小明有五个苹果, 他给了妹妹三个苹果之后还剩下多少个苹果, 请写出计算的过程和答案",
        "Calculer $x$.",
        "Compute $\\sin 3x + \\cos y$ where $x=1$.",
    )
    outcome = checks.language(texts, languages=["en"], confidence=0.9)
    assert lines(outcome.kept) == [1, 4, 5]
    assert removed(outcome) == {2: "language de", 3: "language zh"}
    assert lines(checks.language(texts, languages=["en", "zh"], confidence=0.9).kept) == [1, 3, 4, 5]
    with pytest.raises(UsageError, match="languages = 'xx': unknown language code"):
        checks.language(texts, languages=["xx"], confidence=0.9)


OPTIONS = "Which is it? (A) 3 (B) 4 (C) 5 (D) 6"


@pytest.mark.parametrize(
    ("text", "answer", "reason"),
    [
        (OPTIONS, "B", "multiple choice"),
        (OPTIONS, "\\text{(B)}", "multiple choice"),
        ("Which?\nA. 3\nB. 4\nC. 5", "C", "multiple choice"),
        ("Which? $\\textbf{(A)}\\ 3 \\qquad \\textbf{(B)}\\ 4 \\qquad \\textbf{(C)}\\ 5$", "A", "multiple choice"),
        ("Is 7 prime?", "Yes", "yes or no, or a proof left out"),
        ("Let $n>1$. Prove that $n^2>n$.", "n>1 gives n*n>n", "proof"),
        ("Is it so?", "see the proof above", "yes or no, or a proof left out"),
    ],
)
def test_answers_that_luck_can_give(text: str, answer: str, reason: str) -> None:
    outcome = answers.unverifiable(problems(text, answer=answer), lambda left: {})
    assert removed(outcome) == {1: reason}
    assert outcome.removed[0].detail == f"the answer is '{answer}'"


def test_answers_that_are_values_stay_and_the_judge_has_the_last_word() -> None:
    texts = [
        *problems(OPTIONS, answer="4"),
        *problems("Point A, B and C. Which letter is in ABBA twice?", answer="B", source="b"),
        *problems("Show that $x$ exists and find it.", answer="12", source="c"),
        *problems("Describe it.", answer="blue-green", source="d"),
    ]
    asked: list[str] = []

    def judge(left: Any) -> dict[str, str]:
        asked.extend(problem.id for problem in left)
        return {"d:1": "cannot be parsed"}

    outcome = answers.unverifiable(texts, judge)
    assert [problem.id for problem in outcome.kept] == ["train:1", "b:1", "c:1"] == asked[:3]
    assert [(r.reason, r.detail) for r in outcome.removed] == [("no verifier can judge the answer", "cannot be parsed")]


def test_buckets() -> None:
    levels = [0.0, 0.2, "0.5", "Level 5", None, "nan", True]
    texts = [problems("?", source=str(n), level=level)[0] for n, level in enumerate(levels)]
    outcome = difficulty.bucketed(texts, column="level", edges=[0.2, 0.6], names=["hard", "medium", "easy"])
    assert [problem.extra["bucket"] for problem in outcome.kept] == ["hard", "medium", "medium", "easy"]
    assert outcome.notes == {"hard": 1, "medium": 2, "easy": 1}
    assert [removal.detail for removal in outcome.removed] == [
        "column 'level' holds None",
        "column 'level' holds 'nan'",
        "column 'level' holds True",
    ]
    with pytest.raises(UsageError, match="column = 'levl': no problem has it; did you mean 'level'?"):
        difficulty.bucketed(texts, column="levl", edges=[1], names=["a", "b"])
