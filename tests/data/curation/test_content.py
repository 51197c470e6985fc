"""Content: the same for the same question in other typography, another for another question."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from r1zero.data.curation.content import content, counted, word_ngrams


@pytest.mark.parametrize(
    ("text", "other"),
    [
        ("Compute $\\dfrac{1}{2} + \\left( x \\right)$.", "compute \\(\\frac12 + (x)\\)"),
        ("Is $x \\leq 10{,}000$?", "is \\[ x \\le 10000 \\]"),
        ("Let $2 \\times 3 = y_{1}$", "let $2\\cdot 3=y_1$"),
        ("Three coins cost $\\$0.50$ each", "3 coins cost 0.5 each"),
        ("An angle of $90^\\circ$ ‘here’", "An angle of $90^{\\degree}$ 'here'"),
        ("A bag of 5.", "bag of 5"),
        ("a 12-sided die", "a 12 sided die"),
        ("What is 5 × 3 ÷ 2 − 1?", "What is 5 \\times 3 \\div 2 - 1"),
        ("[asy] draw((0,0)--(1,1)); [/asy] Find it.", "[asy]draw((0,0) --\n(1,1));[/asy]\nFind it."),
    ],
)
def test_typography_says_nothing(text: str, other: str) -> None:
    first, second = content(text), content(other)
    assert (first.words, first.formulas, first.numbers) == (second.words, second.formulas, second.numbers)


@pytest.mark.parametrize(
    ("text", "other"),
    [
        ("Find $3x + 2y$.", "Find $2x + 3y$."),
        ("Find $x^2$.", "Find $x^3$."),
        ("Find $\\sin x$.", "Find $\\cos x$."),
        ("He has two cats.", "He has three cats."),
        ("Arrange the letters of TOOT.", "Arrange the letters of MADAM."),
        ("[asy] draw((0,0)--(1,1)); [/asy] Find it.", "[asy] draw((0,0)--(2,1)); [/asy] Find it."),
        ("$0.5$", "$5$"),
    ],
)
def test_mathematics_does(text: str, other: str) -> None:
    assert content(text).formulas != content(other).formulas


def test_words_formulas_and_numbers() -> None:
    found = content("Find two $x$ with $x + 1 = 3$.")
    assert found.words == ("find", "with")
    assert found.formulas == ("2", "x", "x+1=3")
    assert found.numbers == ("2", "1", "3")
    assert found.tokens == ("find", "2", "x", "with", "x+1=3")


def test_other_people_in_the_same_story() -> None:
    first, second = (
        content("Tim has 3. How many has Tim if Ann's are 2?"),
        content("Eva has 3. How many has Eva if Bo's are 2?"),
    )
    assert first.words == second.words == ("has", "how", "many", "has", "if", "are")
    assert first.tokens != second.tokens


def test_sets_of_counted_items_compare_like_multisets() -> None:
    assert set(counted(["3", "5", "3"])) == {"3#1", "5#1", "3#2"}


def test_word_ngrams_are_lower_case_words_between_white_space() -> None:
    assert word_ngrams("A b,  C\nd", 2) == {"a b,", "b, c", "c d"}
    assert word_ngrams("too short", 3) == set()


@given(st.text())
def test_any_text_has_a_content(text: str) -> None:
    assert content(text) == content(text)


@pytest.mark.parametrize(
    "hostile",
    ["[asy]" * 50_000, "\\frac{" * 50_000, "{" * 300_000, "1,000" * 60_000, "\\left(" * 50_000, "a'" * 150_000],
)
def test_hostile_text_takes_linear_time(hostile: str) -> None:
    start = time.process_time()
    content(hostile)
    assert time.process_time() - start < 5
