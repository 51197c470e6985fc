"""Algorithms are values made of pure functions. `build` finds the one a recipe names."""

from __future__ import annotations

from collections.abc import Callable

from r1zero import config
from r1zero.algorithms.base import Algorithm
from r1zero.algorithms.grpo import grpo
from r1zero.errors import UsageError, suggest

ALGORITHMS: dict[str, Callable[[config.Algorithm], Algorithm]] = {"grpo": grpo}

__all__ = ["ALGORITHMS", "Algorithm", "build"]


def build(settings: config.Algorithm) -> Algorithm:
    """The algorithm a recipe names, with its settings. Raises UsageError for an unknown name."""
    if settings.name not in ALGORITHMS:
        raise UsageError(f"algorithm.name = '{settings.name}': unknown algorithm{suggest(settings.name, ALGORITHMS)}")
    return ALGORITHMS[settings.name](settings)
