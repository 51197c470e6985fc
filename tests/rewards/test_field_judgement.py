"""Answers as models write them in the field, by the judge: right ones, wrong ones, and references of every make."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from r1zero.rewards.catalog import verifier
from r1zero.rewards.math import judge
from r1zero.rewards.math.notations import spelled_out
from r1zero.types import Problem

from .field_negatives import field_negatives

SHARED = Path(__file__).parents[3] / "shared" / "data"
RIGHT = [
    ("5", "The final answer is \\boxed{5}. I wrote it inside \\boxed as asked."),
    ("5", "I have to write the result in `\\boxed{}`. 2 + 3 = 5. The answer is 5."),
    ("5", "Put it in \\boxed{}: \\boxed{5}"),
    ("5", "\\boxed{5}\n\nNote: answer is given in \\boxed{} format."),
    ("5", "\\boxed{5} (in \\boxed{...} as requested)"),
    ("5", "So \\boxed{5}. I used \\boxed{\\ldots} for it"),
    ("5", "The answer, in \\boxed{answer} form, is \\boxed{5}."),
    ("5", "\\boxed{5}. This is the \\boxed{your answer} format."),
    ("5", "Final: \\boxed{5}\n\nI put my answer within \\boxed{ }."),
    ("5", "\\boxed 5"),
    ("5", "Answer: 5 but I put it in \\boxed{}"),
    ("5", "\\boxed{\\text{answer}} means: \\boxed{5}"),
    ("5", "\\boxed{5}\n\\boxed{}"),
    ("2", "\\boxed 2"),
    ("a", "\\boxed a"),
    ("a", "\\boxed{a}"),
    ("42", "2+40=42\n#### 42\n I used 2 numbers and 3 steps for this. I used 2 numbers and 3 steps for this."),
    ("42", "2+40=42\n#### 42\nAll done, and the reasoning above agrees."),
    ("42", "#### 42"),
    ("42", "#### 41\nNo, wait: that is wrong.\n#### 42\nI checked 3 times."),
    ("42", "#### 42 apples\nDone in 3 steps."),
    ("1000", "#### 1,000\n5 steps"),
    ("42", "#### Step 1\nWe add 2 and 40.\n#### Step 2\nThe answer is 42."),
    ("42", "#### Solution\nWe add 40 and 2 to get 42."),
    ("18", "#### $18\n2 lines"),
    (
        "Janet sells 16 - 3 - 4 = <<16-3-4=9>>9 duck eggs a day.\nShe makes 9 * 2 = $<<9*2=18>>18 every day.\n#### 18",
        "\\boxed{18}",
    ),
    ("A\n#### 1,234", "\\boxed{1234}"),
    ("There are 3 cats.\n#### -5", "\\boxed{-5}"),
    ("Answer: 66", "\\boxed{66}"),
    ("The answer is 66.", "\\boxed{66}"),
    ("Final answer: $\\frac{1}{2}$", "\\boxed{0.5}"),
    ("We add: 11+22=33, and 33+33=66. So the answer is $\\boxed{66}$.", "\\boxed{66}"),
    ("\\boxed{66}", "The answer is 66."),
    ("**66**", "\\boxed{66}"),
    ("Answer: C", "\\boxed{C}"),
    ("The answer is (B).", "\\boxed{B}"),
    ("\\text{(C)}", "\\boxed{C}"),
    ("\\text{(C)}", "\\boxed{\\text{(C)}}"),
    ("\\textbf{(C) } 12", "\\boxed{C}"),
    ("C", "\\boxed{\\text{(C)}}"),
    ("C", "\\boxed{\\text{C}}"),
    ("C", "\\boxed{\\textbf{(C)}}"),
    ("C", "The answer is \\text{(C)}."),
    ("C", "The answer is $\\text{(C)}$"),
    ("C", "\\text{(C)} is right because A and B are not."),
    ("D", "for sure D, it can't be A or B"),
    ("D", "It's D. A and B are wrong."),
    ("D", "I'd go with D since A is too small"),
    ("D", "Definitely (D), not (C)."),
    ("D", "D is correct; options A, B and C are incorrect."),
    ("D", "I ruled out A, B, and C, so D."),
    ("B", "It is either A or B, but A fails, so it must be B."),
    ("B", "Both A and B seem fine, choose B"),
    ("C", "Option C is right, whereas option A is not"),
    ("C", "I think the answer is C rather than D."),
    ("B", "not A but B"),
    ("C", "C, since it can't be D"),
    ("a necessary but not sufficient condition", "\\boxed{a necessary but not sufficient condition}"),
    ("a necessary but not sufficient condition", "\\boxed{necessary but not sufficient condition}"),
    ("a necessary but not sufficient condition", "\\boxed{A Necessary but not Sufficient condition.}"),
    ("a necessary but not sufficient condition", "\\boxed{\\text{a necessary but not sufficient condition}}"),
    ("a necessary but not sufficient condition", "The answer is a necessary but not sufficient condition."),
    ("necessary but not sufficient", "\\boxed{\\text{necessary but not sufficient}}"),
    ("the line is tangent to the circle", "\\boxed{the line is tangent to the circle}"),
    ("12 (inches of snow)", "\\boxed{12}"),
    ("12 (inches of snow)", "\\boxed{12 inches of snow}"),
    ("12", "\\boxed{12 (inches of snow)}"),
    ("12", "The answer is 12 (inches of snow)."),
    ("45 (square meters)", "\\boxed{45}"),
    ("45 (square meters)", "\\boxed{45 m^2}"),
    ("3 (times as many)", "\\boxed{3}"),
    ("8 (kilometers per hour)", "\\boxed{8 km/h}"),
    ("12(apples)", "\\boxed{12}"),
    ("12 (apples)", "\\boxed{12}"),
    ("a) 5 b) 7", "\\boxed{a) 5, b) 7}"),
    ("a) 5 b) 7", "\\boxed{5, 7}"),
    ("(a) 5 (b) 7", "\\boxed{5, 7}"),
    ("(a) 5, (b) 7", "\\boxed{(a) 5; (b) 7}"),
    ("(1) 5; (2) 7", "\\boxed{5, 7}"),
    ("1) 5 2) 7", "\\boxed{(1) 5 (2) 7}"),
    ("(i) 5 (ii) 7", "\\boxed{5, 7}"),
    ("5, 7", "\\boxed{(a) 5, (b) 7}"),
    ("a) 5 b) 7", "The answers are a) 5 and b) 7."),
    ("a) \\frac{1}{2} b) 3", "\\boxed{(a) 0.5 (b) 3}"),
    ("\\{1,2\\}", "\\boxed{1} and \\boxed{2}"),
    ("\\{1,2\\}", "The solutions are $\\boxed{1}$ and $\\boxed{2}$."),
    ("1,2", "\\boxed{1} and \\boxed{2}"),
    ("\\{1,2\\}", "x = \\boxed{1} and x = \\boxed{2}"),
    ("\\{-2,3\\}", "The roots are \\boxed{3} and \\boxed{-2}."),
    ("\\{1,2,3\\}", "\\boxed{1}, \\boxed{2}, and \\boxed{3}"),
    ("(1,2)", "\\boxed{1} and \\boxed{2}"),
    ("\\{(1,2),(3,4)\\}", "\\boxed{(1,2)} and \\boxed{(3,4)}"),
    ("(1,2),(2,1)", "\\boxed{(1,2),(2,1),(1,2)}"),
    ("(1,2),(2,1),(1,2)", "\\boxed{(1,2),(2,1)}"),
    ("x=1, y=2", "\\boxed{y=2, x=1}"),
    ("x=1, y=2", "\\boxed{(1,2)}"),
    ("(1,2)", "\\boxed{x=1, y=2}"),
    ("(1,2)", "\\boxed{y=2, x=1}"),
    ("x=1,y=2", "\\boxed{x = 1 \\text{ and } y = 2}"),
    ("x=1,y=2 or x=2,y=1", "\\boxed{(1,2),(2,1)}"),
    ("x=1,y=2 \\text{ or } x=3,y=4", "\\boxed{(1,2),(3,4)}"),
    ("y = x + 1, y = 2x", "\\boxed{y = 2x, y = x + 1}"),
    ("y = x + 1 \\text{ and } y = 2x", "\\boxed{y = x + 1} and \\boxed{y = 2x}"),
    ("x - y + 1 = 0 or x + y - 3 = 0", "\\boxed{x+y-3=0 or x-y+1=0}"),
    ("5", "\\boxed{\\begin{vmatrix} 1 & 2 \\\\ 3 & 11 \\end{vmatrix} = 5}"),
    ("5", "$\\begin{vmatrix} 1 & 2 \\\\ 3 & 11 \\end{vmatrix} = 11 - 6 = 5$"),
    ("\\begin{vmatrix} 1 & 2 \\\\ 3 & 11 \\end{vmatrix} = 5", "\\boxed{5}"),
    ("5", "\\boxed{\\det(A) = 5}"),
    ("5", "\\boxed{\\det A = 5}"),
    ("5", "\\boxed{|A| = 5}"),
    ("1000", "\\boxed{1'000}"),
    ("1000000", "\\boxed{1'000'000}"),
    ("1'000", "\\boxed{1000}"),
    ("1101_{two}", "\\boxed{1101_2}"),
    ("1101_{2}", "\\boxed{1101_{two}}"),
    ("1101_{\\text{two}}", "\\boxed{1101_2}"),
    ("413_5", "\\boxed{413_{five}}"),
    ("10", "\\boxed{C(5,2)}"),
    ("C(5,2)", "\\boxed{10}"),
    ("10", "\\boxed{\\binom{5}{2}}"),
    ("C(52,5)", "\\boxed{2598960}"),
    ("C_5^2", "\\boxed{10}"),
    ("{}_5C_2", "\\boxed{10}"),
    ("5C2", "\\boxed{10}"),
    ("1", "\\boxed{1st}"),
    ("1st", "\\boxed{1}"),
    ("1st", "\\boxed{first}"),
    ("21", "\\boxed{21^{st}}"),
    ("3 dozen", "\\boxed{36}"),
    ("36", "\\boxed{3 dozen}"),
    ("3 dozen", "\\boxed{3 dozen eggs}"),
    ("36 eggs", "\\boxed{3 dozen eggs}"),
    ("first", "\\boxed{1st}"),
    ("1101_2", "\\boxed{(1101)_2}"),
    ("1101_2", "\\boxed{1101_{(2)}}"),
    ("1101_2", "\\boxed{1101_{\\text{base } 2}}"),
    ("1101_2", "\\boxed{1101 base 2}"),
    ("1101_2", "\\boxed{1101₂}"),
    ("1101_2", "\\boxed{1101_{base 2}}"),
    ("1101_2", "\\boxed{1101 (base 2)}"),
    ("1101_{two}", "\\boxed{1101_{\\text{two}}}"),
    ("AB_{16}", "\\boxed{AB_{sixteen}}"),
    ("1000", "\\boxed{1’000}"),
    ("1000.5", "\\boxed{1'000.5}"),
    ("10", "\\boxed{\\mathrm{C}_5^2}"),
    ("10", "\\boxed{\\mathrm{C}_{5}^{2}}"),
    ("10", "\\boxed{\\dbinom{5}{2}}"),
    ("10", "\\boxed{^5C_2}"),
    ("10", "\\boxed{^{5}C_{2}}"),
    ("10", "\\boxed{_5C_2}"),
    ("10", "\\boxed{{5 \\choose 2}}"),
    ("10", "\\boxed{5 \\text{ choose } 2}"),
    ("10", "\\boxed{nCr(5,2)}"),
    ("36", "\\boxed{3 dozens}"),
    ("36", "\\boxed{three dozen}"),
    ("36", "\\boxed{3\\text{ dozen}}"),
    ("36", "\\boxed{3 dozen eggs}"),
    ("3", "\\boxed{3rd}"),
    ("3^{\\text{rd}}", "\\boxed{3}"),
    ("12", "\\boxed{12 (inches)}"),
    ("12", "\\boxed{12 \\text{(inches of snow)}}"),
    ("12", "\\boxed{12\\ (\\text{inches of snow})}"),
    ("12\\text{ (inches of snow)}", "\\boxed{12}"),
    ("12 (inches of snow)", "\\boxed{12 in}"),
    ("$12 (per hour)", "\\boxed{12}"),
    ("5 (people) and 3 (cats)", "\\boxed{5, 3}"),
    ("(a) 5; (b) 7", "\\boxed{5 and 7}"),
    ("a. 5 b. 7", "\\boxed{5, 7}"),
    ("a) 5, b) 7", "\\boxed{(5, 7)}"),
    ("(a) 5 (b) 7", "\\boxed{\\text{(a) } 5 \\text{ (b) } 7}"),
    ("(a) 5 (b) 7", "\\boxed{(a)\\ 5,\\ (b)\\ 7}"),
    ("1) 5; 2) 7; 3) 9", "\\boxed{5, 7, 9}"),
    ("(i) 5, (ii) 7", "\\boxed{(i) 5 \\\\ (ii) 7}"),
    ("Part a: 5, Part b: 7", "\\boxed{5, 7}"),
    ("\\text{(C)}", "\\boxed{C}"),
    ("\\textbf{(C)}", "\\boxed{(C)}"),
    ("\\text{C}", "\\boxed{\\text{(C) 12}}"),
    ("(C)", "\\boxed{C) 12}"),
    ("C", "\\boxed{Option C}"),
    ("C", "\\boxed{\\text{Option C}}"),
    ("C", "\\boxed{The correct option is (C) 12.}"),
    ("\\{1,2\\}", "The solutions are \\boxed{1} \\text{ and } \\boxed{2}."),
    ("\\{1,2\\}", "x_1 = \\boxed{1}, x_2 = \\boxed{2}"),
    ("\\{1,2\\}", "either \\boxed{1} or \\boxed{2}"),
    ("(1,2),(3,4),(1,2)", "\\boxed{(3,4),(1,2)}"),
    ("\\{(1,2),(2,1)\\}", "\\boxed{(1,2), (2,1), (1,2)}"),
    ("x=1,y=2", "\\boxed{(x,y)=(1,2)}"),
    ("(1,2)", "\\boxed{(x,y)=(1,2)}"),
    ("x=1, y=2", "\\boxed{\\begin{cases} x=1 \\\\ y=2 \\end{cases}}"),
    ("(1,2)", "\\boxed{\\begin{cases} x=1 \\\\ y=2 \\end{cases}}"),
    ("y=x+1 \\text{ and } y=2x", "\\boxed{y=2x, y=x+1}"),
    ("y=2x, y=x+1", "\\boxed{y - 2x = 0, y - x = 1}"),
    ("-2", "\\boxed{\\begin{vmatrix} 1 & 2 \\\\ 3 & 4 \\end{vmatrix} = -2}"),
    ("-2", "\\boxed{\\det \\begin{pmatrix} 1 & 2 \\\\ 3 & 4 \\end{pmatrix} = -2}"),
    ("-2", "\\boxed{\\det\\begin{bmatrix} 1 & 2 \\\\ 3 & 4 \\end{bmatrix} = 1 \\cdot 4 - 2 \\cdot 3 = -2}"),
    ("-2", "\\boxed{\\left| \\begin{array}{cc} 1 & 2 \\\\ 3 & 4 \\end{array} \\right| = -2}"),
    ("-2", "\\boxed{\\det(A) = ad - bc = -2}"),
    ("-2", "\\boxed{|A| = 1*4 - 2*3 = -2}"),
    ("necessary but not sufficient", "\\boxed{\\textbf{necessary but not sufficient}}"),
    ("a necessary but not sufficient condition", '\\boxed{"necessary but not sufficient condition"}'),
    ("neither", "\\boxed{Neither}"),
    ("The lines are parallel", "\\boxed{\\text{the lines are parallel}}"),
    ("increasing and then decreasing", "\\boxed{increasing and then decreasing}"),
    ("There is no solution", "\\boxed{no solution}"),
    ("no solution", "\\boxed{\\text{No solution}}"),
    ("no real solutions", "\\boxed{\\text{There are no real solutions}}"),
    ("\\frac{e_1+1}{2}", "\\boxed{\\frac{1+e_1}{2}}"),
    ("13", "\\boxed{\\frac{1101_2}{1}}"),
    ("\\sqrt{b_1}{2}", "\\boxed{\\sqrt{b_1}{2}}"),
]
WRONG = [
    ("a", "I must put the answer in \\boxed at the end. The answer is 5."),
    ("i", "I should use \\boxed in the end. The answer is 7"),
    ("5", "\\boxed{} The answer is 6"),
    ("5", "\\boxed{...} The answer is 4."),
    ("5", "\\boxed{5}\\boxed{6}"),
    ("5", "In \\boxed{5} and \\boxed{6}"),
    ("-3", "It fell from 2 by 5.\n#### 3"),
    ("42", "#### 42\n#### 41"),
    ("2", "#### Step 1\nWe add.\n#### Step 2\nThe answer is 42."),
    (
        "Janet sells 16 - 3 - 4 = <<16-3-4=9>>9 duck eggs a day.\nShe makes 9 * 2 = $<<9*2=18>>18 every day.\n#### 18",
        "\\boxed{9}",
    ),
    (
        "Janet sells 16 - 3 - 4 = <<16-3-4=9>>9 duck eggs a day.\nShe makes 9 * 2 = $<<9*2=18>>18 every day.\n#### 18",
        "\\boxed{2}",
    ),
    ("There are 3 cats.\n#### -5", "\\boxed{5}"),
    ("Answer: 66", "\\boxed{67}"),
    ("We add: 11+22=33, and 33+33=66. So the answer is $\\boxed{66}$.", "\\boxed{33}"),
    ("We add: 11+22=33, and 33+33=66. So the answer is $\\boxed{66}$.", "\\boxed{11}"),
    ("Answer: C", "\\boxed{D}"),
    ("The answer is (B).", "\\boxed{A}"),
    ("\\text{(C)}", "\\boxed{\\text{(D)}}"),
    ("A", "for sure D, it can't be A or B"),
    ("B", "for sure D, it can't be A or B"),
    ("C", "D is correct; options A, B and C are incorrect."),
    ("A", "It is either A or B, but A fails, so it must be B."),
    ("D", "I think the answer is C rather than D."),
    ("A", "A or B"),
    ("A", "\\boxed{A, B}"),
    ("A", "\\boxed{A} or \\boxed{B}"),
    ("A", "The answer cannot be A."),
    ("D", "C, since it can't be D"),
    ("a necessary but not sufficient condition", "\\boxed{a sufficient but not necessary condition}"),
    ("a necessary but not sufficient condition", "\\boxed{necessary and sufficient}"),
    (
        "a necessary but not sufficient condition",
        "It is a necessary but not sufficient condition, or a sufficient but not necessary condition",
    ),
    ("the line is tangent to the circle", "\\boxed{the line intersects the circle}"),
    ("12 (inches of snow)", "\\boxed{13}"),
    ("45 (square meters)", "\\boxed{45 m}"),
    ("a) 5 b) 7", "\\boxed{7, 5}"),
    ("a) 5 b) 7", "\\boxed{5}"),
    ("a) 5 b) 7", "\\boxed{a) 7 b) 5}"),
    ("(1) 8 (2) 3", "\\boxed{8, 4}"),
    ("\\{1,2\\}", "The solutions are $\\boxed{1}$ and $\\boxed{3}$."),
    ("\\{1,2\\}", "\\boxed{1}"),
    ("\\{1,2\\}", "\\boxed{1}, \\boxed{2} and \\boxed{3}"),
    ("\\{(1,2),(3,4)\\}", "\\boxed{(1,2)} and \\boxed{(4,3)}"),
    ("(1,2),(2,1)", "\\boxed{(1,2),(1,2)}"),
    ("(1,2),(2,1)", "\\boxed{(1,2),(2,1),(3,1)}"),
    ("1,2", "\\boxed{1,2,2}"),
    ("2,2", "\\boxed{2}"),
    ("x=1, y=2", "\\boxed{(2,1)}"),
    ("x=1, y=2", "\\boxed{x=2, y=1}"),
    ("(1,2)", "\\boxed{x=2, y=1}"),
    ("x=1,y=2 \\text{ or } x=3,y=4", "\\boxed{(1,4),(3,2)}"),
    ("y = x + 1, y = 2x", "\\boxed{y = 2x, y = x - 1}"),
    ("x - y + 1 = 0 or x + y - 3 = 0", "\\boxed{x+y-3=0 or x-y-1=0}"),
    ("5", "\\boxed{\\begin{vmatrix} 1 & 2 \\\\ 3 & 11 \\end{vmatrix} = 6}"),
    ("11", "$\\begin{vmatrix} 1 & 2 \\\\ 3 & 11 \\end{vmatrix} = 11 - 6 = 5$"),
    ("1000", "\\boxed{1'001}"),
    ("1101_{two}", "\\boxed{1011_{two}}"),
    ("1101_{two}", "\\boxed{1101_3}"),
    ("10", "\\boxed{C(5,1)}"),
    ("1st", "\\boxed{2nd}"),
    ("2", "\\boxed{1st}"),
    ("3 dozen", "\\boxed{4 dozen}"),
]
USABLE = (  # references that `rewards.reference` tries before a run
    "Answer: 66",
    "The answer is (B).",
    "We add: 11+22=33, and 33+33=66. So the answer is $\\boxed{66}$.",
    "She sells 9 eggs.\n#### 18",
    "a necessary but not sufficient condition",
    "12 (inches of snow)",
    "a) 5 b) 7",
    "\\text{A, D, F, G, H}",
    "3 dozen",
)
UNUSABLE = ("the proof is above", "Yes, since every even number greater than two that we tried is a sum of two primes.")


@pytest.mark.parametrize(("gold", "response"), RIGHT)
def test_right(gold: str, response: str) -> None:
    assert judge(gold, response).outcome == "right"


@pytest.mark.parametrize(("gold", "response"), WRONG)
def test_wrong(gold: str, response: str) -> None:
    assert judge(gold, response).outcome in ("wrong", "missing")


@pytest.mark.parametrize(
    "text", ["\\frac{a_1}{2}", "\\frac{e_1+1}{2}", "2^{b_1}", "triangle base 2", "x_1", "the base 10", "\\text{base 2}"]
)
def test_what_is_no_base_stays(text: str) -> None:
    assert spelled_out(text) == text


def test_no_brace_is_taken_along() -> None:
    assert spelled_out("\\frac{C_5^2}{3}") == "\\frac{\\binom{5}{2}}{3}" == spelled_out("\\frac{C^{2}_5}{3}")
    assert spelled_out("\\frac{C_{5}^{2}}{_5C_2}") == "\\frac{\\binom{5}{2}}{\\binom{5}{2}}"
    assert spelled_out("\\frac{1101_2}{C_{two}}") == "\\frac{1101_{2}}{C_{2}}"
    assert spelled_out("\\frac{1101_{\\text{base } 2}}{1_{\\text{two}}}") == "\\frac{1101_{2}}{1_{2}}"


@pytest.mark.parametrize("seed", [0, 1])
def test_no_wrong_answer_is_right(seed: int) -> None:
    items = list(field_negatives(seed))
    assert len(items) > 2000
    assert [item for item in items if judge(item.gold, item.response).outcome == "right"] == []


@pytest.mark.parametrize("name", ["math", "base_acc", "math_17k_acc", "orz"])
def test_references_that_the_judge_reads_are_usable(name: str) -> None:
    entry = verifier(name)
    for answer, usable in (*((text, True) for text in USABLE), *((text, False) for text in UNUSABLE)):
        problem = Problem(id="x", question="?", answer=answer, source="x")
        assert entry.accepts(entry.verify(problem, entry.right_response(problem))) == usable, answer


@pytest.mark.skipif(not SHARED.exists(), reason="../shared is not here")
@pytest.mark.parametrize(("folder", "opening"), [("04", ""), ("05", ""), ("11", "<think>")])
def test_labelled_cases(folder: str, opening: str) -> None:
    """`opening` is what the template begins: see `tests/data/test_opening.py`."""
    rows = [json.loads(line) for line in (SHARED / "field" / folder / "cases.jsonl").open()]
    verdicts = {row["id"]: judge(row["gold"], opening + row["answer"].removeprefix(opening)).outcome for row in rows}
    assert {name: verdict == "right" for name, verdict in verdicts.items()} == {
        row["id"]: row["expected"] for row in rows
    }


@pytest.mark.skipif(not SHARED.exists(), reason="../shared is not here")
def test_solutions_of_gsm8k_are_references_and_responses() -> None:
    rows = [json.loads(line) for line in (SHARED / "gsm8k_test.jsonl").open()]
    for row in rows:
        solution, answer = row["answer"], row["answer"].rpartition("####")[2].strip()
        assert judge(answer, solution + "\nI used 2 numbers.").outcome == "right"
        assert judge(solution, f"\\boxed{{{answer}}}").outcome == "right"
        assert judge(solution, f"\\boxed{{{answer}1}}").outcome == "wrong"
