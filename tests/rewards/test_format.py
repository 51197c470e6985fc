"""Verifiers of the layout."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from r1zero.rewards.format import boxed, last_box, strict_format, think_then_boxed_answer
from r1zero.types import Problem

PROBLEM = Problem(id="p", question="?", answer="4", source="test")
GOOD = "<think>two and two</think> hence <answer>it is \\boxed{4}</answer>"
BASE_ACC = re.compile(r"<think>.*</think>.*<answer>.*\\boxed{.*}.*</answer>", re.DOTALL)
PIECES = ["<think>", "</think>", "<answer>", "</answer>", "\\boxed{", "}", "4", "\n", "{"]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (GOOD, 1.0),
        ("<think></think><answer>\\boxed{4}</answer>", 1.0),
        (GOOD + "\n", -0.5),
        (" " + GOOD, -0.5),
        (GOOD.replace("</think>", ""), -0.5),
        (GOOD.replace("</think>", "</think></think>"), -0.5),
        (GOOD.replace("\\boxed{4}", "4"), -0.5),
        (GOOD.replace("\\boxed{4}", "\\boxed{4"), -0.5),
        (GOOD.replace("4", "4} or \\boxed{5"), -0.5),
        ("<think>\\boxed{4}</think><answer>4</answer>", -0.5),
        ("<think><answer>\\boxed{4}</think></answer>", -0.5),
        ("<think>a</think><answer>\\boxed{4</answer>", -0.5),
        ("", -0.5),
    ],
)
def test_strict_format(text: str, value: float) -> None:
    assert strict_format(PROBLEM, text).value == value


@pytest.mark.parametrize(
    ("text", "value"),
    [("so \\boxed{4}.", 1.0), ("\\boxed{4} \\boxed{4}", 0.0), ("\\boxed{ }", 0.0), ("\\boxed{4", 0.0)],
)
def test_boxed(text: str, value: float) -> None:
    assert boxed(PROBLEM, text).value == value


def test_last_box() -> None:
    assert last_box("\\boxed{1} \\boxed{\\frac{1}{2}}") == "\\frac{1}{2}"
    assert last_box("\\boxed{\\boxed{3}}") == "3"
    assert last_box("none") is None


@settings(max_examples=1500, deadline=None)
@given(st.lists(st.sampled_from(PIECES), max_size=12).map("".join))
def test_layout_search_equals_the_regular_expression(text: str) -> None:
    assert think_then_boxed_answer(text) == bool(BASE_ACC.fullmatch(text))


def test_layout_search_is_linear() -> None:
    """The regular expression would need hours here."""
    hostile = "<think>" + "</think><answer>\\boxed{" * 20_000
    assert think_then_boxed_answer(hostile + "}") is False
