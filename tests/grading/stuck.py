"""A verifier that C code can hold for ever, as a careless one would be: for tests of the pool's limits."""

from __future__ import annotations

import time

from r1zero.rewards.catalog import verifier_function
from r1zero.rewards.mindspeed import acc
from r1zero.types import Problem, Score


@verifier_function(measures="accuracy")
def stuck(problem: Problem, text: str) -> Score:
    """`acc`, but a power tower is computed."""
    if "9^{9^{9^{9}}}" in text:
        pow(9, 9**9)
    return acc(problem, text)


@verifier_function()
def sleepy(problem: Problem, text: str) -> Score:
    """Takes as many seconds as the text says."""
    time.sleep(float(text))
    return Score(value=1.0)
