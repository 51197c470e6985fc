"""Verifiers, (problem, text) -> Score, and the judgement of mathematics: pure functions. `grading/` runs them."""
