"""The judgement of final answers."""

from __future__ import annotations

import json

import pytest

from r1zero.rewards.math import equivalent, plain_number, verifiable
from r1zero.rewards.mindspeed import acc, base_acc
from r1zero.types import Problem, Score

from ..conftest import SHARED


def problem(answer: str) -> Problem:
    return Problem(id="p", question="?", answer=answer, source="test")


@pytest.mark.parametrize(
    ("gold", "text", "value"),
    [
        ("4", "so \\boxed{4}", 1.0),
        ("4", "\\boxed{5} no, \\boxed{4}", 1.0),
        ("4", "\\boxed{4} no, \\boxed{5}", -0.5),
        ("4", "the answer is 4", -1.0),
        ("4", "\\boxed{}", -1.0),
        ("4", "\\boxed{4", -1.0),
        ("4", "", -1.0),
        ("4", "\\boxed{4}<|im_end|>\\boxed{5}", 1.0),
        ("4", "\\boxed{4.0}", 1.0),
        ("1,234", "\\boxed{1234}", 1.0),
        ("12", "\\boxed{12.5}", -0.5),
        ("0.1", "\\boxed{0.1000001}", -0.5),
        ("\\frac{1}{2}", "\\boxed{0.5}", 1.0),
        ("\\frac{1}{2}", "\\boxed{\\dfrac12}", 1.0),
        ("(1, 2)", "\\boxed{(2, 1)}", -0.5),
        ("\\text{east}", "\\boxed{\\text{east}}", 1.0),
        ("x^2+1", "\\boxed{1+x^2}", 1.0),
        ("٤", "\\boxed{5}", -0.5),
    ],
)
def test_acc(gold: str, text: str, value: float) -> None:
    assert acc(problem(gold), text) == Score(value=value)


@pytest.mark.parametrize("gold", ["see the proof above", "?", "...", "Proof. Omitted for lack of space here 1"])
def test_a_gold_that_cannot_be_parsed_is_unverifiable_for_every_response(gold: str) -> None:
    for text in ("\\boxed{4}", "no box", f"<think></think><answer>\\boxed{{{gold}}}</answer>"):
        for verify in (acc, base_acc):
            score = verify(problem(gold), text)
            assert (score.value, score.verdict) == (0.0, "unverifiable")
    assert not verifiable(gold)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("<think>a</think><answer>\\boxed{4}</answer>", 1.0),
        ("<think>a</think> so <answer>it is \\boxed{4}.</answer>", 1.0),
        ("<think>\n</think>\n<answer>\n\\boxed{4}\n</answer>", 1.0),
        ("<think>a</think><think>b</think><answer>\\boxed{4}</answer>", 1.0),  # repeated tags are accepted
        ("<think>a</think><answer>\\boxed{5}</answer>", 0.0),
        ("<think>a</think><answer>\\boxed{4}</answer>\n", 0.0),  # a trailing line break is not
        ("<answer>\\boxed{4}</answer>", 0.0),
        ("\\boxed{4}", 0.0),
    ],
)
def test_base_acc(text: str, value: float) -> None:
    assert base_acc(problem("4"), text) == Score(value=value)


def test_plain_numbers_are_exact() -> None:
    assert plain_number(" $1,234.50$ ") == plain_number("1234.5")
    assert plain_number("1,23") is plain_number("1e5") is plain_number("٤") is plain_number("x") is None
    assert equivalent("123456789012345678901", "123456789012345678902") is False


@pytest.mark.skipif(not SHARED.exists(), reason="../shared is not here")
def test_labelled_gsm8k_solutions() -> None:
    rows = [json.loads(line) for line in (SHARED / "data" / "verifier_gsm8k_solutions.jsonl").open()]
    for row in rows:
        boxed = f"\\boxed{{{row['answer'].rpartition('A:')[2].strip()}}}"
        assert (acc(problem(row["gold"]), boxed).value == 1.0) == row["expected"], row["id"]


@pytest.mark.skipif(not SHARED.exists(), reason="../shared is not here")
def test_official_solutions_of_math500_are_right() -> None:
    rows = [json.loads(line) for line in (SHARED / "data" / "math500.jsonl").open()]
    assert all(acc(problem(row["answer"]), row["solution"]).value == 1.0 for row in rows)
