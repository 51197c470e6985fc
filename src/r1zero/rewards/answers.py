"""Verifiers of one kind of answer each: mathematics, choices, numbers, exact text, JSON."""

from __future__ import annotations

import json
import re
from fractions import Fraction
from typing import Any

from r1zero.rewards.math import UNVERIFIABLE, equivalent, judge, plain_number
from r1zero.rewards.math.choice import of_reference, of_response
from r1zero.rewards.math.extract import final_answer
from r1zero.types import Problem, Score

_ORZ_ANSWER = re.compile(
    r"<answer>((?:(?!<answer>|</answer>).)*?\\boxed\{((?:(?!</answer>).)*)\}(?:(?!</answer>).)*)</answer>", re.DOTALL
)
_FENCE = re.compile(r"```(?:json)?\s*\n(.*?)```", re.DOTALL)


def math(problem: Problem, text: str) -> Score:
    """1 if the final answer equals the reference answer, 0 otherwise; `detail` says what was missing."""
    verdict = judge(problem.answer, text)
    if verdict.outcome == "unverifiable":
        return Score(value=0.0, verdict="unverifiable", detail=UNVERIFIABLE)
    return Score(value=float(verdict.outcome == "right"), detail=verdict.detail)


def orz(problem: Problem, text: str) -> Score:
    """Open-Reasoner-Zero's reward: 1 if the box in the last `<answer>` block is right and the response came to its
    end by itself, 0 otherwise. A response of unknown end (`r1zero grade`) counts as ended."""
    found = _ORZ_ANSWER.findall(text[-20_000:])
    answer = found[-1][1] if found else ""
    same = equivalent(problem.answer, answer)
    if same is None:
        return Score(value=0.0, verdict="unverifiable", detail=UNVERIFIABLE)
    ended = problem.extra.get("finish_reason", "stop") == "stop"
    return Score(value=float(same and ended), detail="" if ended else "the response was cut off")


def multiple_choice(problem: Problem, text: str) -> Score:
    """1 if the response settles on the reference's letter, 0 otherwise. References: `C`, `(D) Alina`."""
    reference = of_reference(problem.answer)
    if reference is None:
        return Score(value=0.0, verdict="unverifiable", detail="the reference answer names no choice from A to J")
    return Score(value=float(of_response(text, reference) == reference.letter))


def numeric(problem: Problem, text: str, *, relative: float = 1e-4, absolute: float = 0.0) -> Score:
    """1 if the final answer is a number within `absolute` or `relative` x |reference| of the reference, 0 otherwise."""
    if min(relative, absolute) < 0:
        raise ValueError(f"numeric: relative = {relative}, absolute = {absolute}: must not be negative")
    reference, answer = _number(problem.answer, gold=True), _number(text, gold=False)
    if reference is None:
        return Score(value=0.0, verdict="unverifiable", detail="the reference answer is no number")
    if answer is None:
        return Score(value=0.0, detail="no number found")
    tolerance = max(Fraction(absolute), Fraction(relative) * abs(reference))
    return Score(value=float(abs(answer - reference) <= tolerance))


def _number(text: str, gold: bool) -> Fraction | None:
    from r1zero.rewards.math.evaluate import exact_or_none
    from r1zero.rewards.math.values import Formula, Relation

    plain = plain_number(text)
    if plain is not None:
        return plain
    value = final_answer(text, gold=gold).value
    if isinstance(value, Relation):
        value = value.sides[-1]
    return exact_or_none(value.node) if isinstance(value, Formula) else None


def exact_match(problem: Problem, text: str, *, ignore_case: bool = False) -> Score:
    """1 if the final answer (in the last `<answer>`, else the last box, else the whole text) is the reference's text
    but for white space around it and between words, 0 otherwise."""
    answer, reference = " ".join(final_text(text).split()), " ".join(problem.answer.split())
    if ignore_case:
        answer, reference = answer.casefold(), reference.casefold()
    return Score(value=float(answer == reference))


def final_text(text: str) -> str:
    from r1zero.rewards.math.extract import after_reasoning, boxes, first_turn

    answer, _ = after_reasoning(first_turn(text))
    found = boxes(answer)
    return found[-1] if found else answer


def json_schema(problem: Problem, text: str) -> Score:
    """1 if the final answer, fenced or not, is JSON that the reference answer, a JSON schema, accepts; 0 otherwise.
    Nothing is fetched: a schema may refer to its own parts only."""
    import jsonschema
    from jsonschema.validators import validator_for
    from referencing import Registry
    from referencing.exceptions import Unresolvable

    try:
        schema: Any = json.loads(problem.answer)
        if not isinstance(schema, dict):
            raise jsonschema.SchemaError(f"must be an object, found {type(schema).__name__}")
        validator = validator_for(schema)
        validator.check_schema(schema)
    except (json.JSONDecodeError, jsonschema.SchemaError) as error:
        return Score(value=0.0, verdict="unverifiable", detail=f"the reference answer is no JSON schema: {error}"[:300])
    try:
        value: Any = json.loads(_json_text(text))
    except (json.JSONDecodeError, RecursionError) as error:
        return Score(value=0.0, detail=f"not JSON: {error}"[:300])
    try:  # without the registry jsonschema would fetch what a schema refers to
        first = next(iter(validator(schema, registry=Registry()).iter_errors(value)), None)
    except Unresolvable as error:
        detail = f"the reference answer refers to a schema that is not part of it: {error}"
        return Score(value=0.0, verdict="unverifiable", detail=detail[:300])
    return Score(value=float(first is None), detail="" if first is None else first.message[:300])


def _json_text(text: str) -> str:
    answer = final_text(text)
    fenced = _FENCE.findall(answer)
    return fenced[-1] if fenced else answer
