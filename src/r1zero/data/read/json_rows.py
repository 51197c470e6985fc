"""Rows of JSON: an object per line, or the items of one long list, read a piece at a time."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

from r1zero.base.errors import UsageError
from r1zero.data.read.rows import MAX_ROW_BYTES, Row

_DEEPEST = 64
_MAX_ITEM = 8 * MAX_ROW_BYTES  # of a list: what has no end by then has none


class _KeyTwice(ValueError):
    """An object says two things about the same key."""


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object whose keys occur once: of two values, nobody knows which is meant."""
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = Counter(key for key, _ in pairs).most_common(1)[0][0]
        raise _KeyTwice(f"the key '{twice}' occurs twice in an object")
    return found


_DECODER = json.JSONDecoder(object_pairs_hook=_unique)


def parse(number: int, line: bytes) -> Row | None:
    """The row of a line; None for an empty one."""
    line = line.strip()
    if not line:
        return None
    try:
        value = _DECODER.decode(line.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        remedy = "; save the file as UTF-8" if isinstance(error, UnicodeDecodeError) else ""
        return Row(number, {"line": line[:200].decode("utf-8", "replace")}, f"not valid JSON: {error}{remedy}")
    return as_row(number, value)


def as_row(where: int, value: Any) -> Row:
    if isinstance(value, dict) and _too_deep(value):
        shallow = {name: cell for name, cell in value.items() if not isinstance(cell, dict | list)}
        return Row(where, shallow, f"values are nested more than {_DEEPEST} deep")
    if isinstance(value, dict):
        return Row(where, value)
    return Row(where, {}, f"a row must be an object, found {type(value).__name__}")


def _too_deep(value: Any) -> bool:
    """Whether functions that call themselves would fail on a value, here or where a row is written."""
    level = [value]
    for _ in range(_DEEPEST):
        level = [
            inner
            for outer in level
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, dict | list)
        ]
    return bool(level)


class JsonList:
    """Items of a JSON list, or the error that takes the place of one, and the characters each took. The buffer holds
    one item and what was read with it."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self._buffer, self._place = "", 0

    def __iter__(self) -> Iterator[tuple[Any, int]]:
        with self.file.open(encoding="utf-8-sig") as stream:
            if self._skip(stream, " \t\r\n") != "[":
                found = _kind_of(self._buffer, self.file) if self._buffer else "nothing"
                raise UsageError(f"path = '{self.file}': must hold a list of rows, found {found}")
            self._place += 1
            while (character := self._skip(stream, " \t\r\n,")) not in ("]", ""):
                yield self._item(stream)
            if not character:
                raise UsageError(f"path = '{self.file}': not valid JSON: the list does not end")

    def _item(self, stream: TextIO) -> tuple[Any, int]:
        size = 1 << 20
        while True:
            try:
                value, end = self._decode()
            except json.JSONDecodeError as error:
                if len(self._buffer) - self._place > _MAX_ITEM or not self._more(stream, size):
                    raise UsageError(f"path = '{self.file}': not valid JSON: {error}") from None
                size *= 2  # an item longer than the buffer is decoded a few times, not a few thousand
                continue
            except (ValueError, RecursionError) as error:
                raise UsageError(f"path = '{self.file}': not valid JSON: {error}") from None
            length, self._place = end - self._place, end
            if length > MAX_ROW_BYTES:
                value = f"the item has {length} characters, more than {MAX_ROW_BYTES}"
            return value, length

    def _decode(self) -> tuple[Any, int]:
        """An item that is a text or holds a key twice is an error, since a row must be an object."""
        try:
            value, end = _DECODER.raw_decode(self._buffer, self._place)
        except _KeyTwice as error:
            return f"not valid JSON: {error}", json.JSONDecoder().raw_decode(self._buffer, self._place)[1]
        return ("a row must be an object, found str" if isinstance(value, str) else value), end

    def _skip(self, stream: TextIO, characters: str) -> str:
        """The next character that is none of these, or nothing."""
        while True:
            while self._place < len(self._buffer) and self._buffer[self._place] in characters:
                self._place += 1
            if self._place < len(self._buffer) or not self._more(stream, 1 << 20):
                return self._buffer[self._place : self._place + 1]

    def _more(self, stream: TextIO, size: int) -> bool:
        try:
            piece = stream.read(size)
        except UnicodeDecodeError as error:
            raise UsageError(f"path = '{self.file}': not valid JSON: {error}") from None
        self._buffer, self._place = self._buffer[self._place :] + piece, 0
        return bool(piece)


def _kind_of(buffer: str, file: Path) -> str:
    try:
        return type(json.loads(buffer)).__name__
    except json.JSONDecodeError as error:
        raise UsageError(f"path = '{file}': not valid JSON: {error}") from None
