"""(Problem, text) -> Score: verifiers are pure functions, `pool.py` owns their time and memory."""
