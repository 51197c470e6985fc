"""Verifiers, (problem, text) -> Score, and the judgement of mathematics: pure functions. Who runs them is `grading/`."""
