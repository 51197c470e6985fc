"""Tables of named values, one file each: what algorithms and objectives have in common."""

from __future__ import annotations

import pkgutil
from collections.abc import Callable, Iterable
from importlib import import_module
from typing import Any

from r1zero.base.errors import UsageError, suggest


def collect(package: str, path: Iterable[str], table: str) -> dict[str, Callable[[Any], Any]]:
    """The entries of every module in a package that has a dict of the name `table`."""
    found: dict[str, Callable[[Any], Any]] = {}
    for file in pkgutil.iter_modules(path):
        found |= vars(import_module(f"{package}.{file.name}")).get(table, {})
    return found


def build(section: str, settings: Any, table: dict[str, Callable[[Any], Any]], particular: Iterable[str]) -> Any:
    """The value that `settings.name` names, made of the settings. Raises UsageError for an unknown name, and for one of
    the `particular` settings that is not at its default though the value has it not among its `uses`."""
    if settings.name not in table:
        raise UsageError(f"{section}.name = '{settings.name}': unknown {section}{suggest(settings.name, table)}")
    made = table[settings.name](settings)
    for key in particular:
        value = getattr(settings, key)
        if key not in made.uses and value != type(settings).model_fields[key].default:
            raise UsageError(f"{section}.{key} = {value}: '{settings.name}' does not use it; remove it")
    return made
