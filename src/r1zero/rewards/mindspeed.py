"""MindSpeed-RL's rule rewards by their names and with their values (`strict_format` is in `format.py`); equality is
`r1zero.rewards.math`.

Mended: no verdict depends on what is in a one-second queue; `format` no longer accepts lines after `</answer>`;
`step` counts numbered lists anywhere; a reference answer that cannot be judged is a verdict and not a wrong answer.
"""

from __future__ import annotations

import re

from r1zero.rewards.format import last_box, think_then_boxed_answer
from r1zero.rewards.math import UNVERIFIABLE, equivalent, judge, verifiable
from r1zero.rewards.math.extract import boxes, first_turn
from r1zero.types import Problem, Score

_LAYOUT = re.compile(r"<think>.*?</think>\s*<answer>.*?</answer>", re.DOTALL)
_STEP = re.compile(r"Step \d+:|^\d+\.|\n-|\n\*|First,|Second,|Next,|Finally,", re.MULTILINE)
_MINERVA = re.compile(r"Answer\s*:\s*([^\n]+)", re.IGNORECASE)
_TOOL_CALL = re.compile(r"<tool_call>|<code>")


def acc(problem: Problem, text: str) -> Score:
    """1 right, -0.5 wrong, -1 no answer in a box."""
    return graded(problem, _boxed(first_turn(text)), right=1.0, wrong=-0.5, missing=-1.0)


def base_acc(problem: Problem, text: str) -> Score:
    """1 for a right answer in the box of `<think>...</think>...<answer>...\\boxed{...}...</answer>`, 0 otherwise."""
    return graded(problem, _boxed(text) if think_then_boxed_answer(text) else None, right=1.0, wrong=0.0, missing=0.0)


def math_17k_acc(problem: Problem, text: str) -> Score:
    """1 for a right answer in a box, 0 otherwise. `acc_for_ppo` is the same."""
    return graded(problem, _boxed(first_turn(text)), right=1.0, wrong=0.0, missing=0.0)


def math_verify_reward(problem: Problem, text: str) -> Score:
    """1 for a right answer wherever it stands in a text of `base_acc`'s layout, 0 otherwise."""
    if not think_then_boxed_answer(text):
        return graded(problem, None, right=1.0, wrong=0.0, missing=0.0)
    verdict = judge(problem.answer, text)
    if verdict.outcome == "unverifiable":
        return Score(value=0.0, verdict="unverifiable", detail=UNVERIFIABLE)
    return Score(value=float(verdict.outcome == "right"))


def acc_for_dapo(problem: Problem, text: str) -> Score:
    """1 if the line after the last `Answer:` within the last 300 characters is right, -1 otherwise (Minerva's
    prompt)."""
    lines = _MINERVA.findall(text[-300:])
    answer = lines[-1].strip() if lines else None
    boxed = _boxed(answer) if answer else None
    return graded(problem, boxed or answer, right=1.0, wrong=-1.0, missing=-1.0)


def retool_reward(problem: Problem, text: str) -> Score:
    """1 if the last box within the last 100 characters holds the reference answer letter by letter; otherwise -1 and
    0.1 more for every tool call (`<tool_call>` or `<code>`), at most 0."""
    answer = last_box(text[-100:])
    if answer is not None and answer.strip() == problem.answer.strip():
        return Score(value=1.0)
    return Score(value=min(0.0, -1.0 + 0.1 * len(_TOOL_CALL.findall(text))))


def format(problem: Problem, text: str) -> Score:
    """1 for `<think>...</think>` and `<answer>...</answer>` and nothing around them, 0 otherwise."""
    return Score(value=float(_LAYOUT.fullmatch(text) is not None))


def step(problem: Problem, text: str) -> Score:
    """A third for each sign of a step (`Step 1:`, `1.`, a bullet, `First,` ...), at most 1."""
    return Score(value=min(1.0, len(_STEP.findall(text)) / 3))


def graded(problem: Problem, answer: str | None, *, right: float, wrong: float, missing: float) -> Score:
    """The score of an answer that has been cut out; None and blank mean that there is none."""
    if answer is None or not answer.strip():
        if verifiable(problem.answer):
            return Score(value=missing)
        return Score(value=0.0, verdict="unverifiable", detail=UNVERIFIABLE)
    same = equivalent(problem.answer, answer)
    if same is None:
        return Score(value=0.0, verdict="unverifiable", detail=UNVERIFIABLE)
    return Score(value=right if same else wrong)


def _boxed(text: str) -> str | None:
    """What is in the last box, or in the last boxes if they belong together."""
    found = boxes(text)
    return ", ".join(found) if found else None
