"""Algorithms: values made of pure functions, one small file each, found by its table `ALGORITHMS`."""

from __future__ import annotations

from collections.abc import Callable

from r1zero import config
from r1zero.algorithms.base import Algorithm
from r1zero.base import registry

ALGORITHMS: dict[str, Callable[[config.Algorithm], Algorithm]] = registry.collect(__name__, __path__, "ALGORITHMS")

# settings that only some algorithms read
_PARTICULAR = ("gamma", "gae_lambda", "whiten", "filter_by", "max_rounds")

__all__ = ["ALGORITHMS", "Algorithm", "build"]


def build(settings: config.Algorithm) -> Algorithm:
    """The algorithm a recipe names, with its settings. Raises UsageError for an unknown name, and for a setting that
    the algorithm would ignore."""
    return registry.build("algorithm", settings, ALGORITHMS, _PARTICULAR)
