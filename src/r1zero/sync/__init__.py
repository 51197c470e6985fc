"""Weights from the trainer to the engine."""
