"""Evaluation on held-out problems, and grading of files of responses."""
