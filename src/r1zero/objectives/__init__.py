"""Objectives: training on rows instead of rewards. Adding one takes a file here with a table `OBJECTIVES`."""

from __future__ import annotations

import pkgutil
from collections.abc import Callable
from importlib import import_module

from r1zero import config
from r1zero.errors import UsageError, suggest
from r1zero.objectives.base import Objective

OBJECTIVES: dict[str, Callable[[config.Objective], Objective]] = {}
for _file in pkgutil.iter_modules(__path__):
    OBJECTIVES |= vars(import_module(f"{__name__}.{_file.name}")).get("OBJECTIVES", {})

__all__ = ["OBJECTIVES", "Objective", "build"]


def build(settings: config.Objective) -> Objective:
    """The objective a recipe names, with its settings. Raises UsageError for an unknown name, and for a setting that
    the objective would ignore."""
    if settings.name not in OBJECTIVES:
        raise UsageError(f"objective.name = '{settings.name}': unknown objective{suggest(settings.name, OBJECTIVES)}")
    objective = OBJECTIVES[settings.name](settings)
    for key, field in type(settings).model_fields.items():
        value = getattr(settings, key)
        if key not in {"name", *objective.uses} and value != field.default:
            raise UsageError(f"objective.{key} = {value}: '{settings.name}' does not use it; remove it")
    return objective
