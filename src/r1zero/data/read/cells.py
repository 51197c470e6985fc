"""Values of raw rows, checked: what cannot be used is a BadRow with a reason a person can act on."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any

from r1zero.types import Message

ROLES = ("system", "developer", "user", "assistant", "tool")
_DEEPEST = 4  # names that are suggested


class BadRow(Exception):
    """Why one row cannot be used."""


def column(columns: Mapping[str, Any], name: str) -> Any:
    """The value of a column. `reward_model.ground_truth` and `prompt.0.content` are values inside of columns, unless a
    column has that very name."""
    if name in columns:
        return columns[name]
    value: Any = columns
    for place, part in enumerate(parts := name.split(".")):
        if isinstance(value, Mapping) and part in value:
            value = value[part]
        elif isinstance(value, list | tuple) and part.isdecimal() and int(part) < len(value):
            value = value[int(part)]
        else:
            inside = f": nothing in '{'.'.join(parts[:place])}' is called '{part}'" if place else ""
            raise BadRow(f"column '{name}' is missing{inside}")
    return value


def optional(columns: Mapping[str, Any], name: str) -> Any:
    """The value of a column, or None."""
    try:
        return column(columns, name)
    except BadRow:
        return None


def names(columns: Mapping[str, Any]) -> Iterator[str]:
    """Every name under which `column` finds something, but for items of lists behind the first."""
    yield from _names(columns, "", _DEEPEST)


def _names(value: Any, before: str, depth: int) -> Iterator[str]:
    first = value[:1] if isinstance(value, list | tuple) else []
    inner = value.items() if isinstance(value, Mapping) else enumerate(first)
    for name, item in inner:
        yield f"{before}{name}"
        if depth > 1:
            yield from _names(item, f"{before}{name}.", depth - 1)


def text(value: Any, name: str) -> str:
    """Text of a cell; whole numbers lose a trailing `.0` that a column type gave them, bytes are UTF-8."""
    if isinstance(value, str):
        return value
    if isinstance(value, bytes):
        try:
            return value.decode("utf-8")
        except UnicodeDecodeError:
            raise BadRow(f"column '{name}' is binary, but not UTF-8 text") from None
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        raise BadRow(f"column '{name}' must be text or a number, found {_kind(value)}")
    if not isinstance(value, int) and not math.isfinite(value):
        raise BadRow(f"column '{name}' is {value}, not a number")
    if isinstance(value, Decimal):
        return str(int(value)) if value == value.to_integral_value() else f"{value.normalize():f}"
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def filled(value: Any, name: str) -> str:
    """Text of a cell that must hold some."""
    found = text(value, name)
    if not found.strip():
        raise BadRow(f"column '{name}' is empty")
    return found


def messages(value: Sequence[Any], name: str) -> tuple[Message, ...]:
    """A list of chat messages with role and content."""
    found = []
    for number, turn in enumerate(value, start=1):
        if not isinstance(turn, Mapping) or "role" not in turn or "content" not in turn:
            raise BadRow(f"column '{name}' is a list, but not of chat messages with role and content")
        role = turn["role"]
        if role not in ROLES:
            raise BadRow(f"column '{name}', message {number}: the role is {role!r}; known: {', '.join(ROLES)}")
        if not isinstance(turn["content"], str | list | tuple):
            kind = _kind(turn["content"])
            raise BadRow(f"column '{name}', message {number}: the content is {kind}, not text")
        found.append(Message(role, content(turn["content"], name)))
    return tuple(found)


def content(value: Any, name: str) -> str:
    """What a chat message says: text, or parts that are all text, which are joined by line breaks."""
    if not isinstance(value, list | tuple):
        return text(value, name)
    parts = []
    for part in value:
        said = part.get("text") if isinstance(part, Mapping) and part.get("type", "text") == "text" else part
        if not isinstance(said, str):
            kind = part.get("type", "text") if isinstance(part, Mapping) else _kind(part)
            raise BadRow(f"column '{name}' has a part of type {kind!r} that is no text")
        parts.append(said)
    return "\n".join(parts)


def chat_text(value: Any) -> Any:
    """A chat that was stored as JSON text, as the list it is; any other value as it is."""
    if not isinstance(value, str) or not value.lstrip().startswith("["):
        return value
    try:
        found = json.loads(value)
    except (ValueError, RecursionError):
        return value
    tags = ("role", "from")
    is_chat = isinstance(found, list) and found and all(isinstance(turn, dict) for turn in found)
    return found if is_chat and all(any(tag in turn for tag in tags) for turn in found) else value


def _half_character(value: Any) -> str:
    """The first half of a surrogate pair in any text of a row; or nothing. Example: `'\\ud83d'`."""
    if isinstance(value, str):
        if value.isascii():  # most are, and know it
            return ""
        try:
            value.encode("utf-8")
        except UnicodeEncodeError as error:
            return f"{error.object[error.start]!a}"
        return ""
    if isinstance(value, Mapping):
        return next((half for pair in value.items() for item in pair if (half := _half_character(item))), "")
    if isinstance(value, list | tuple):
        return next((half for item in value if (half := _half_character(item))), "")
    return ""


def refuse_half_characters(value: Any) -> None:
    """Raises BadRow for text that no file or tokenizer can hold, wherever it is nested."""
    if half := _half_character(value):
        raise BadRow(f"the text contains half a character: {half}")


def _kind(value: Any) -> str:
    return "null" if value is None else type(value).__name__
