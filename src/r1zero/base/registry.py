"""Tables of named values, one file each: what algorithms and objectives have in common."""

from __future__ import annotations

import pkgutil
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from r1zero.base.errors import UsageError, suggest


def collect(package: str, path: Iterable[str], table: str) -> dict[str, Callable[[Any], Any]]:
    """The entries of every module in a package that has a dict of the name `table`, and those of installed packages."""
    found: dict[str, Callable[[Any], Any]] = {}
    for file in pkgutil.iter_modules(path):
        found |= vars(import_module(f"{package}.{file.name}")).get(table, {})
    return with_installed(table.lower(), found)


def with_installed(kind: str, own: Mapping[str, Callable[..., Any]]) -> dict[str, Callable[..., Any]]:
    """A table of our own, and what installed packages add to it by entry points of the group `r1zero.KIND`. Each of
    those is loaded when it is called. Raises UsageError for a name that both have."""

    def late(entry: EntryPoint) -> Callable[..., Any]:
        return lambda *arguments, **options: loaded(entry)(*arguments, **options)

    added = declared(kind)
    if twice := sorted(added.keys() & own.keys()):
        raise UsageError(
            f"{_package(added[twice[0]])}: entry point r1zero.{kind}:{twice[0]}: r1zero has one of this name; rename it"
        )
    return {**own, **{name: late(entry) for name, entry in added.items()}}


@cache
def declared(kind: str) -> dict[str, EntryPoint]:
    """Entry points of the group `r1zero.KIND`, by name."""
    return {entry.name: entry for entry in entry_points(group=f"r1zero.{kind}")}


def loaded(entry: EntryPoint) -> Any:
    """The object that an entry point names. Raises UsageError where it cannot be imported."""
    try:
        return entry.load()
    except Exception as error:
        raise UsageError(
            f"{_package(entry)}: entry point {entry.group}:{entry.name} = '{entry.value}' cannot be loaded: "
            f"{type(error).__name__}: {error}"
        ) from error


def _package(entry: EntryPoint) -> str:
    return entry.dist.name if entry.dist else "an installed package"


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
