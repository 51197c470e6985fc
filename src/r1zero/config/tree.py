"""YAML texts as trees of plain values, and where each value stands."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import yaml

from r1zero.base.errors import UsageError

Tree: TypeAlias = dict[str, Any]
Key: TypeAlias = tuple[str | int, ...]
Origins: TypeAlias = dict[Key, str]  # key -> "file:line" of the value that won

_LARGEST = 3e38  # of the floats that single precision holds


_OURS = tuple(f"tag:yaml.org,2002:{name}" for name in ("int", "float", "timestamp"))


class _Loader(yaml.SafeLoader):
    """Safe YAML with the numbers of YAML 1.2: floats include `1e-6`, which YAML 1.1 reads as text; `12:30` is no number
    in base 60, `010` none in base 8, and a date is text."""

    yaml_implicit_resolvers = {  # noqa: RUF012 (PyYAML's own)
        letter: [(tag, pattern) for tag, pattern in resolvers if tag not in _OURS]
        for letter, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:int", re.compile(r"^[-+]?(?:0|[1-9][\d_]*|0b[01_]+|0x[\da-fA-F_]+)$"), list("-+0123456789")
)
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(
        r"^(?:[-+]?(?:\d[\d_]*\.[\d_]*|\.\d[\d_]*|\d[\d_]*(?=[eE]))(?:[eE][-+]?\d+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$"
    ),
    list("-+.0123456789"),
)


def _integer(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> int:
    try:
        return loader.construct_yaml_int(node)
    except ValueError:  # Python reads 4,300 digits
        raise yaml.constructor.ConstructorError(None, None, "a number of too many digits", node.start_mark) from None


_Loader.add_constructor("tag:yaml.org,2002:int", _integer)


def parse(text: str, key: Key, place: Callable[[int], str]) -> tuple[Any, Origins]:
    """The value of a YAML text that stands at `key`, and the origins of its parts: `place` names a line, from 1. Raises
    UsageError for a key given twice, ValueError for a text that is not YAML."""
    try:
        loader = _Loader(text)
        try:
            origins: Origins = {}
            node = loader.get_single_node()
            if node is None:
                return None, origins
            _note_origins(node, key, place, origins)
            return loader.construct_document(node), origins
        finally:
            loader.dispose()
    except yaml.YAMLError as error:
        raise ValueError(" ".join(str(error).split())) from None
    except RecursionError:
        raise ValueError("it is nested too deeply, or holds itself") from None


def _note_origins(node: yaml.Node, key: Key, place: Callable[[int], str], origins: Origins) -> None:
    if isinstance(node, yaml.MappingNode):
        for name, value in node.value:
            where = place(name.start_mark.line + 1)
            if not isinstance(name, yaml.ScalarNode):
                raise UsageError(f"{where}: {dotted(key) or 'the recipe'}: a key must be text")
            inner = (*key, name.value)
            if inner in origins:
                raise UsageError(f"{where}: {dotted(inner)}: given twice; remove one")
            origins[inner] = where
            _note_origins(value, inner, place, origins)
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            origins[(*key, index)] = place(value.start_mark.line + 1)
            _note_origins(value, (*key, index), place, origins)


def merge(base: Tree, base_origins: Origins, over: Tree, over_origins: Origins, at: Key = ()) -> None:
    """Put `over` over `base`, both of which stand at `at`: sections merge key by key; lists and values replace all that
    stood there."""
    replaced = set(_leaves(over, at))
    for key in [key for key in base_origins if any(key[:size] in replaced for size in range(1, len(key) + 1))]:
        del base_origins[key]
    base_origins |= over_origins
    _merge(base, over)


def _merge(base: Tree, over: Tree) -> None:
    for name, value in over.items():
        if isinstance(value, dict) and isinstance(base.get(name), dict):
            _merge(base[name], value)
        else:
            base[name] = value


def _leaves(value: Any, key: Key) -> Iterator[Key]:
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _leaves(inner, (*key, str(name)))
    else:
        yield key


def unusable(value: Any, key: Key = ()) -> Iterator[tuple[Key, object, str]]:
    """The values that no key of a recipe can have, and why: what JSON does not know, and numbers beyond all use."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from unusable(inner, (*key, str(name)))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from unusable(inner, (*key, index))
    elif isinstance(value, float) and not abs(value) <= _LARGEST:
        yield key, value, "must be a finite number that single precision can hold"
    elif isinstance(value, int) and value.bit_length() > 63:
        yield key, value, "has more than 63 bits; choose a smaller number"
    elif value is not None and not isinstance(value, str | int | float):
        yield key, value, f"is of YAML's type {type(value).__name__}; write it as text or a number"


def dotted(key: Key) -> str:
    return ".".join(str(part) for part in key)
