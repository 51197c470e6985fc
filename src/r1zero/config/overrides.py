"""Settings from the command line, `section.key=value`: what the value is depends on what the key holds.

Where a key holds text, the value is that text: `####`, `12:30` and `a #b` are what was written. Quotes around it are
taken off, and are needed for spaces at its ends or a line break. Elsewhere the value is YAML, as in a recipe.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel

from r1zero.base.errors import UsageError
from r1zero.config.tree import Key, Origins, Tree, merge, parse

_SHOWN = 500  # characters of an override in an error
_COMMENT = re.compile(r"(?:^|\s)#")
_NULL = ("", "null", "~")


def apply(override: str, schema: type[BaseModel], tree: Tree, origins: Origins) -> None:
    """Put an override into the tree of a recipe. Raises UsageError."""
    written, equals, text = override.partition("=")
    if not equals or not written:
        raise UsageError(f"override '{override}': write it as section.key=value")
    key = key_of(written)
    value, own = _read(override, text.strip(), key, list(_kinds(schema, key)))
    for section in key[:-1]:
        tree = _enter(tree, section, override)
    if isinstance(key[-1], int):
        raise UsageError(f"override '{override}': give a whole list or a key of its entries")
    merge(tree, origins, {str(key[-1]): value}, own, key[:-1])
    origins[key] = "command line"
    for size in range(1, len(key)):
        origins.setdefault(key[:size], "command line")


def key_of(written: str) -> Key:
    """`data.sources.1.path` as names and numbers."""
    return tuple(int(part) if part.isdecimal() else part for part in written.split("."))


def _read(override: str, text: str, key: Key, kinds: list[Any]) -> tuple[Any, Origins]:
    """The value of an override for a key that holds one of `kinds`, and the origins of its parts."""
    is_text = bool(kinds) and all(kind is str or isinstance(kind, str) or kind is None for kind in kinds)
    if is_text and None in kinds and text in _NULL:
        return None, {}
    quoted = len(text) > 1 and text[0] == text[-1] and text[0] in "'\""
    if is_text and not quoted:
        return text, {}
    if _COMMENT.search(text) and "'" not in text and '"' not in text:
        raise UsageError(f"override '{override[:_SHOWN]}': what follows # is a comment in YAML; put it in quotes")
    try:
        return parse(text, key, lambda _: "command line")
    except UsageError:
        raise
    except ValueError as error:
        raise UsageError(f"override '{override[:_SHOWN]}': the value is not valid YAML: {error}") from None


def _kinds(annotation: Any, key: Key) -> Iterator[Any]:
    """What a value at `key` may be: types, the texts of a Literal, None. Nothing for a key that is not there."""
    if get_origin(annotation) is Annotated:
        yield from _kinds(get_args(annotation)[0], key)
    elif get_origin(annotation) in (Union, UnionType):
        for option in get_args(annotation):
            yield from _kinds(option, key)
    elif not key:
        texts = get_args(annotation) if get_origin(annotation) is Literal else (annotation,)
        yield from (None if text is type(None) else text for text in texts)
    elif isinstance(annotation, type) and issubclass(annotation, BaseModel):
        if key[0] in annotation.model_fields:
            yield from _kinds(annotation.model_fields[str(key[0])].annotation, key[1:])
    elif get_origin(annotation) in (tuple, list):
        yield from _kinds(get_args(annotation)[0], key[1:])
    elif get_origin(annotation) in (dict, Mapping):
        yield from _kinds(get_args(annotation)[1], key[1:])


def _enter(tree: Any, section: str | int, override: str) -> Tree:
    """A section of a tree, made if need be, or an entry of a list."""
    if isinstance(tree, list):
        if not isinstance(section, int) or section >= len(tree):
            raise UsageError(f"override '{override}': the list has {len(tree)} entries, numbered from 0")
        inner = tree[section]
    else:
        inner = tree.setdefault(section, {})
    if not isinstance(inner, dict | list):
        raise UsageError(f"override '{override}': '{section}' is a value, not a section")
    return inner  # pyright: ignore[reportReturnType]
