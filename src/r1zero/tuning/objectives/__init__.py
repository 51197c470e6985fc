"""Objectives: training on rows instead of rewards. Adding one takes a file here with a table `OBJECTIVES`."""

from __future__ import annotations

from collections.abc import Callable

from r1zero import config
from r1zero.base import registry
from r1zero.tuning.objectives.base import Objective

OBJECTIVES: dict[str, Callable[[config.Objective], Objective]] = registry.collect(__name__, __path__, "OBJECTIVES")

__all__ = ["OBJECTIVES", "Objective", "build"]


def build(settings: config.Objective) -> Objective:
    """The objective a recipe names, with its settings. Raises UsageError for an unknown name, and for a setting that
    the objective would ignore."""
    particular = [key for key in type(settings).model_fields if key != "name"]
    return registry.build("objective", settings, OBJECTIVES, particular)
