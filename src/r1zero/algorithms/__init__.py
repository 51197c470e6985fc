"""Algorithms are values made of pure functions. A file here with a table `ALGORITHMS` is all that adding one takes."""

from __future__ import annotations

import pkgutil
from collections.abc import Callable
from importlib import import_module

from r1zero import config
from r1zero.algorithms.base import Algorithm
from r1zero.errors import UsageError, suggest

ALGORITHMS: dict[str, Callable[[config.Algorithm], Algorithm]] = {}
for _file in pkgutil.iter_modules(__path__):
    ALGORITHMS |= vars(import_module(f"{__name__}.{_file.name}")).get("ALGORITHMS", {})

# settings that only some algorithms read
_PARTICULAR = ("gamma", "gae_lambda", "whiten", "filter_by", "max_rounds")

__all__ = ["ALGORITHMS", "Algorithm", "build"]


def build(settings: config.Algorithm) -> Algorithm:
    """The algorithm a recipe names, with its settings. Raises UsageError for an unknown name, and for a setting that
    the algorithm would ignore."""
    if settings.name not in ALGORITHMS:
        raise UsageError(f"algorithm.name = '{settings.name}': unknown algorithm{suggest(settings.name, ALGORITHMS)}")
    algorithm = ALGORITHMS[settings.name](settings)
    for key in _PARTICULAR:
        value = getattr(settings, key)
        if key not in algorithm.uses and value != type(settings).model_fields[key].default:
            raise UsageError(f"algorithm.{key} = {value}: '{settings.name}' does not use it; remove it")
    return algorithm
