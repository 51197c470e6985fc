"""The equivalence judgement, kind by kind, and that no text can fool or stop it."""

from __future__ import annotations

import json
import time
from collections import Counter
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from r1zero.rewards.math import equivalent, judge, symbolic
from r1zero.rewards.math.evaluate import TooLarge, exact
from r1zero.rewards.math.expression import NotAFormula, parse
from r1zero.rewards.math.extract import Found
from r1zero.rewards.math.formulas import same
from r1zero.rewards.math.structure import read

from ..conftest import SHARED
from .adversarial import negatives

RIGHT = {
    "numbers": [
        ("1,234.5", "1234.50"), ("$\\$32,\\!348$", "32348"), ("1{,}000", "\\boxed{1000}"), ("1000", "1 000"),
        ("3.5\\times10^{4}", "3.5e4"), ("918.5", "918\\frac{1}{2}"), ("$1 1/2$", "\\frac32"),
        ("\\frac13", "0.\\overline{3}"),
        ("\\frac{1}{3}", "0.333333"), ("\\sqrt{17}", "4.123105625617661"), ("204_5", "54"), ("3", "three"), ("7", "７"),
    ],
    "formulas": [
        ("\\frac94\\pi", "9pi/4"), ("\\frac{\\pi}{2}", "pi/2"), ("-2\\pi", "-2*pi"), ("1+2i", "i(2-i)"),
        ("14-i", "14.0 + -1.0i"), ("\\tan^2 y+1", "\\sec^2(y)"), ("\\sin(90^\\circ-x)", "\\cos x"),
        ("\\tan 45^\\circ", "1"), ("2^{2n}", "4^n"),
        ("x^2+2x+1", "(x+1)^2"), ("e^{16}-1", "-1+\\exp(16)"), ("\\frac{1}{3\\sqrt[3]{x}^2}", "\\frac{1}{3x^{2/3}}"),
        ("(-1)^n", "\\cos(n\\pi)"), ("\\log_2 8", "3"), ("\\binom{5}{2}", "10"), ("\\lfloor 3.7\\rfloor", "3"),
        ("\\sum_{k=1}^{10} k", "55"),
        ("\\begin{pmatrix}1&2\\\\3&4\\end{pmatrix}^T", "\\begin{pmatrix}1&3\\\\2&4\\end{pmatrix}"),
    ],
    "collections": [
        ("(1,2)", "\\langle 1, 2\\rangle"), ("\\{1,2,3\\}", "3, 2, 1"), ("x=3,y=4", "(3,4)"), ("\\pm 3", "3, -3"),
        ("p=5,q=2;p=7,q=2", "(5,2),(7,2)"), ("p=5,q=2 \\text{ and } p=7,q=2", "p=5,q=2;p=7,q=2"),
        ("1,3,2", "n=1, 2, 3"),
        ("\\begin{pmatrix}1\\\\2\\end{pmatrix}", "\\begin{bmatrix}1\\\\2\\end{bmatrix}"),
        ("1\\pm\\sqrt{19}", "1-\\sqrt{19}, 1+\\sqrt{19}"),
        ("11:21", "V_1:V_2=11:21"), ("2:3", "4:6"),
    ],
    "sets of numbers": [
        ("1<x<2", "(1,2)"), ("(1,2)", "1<x<2"), ("[0,1)\\cup[1,3)", "[0,3)"),
        ("\\mathbb{R}\\setminus\\{3\\}", "(-\\infty,3)\\cup(3,\\infty)"),
        ("x\\ne3", "(-\\infty,3)\\cup(3,\\infty)"), ("\\{x \\mid x>2\\}", "(2,\\infty)"),
        ("x<1\\text{ or }x>3", "(-\\infty,1)\\cup(3,\\infty)"),
        ("0<x<1", "x>0 \\text{ and } x<1"), ("x\\in[-2,7]", "[-2,7]"), ("{1,3} \\cup {2,4}", "{1,2,3,4}"),
        ("0<f(x)<1", "(0,1)"),
    ],
    "relations": [
        ("x<1", "-x>-1"), ("x^2/4+y^2/3=1", "x^2/16+y^2/12=1/4"), ("y=2x+3", "2x-y+3=0"), ("3>x>1", "1<x<3"),
        ("x=4", "4"),
        ("4", "x = 4"), ("4", "2+2 = 4"), ("1/3", "x = 1/3 \\approx 0.33"),
    ],
    "units and words": [
        ("5\\text{ cm}", "5"), ("5", "5 cm"), ("5\\text{ cm}", "50 mm"), ("28\\%", "28 percent"), ("28\\%", "0.28"),
        ("28\\%", "28"),
        ("90^\\circ", "90"), ("120^\\circ", "\\frac{2\\pi}{3}"), ("\\text{east}", "East"), ("\\text{e}", "e"),
        ("12:00", "12:00 p.m."),
    ],
}  # fmt: skip
WRONG = {
    "numbers": [
        ("2^{-60}", "2^{-61}"), ("1-\\frac1{2^{99}}", "1-\\frac1{2^{98}}"), ("\\frac1{2004!}", "\\frac1{2006!}"),
        ("1-1/e", "1+1/e"),
        ("\\frac{2^{2005}+1}{3\\cdot2^{2006}}", "\\frac1{3\\cdot2^{2006}}"), ("1+e^{-10000}", "1"),
        ("9^{9^9}", "9^{9^8}"),
        ("\\frac13", "0.33"), ("\\frac13", "0.333334"), ("0.1", "0.1000001"), ("5", "4.9999999"),
        ("32349", "32, 349"), ("204_5", "204"),
    ],
    "formulas": [("3\\pi", "3"), ("3m", "3"), ("\\sqrt{x^2}", "x"), ("\\mathrm{E}*2", "E"), ("x+2n+1", "x+1"),
    ("1/x", "x"), ("i", "-i")],
    "collections": [
        ("(1,2)", "(2,1)"), ("(1,2)", "(1,2,3)"), ("(1,2)", "\\{1,2\\}"), ("1,2,3", "1,2"), ("\\pm3", "3"),
        ("x=3,y=4", "x=4,y=3"),
        ("1:2:3:\\ldots", "1:4:9:\\ldots"), ("12:00", "1:00"), ("9:30 a.m.", "9:30 p.m."), ("AB=4,CD=5", "5,4"),
    ],
    "sets of numbers": [("[0,9)", "[0,1)"), ("(0,9)", "[0,9)"), ("[0,1)\\cup(1,2]", "[0,2]"), ("x<3", "x\\le3"),
    ("\\mathbb{R}", "x\\ne3")],
    "relations": [("a+3z=0", "0"), ("2x+z=1", "1"), ("x=1", "y=1"), ("x>5", "x<5"), ("x^2+y^2=1", "x^2+y^2=2")],
    "units and words": [("5 cm", "5 m"), ("\\$5", "5 euros"), ("\\text{oddd}", "odd"), ("28\\%", "2.8"),
    ("0.5", "0.5\\%"), ("2", "AZYUK2A")],
}  # fmt: skip
RESPONSES = [
    ("84", "<answer>84</answer>", "right"),
    ("12", "<think>3 * 4 = 12</think>\n<answer>12.5</answer>", "wrong"),
    ("42", "<think>\\boxed{42}</think> Here's a wrong answer: \\boxed{43}.", "wrong"),
    ("5", "<think>so it is \\boxed{5}", "missing"),
    ("5", "", "missing"),
    ("5", "<think>5</think>", "missing"),
    ("5", "\\boxed{5", "missing"),
    ("5", "\\boxed{5} or \\boxed{6}", "wrong"),
    ("5", "\\boxed{6}. No, wait: \\boxed{5}", "right"),
    ("(98, 2), (99, 503)", "$\\boxed{(98, 2)} \\quad \\text{and} \\quad \\boxed{(99, 503)}$", "right"),
    ("\\frac{639}{40}", "\\boxed{15\\frac{39}{40}}, or $\\boxed{\\frac{639}{40}}$ inches", "right"),
    ("3", "Final Answer: Jane started growing Sphere 3 hours ago. I hope it is correct.", "right"),
    ("12", "The answer is 12, not 13.", "right"),
    ("42", "Answer: 41 was a wrong guess.\nAnswer: 42", "right"),
    ("8722", "所以，他们赚了8722美元。", "right"),
    ("C", "thinking about it I think the correct answer is C", "right"),
    ("B", "It's not A because it doesn't make sense, therefore I think it's B", "right"),
    ("B", "B。不是 A", "right"),
    ("(D) Alina", "D", "right"),
    ("C", "A, B or \\boxed{C}, \\boxed{D}", "wrong"),
    ("see the proof above", "5", "unverifiable"),
    ("Friday", "So the day is Friday.", "right"),
]


@pytest.mark.parametrize(("gold", "answer"), [pair for pairs in RIGHT.values() for pair in pairs])
def test_equal(gold: str, answer: str) -> None:
    assert equivalent(gold, answer) is True
    assert judge(gold, f"so it is \\boxed{{{answer}}}").outcome == "right"


@pytest.mark.parametrize(("gold", "answer"), [pair for pairs in WRONG.values() for pair in pairs])
def test_different(gold: str, answer: str) -> None:
    assert equivalent(gold, answer) is False
    assert judge(gold, f"so it is \\boxed{{{answer}}}").outcome == "wrong"


@pytest.mark.parametrize(("gold", "response", "outcome"), RESPONSES)
def test_responses(gold: str, response: str, outcome: str) -> None:
    assert judge(gold, response).outcome == outcome


def test_what_is_missing_is_said() -> None:
    details = [judge("5", text).detail for text in ("", "<think>5", "<think>5</think>", "I cannot say.")]
    assert details == [
        "the response is empty",
        "the reasoning was cut off",
        "nothing after the reasoning",
        "no answer found",
    ]


@pytest.mark.parametrize("seed", [0, 1])
def test_no_wrong_answer_is_right(seed: int) -> None:
    wrong = [item for item in negatives(seed) if item.kind not in ("sums", "integrals")]
    assert len(wrong) >= 2000
    assert not symbolic.equal(Found("2", read("2")), Found("\\sum 1", read("\\sum 1")))  # sympy takes seconds to import
    slowest = 0.0
    for item in wrong:
        start = time.process_time()  # wall-clock time is the pool's business, and a busy machine's
        outcome = judge(item.gold, item.response).outcome
        slowest = max(slowest, time.process_time() - start)
        assert outcome in ("wrong", "missing"), item
    assert slowest < 2.0
    assert len(Counter(item.kind for item in wrong)) >= 50


PIECES = [
    "\\frac",
    "\\sqrt",
    "{",
    "}",
    "(",
    ")",
    "[",
    "]",
    "|",
    "\\boxed{",
    "<think>",
    "</think>",
    "<answer>",
    "</answer>",
    "$",
    "$$",
    "\\[",
    "\\]",
    "\\(",
    "1",
    "2",
    "9",
    "0.5",
    ",",
    ";",
    ":",
    "=",
    "<",
    "≥",
    "\\pm",
    "^",
    "_",
    "!",
    "%",
    "°",
    "x",
    "e",
    "i",
    "\\pi",
    "∞",
    "\\infty",
    "\\cup",
    "∪",
    "∖",
    "\\in",
    "\\{",
    "\\}",
    "\\text{",
    "cm",
    "and",
    "or",
    "answer",
    "is",
    "A",
    "B",
    "not",
    "\\begin{pmatrix}",
    "\\end{pmatrix}",
    "&",
    "\\\\",
    "sin",
    "\\log",
    "\\binom",
    "٣",
    "²",
    "½",
    "√",
    "-",
    "+",
    "*",
    "/",
    "**",
    "1e9",
    "\\overline{3}",
    "...",
    "the",
    "10^{99999}",
    "⌊",
    "≈",
    "≠",
    "9^{9^{9}}",
]
SCRAPS = st.one_of(st.sampled_from([*PIECES, " ", "\n", "\x00"]), st.text(max_size=3))
TEXTS = st.lists(SCRAPS, max_size=14).map("".join)


@settings(max_examples=1500, deadline=None)
@given(TEXTS, TEXTS)
def test_any_text_gets_a_verdict(gold: str, response: str) -> None:
    assert judge(gold, response).outcome in ("right", "wrong", "missing", "unverifiable")


@settings(max_examples=200, deadline=None)
@given(st.fractions(), st.fractions())
def test_fractions_are_exact(first: Fraction, second: Fraction) -> None:
    gold, answer = f"\\frac{{{first.numerator}}}{{{first.denominator}}}", f"{second.numerator}/{second.denominator}"
    assert equivalent(gold, answer) == (first == second)


def test_bounds_of_the_grammar() -> None:
    with pytest.raises(NotAFormula, match="too deep"):
        parse("(" * 100 + "1" + ")" * 100)
    with pytest.raises(NotAFormula, match="too long"):
        parse("1+" * 2000 + "1")
    with pytest.raises(NotAFormula, match="the word 'prose'"):
        parse("prose")
    with pytest.raises(TooLarge):
        exact(parse("*".join(["9^{20000}"] * 20)))
    tower = parse("9^{9^{9^{9}}}")
    assert same(tower, tower) and not same(tower, parse("9^{9^{9^{8}}}"))


@pytest.mark.skipif(not SHARED.exists(), reason="../shared is not here")
def test_labelled_cases() -> None:
    rows = [json.loads(line) for line in (SHARED / "data" / "verifier_cases.jsonl").open()]
    verdicts = [(judge(row["gold"], row["answer"]).outcome == "right", row["expected"]) for row in rows]
    assert sum(said == expected for said, expected in verdicts) >= 0.985 * len(rows)
    assert not [row["id"] for row, (said, expected) in zip(rows, verdicts, strict=True) if said and not expected]


@pytest.mark.skipif(not SHARED.exists(), reason="../shared is not here")
def test_labelled_solutions() -> None:
    rows = [json.loads(line) for line in (SHARED / "data" / "verifier_gsm8k_solutions.jsonl").open()]
    assert [
        row["id"] for row in rows if (judge(row["gold"], row["answer"]).outcome == "right") != row["expected"]
    ] == []
