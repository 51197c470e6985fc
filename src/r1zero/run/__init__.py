"""Checkpoints that are complete or absent, and the run folder they live in."""
