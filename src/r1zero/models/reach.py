"""How far back a model's layers look: windows, and their like, that a config sets."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from r1zero.models.configs import nested

# tokens beyond which a key is hidden: from the query, of its chunk, or not among the best
_NAMES = ("sliding_window", "attention_chunk_size", "index_topk")


def limits(model: Any) -> dict[str, int]:
    """What a model's config sets, by name."""
    found = {name: getattr(part, name, None) for part in nested(model.config) for name in _NAMES}
    return {name: size for name, size in found.items() if isinstance(size, int) and size > 0}


@contextmanager
def narrowed(model: Any, size: int) -> Iterator[None]:
    """Inside, every such limit of the model is `size`: what it does with long sequences then shows in short ones."""
    places = [*nested(model.config), *model.modules()]
    kept = [(place, name, getattr(place, name)) for place in places for name in _NAMES if _is_set(place, name)]
    try:
        for place, name, _ in kept:
            setattr(place, name, size)
        yield
    finally:
        for place, name, value in kept:
            setattr(place, name, value)


def _is_set(place: Any, name: str) -> bool:
    return isinstance(vars(place).get(name), int)
