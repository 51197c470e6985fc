"""Values of raw rows, checked: what cannot be used is a BadRow with a reason a person can act on."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from r1zero.types import Message


class BadRow(Exception):
    """Why one row cannot be used."""


def column(columns: Mapping[str, Any], name: str) -> Any:
    if name not in columns:
        raise BadRow(f"column '{name}' is missing")
    return columns[name]


def text(value: Any, name: str) -> str:
    """Text of a cell; whole numbers lose a trailing `.0` that a column type gave them."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise BadRow(f"column '{name}' must be text or a number, found {type(value).__name__}")
    if isinstance(value, float) and not math.isfinite(value):
        raise BadRow(f"column '{name}' is {value}, not a number")
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def filled(value: Any, name: str) -> str:
    """Text of a cell that must hold some."""
    found = text(value, name)
    if not found.strip():
        raise BadRow(f"column '{name}' is empty")
    return found


def messages(value: Sequence[Any], name: str) -> tuple[Message, ...]:
    """A list of chat messages with role and content."""
    try:
        found = tuple(Message(turn["role"], turn["content"]) for turn in value)
    except (TypeError, KeyError):
        raise BadRow(f"column '{name}' is a list, but not of chat messages with role and content") from None
    if not all(isinstance(part, str) for turn in found for part in (turn.role, turn.content)):
        raise BadRow(f"column '{name}' has a chat message whose role or content is no text")
    return found
