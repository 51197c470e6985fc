"""Raw rows, in chunks that a worker process can parse: reading splits, parsing happens where it is needed.

A chunk knows the bytes of input it stands for, so that progress has a total, and every row knows its line or index.
What cannot be read is a Row with an error; only a file that cannot be understood at all raises UsageError.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any, Protocol

CHUNK_BYTES = 1 << 20
CHUNK_ROWS = 1000
MAX_ROW_BYTES = 8 << 20  # a longer line is no row of text but a file that lost its line breaks


@dataclass(frozen=True, slots=True)
class Row:
    """One raw row. `where` is its line in `file` or its index; `error` says why it could not be read at all. A row that
    comes from elsewhere has no file."""

    where: int
    columns: Mapping[str, Any]
    error: str = ""
    file: str = ""


class Chunk(Protocol):
    """Some rows of one source, not parsed yet. Picklable."""

    @property
    def source(self) -> str: ...

    @property
    def size(self) -> int: ...

    def rows(self) -> Iterator[Row]: ...


@dataclass(frozen=True, slots=True)
class Parsed:
    """Rows of a source that cannot be read without parsing it."""

    source: str
    size: int
    parsed: list[Row]

    def rows(self) -> Iterator[Row]:
        yield from self.parsed


def in_chunks(source: str, rows: Iterable[Row]) -> Iterator[Chunk]:
    """Rows from somewhere else, `CHUNK_ROWS` at a time. Their size is unknown."""
    iterator = iter(rows)
    while part := list(islice(iterator, CHUNK_ROWS)):
        yield Parsed(source, 0, part)
