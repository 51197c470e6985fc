"""Verifiers of the final answer: the last box, judged by math-verify."""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Any

from r1zero.rewards.format import last_box, think_then_boxed_answer
from r1zero.types import Problem, Score

_END_OF_TURN = ("</s>", "<|im_end|>", "<|endoftext|>")
_PLAIN_NUMBER = re.compile(r"[-+]?[0-9]{1,40}(\.[0-9]{1,40})?")
_UNVERIFIABLE = "the reference answer cannot be parsed"


def acc(problem: Problem, text: str) -> Score:
    """1 right, -0.5 wrong, -1 no answer in a box (MindSpeed-RL `acc`'s values; equality by math-verify)."""
    answer = last_box(_first_turn(text))
    if answer is None or not answer.strip():
        return _unless_unverifiable(problem, -1.0)
    same = equivalent(problem.answer, answer)
    if same is None:
        return Score(value=0.0, verdict="unverifiable", detail=_UNVERIFIABLE)
    return Score(value=1.0 if same else -0.5)


def base_acc(problem: Problem, text: str) -> Score:
    """1 for a right answer in the box of `<think>...</think>...<answer>...\\boxed{...}...</answer>`, 0 otherwise
    (MindSpeed-RL `base_acc`)."""
    answer = last_box(text)
    if answer is None or not think_then_boxed_answer(text):
        return _unless_unverifiable(problem, 0.0)
    same = equivalent(problem.answer, answer)
    if same is None:
        return Score(value=0.0, verdict="unverifiable", detail=_UNVERIFIABLE)
    return Score(value=1.0 if same else 0.0)


def equivalent(gold: str, answer: str) -> bool | None:
    """Whether an answer equals the reference; None if the reference cannot be parsed.

    Plain numbers are compared exactly. May run for ever on hostile input: call it in a worker of `rewards.pool`.
    """
    plain_gold, plain_answer = plain_number(gold), plain_number(answer)
    if plain_gold is not None and plain_answer is not None:
        return plain_gold == plain_answer
    if not verifiable(gold):
        return None
    from math_verify import verify

    return verify(_parse(gold), _parse(answer), timeout_seconds=None)


def verifiable(gold: str) -> bool:
    """Whether a reference answer can be judged. math-verify would read prose as a product of its letters."""
    if plain_number(gold) is not None:
        return True
    return any(character.isalnum() for character in gold) and not _prose(gold) and bool(_parse(gold))


def _first_turn(text: str) -> str:
    """The text up to the first end-of-turn marker: what a model adds after it is not its answer."""
    places = [place for token in _END_OF_TURN if (place := text.find(token)) >= 0]
    return text[: min(places)] if places else text


def _unless_unverifiable(problem: Problem, value: float) -> Score:
    """A response without an answer is worth `value`, but only if an answer could have been judged."""
    if verifiable(problem.answer):
        return Score(value=value)
    return Score(value=0.0, verdict="unverifiable", detail=_UNVERIFIABLE)


def plain_number(text: str) -> Fraction | None:
    """A plain decimal number, thousands separated by commas or not; None for anything else."""
    compact = text.strip().strip("$").strip()
    if re.fullmatch(r"[-+]?[0-9]{1,3}(,[0-9]{3})+(\.[0-9]{1,40})?", compact):
        compact = compact.replace(",", "")
    return Fraction(compact) if _PLAIN_NUMBER.fullmatch(compact) else None


def _prose(gold: str) -> bool:
    """Several words outside LaTeX commands and hardly a number. Example: `see the proof above`."""
    bare = re.sub(r"\\[a-zA-Z]+(\{[^{}]*\})?", " ", gold)
    words = len(re.findall(r"[A-Za-z]{3,}", bare))
    return words >= 5 or (words >= 2 and not re.search(r"[0-9]", bare))


def _parse(answer: str) -> list[Any]:
    from math_verify import ExprExtractionConfig, LatexExtractionConfig, parse

    configs = [LatexExtractionConfig(boxed_match_priority=0), ExprExtractionConfig()]
    # no time limit of its own: it uses SIGALRM, which C code ignores; the pool's limit is a kill
    return parse(f"\\boxed{{{answer}}}", extraction_config=configs, parsing_timeout=0, raise_on_error=True)
