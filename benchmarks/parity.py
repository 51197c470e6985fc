"""A reward that gives every group a spread, for measurements of whole steps: SmolLM2 hardly ever solves a problem, and
a step that learns nothing is quick."""

from r1zero.rewards.catalog import verifier_function
from r1zero.types import Problem, Score


@verifier_function()
def even_length(problem: Problem, text: str) -> Score:
    """1 for an even number of characters."""
    return Score(value=float(len(text) % 2 == 0))
