"""The configs inside a transformers config: of its text model, its attention, its experts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any


def nested(config: Any) -> Iterator[Any]:
    """A config and all inside it."""
    yield config
    for value in list(vars(config).values()):
        if hasattr(value, "to_dict") and hasattr(value, "model_type"):
            yield from nested(value)
