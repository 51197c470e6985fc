"""Scorers above the rules: reward models, a judge that re-checks rejections, and the one that puts them together."""

from r1zero.grading.open import open_scorer

__all__ = ["open_scorer"]
