"""Raw rows of files, in chunks that a worker process can parse: reading splits, parsing happens where it is needed.

A chunk knows the bytes of input it stands for, so that progress has a total, and every row knows its line or index.
What cannot be read is a Row with an error; only a file that cannot be understood at all raises UsageError.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, Protocol, TextIO

from r1zero.errors import UsageError

CHUNK_BYTES = 1 << 20
CHUNK_ROWS = 1000
MAX_ROW_BYTES = 8 << 20  # a longer line is no row of text but a file that lost its line breaks


@dataclass(frozen=True, slots=True)
class Row:
    """One raw row. `where` is its line in a file or its index; `error` says why it could not be read at all."""

    where: int
    columns: Mapping[str, Any]
    error: str = ""


class Chunk(Protocol):
    """Some rows of one source, not parsed yet. Picklable."""

    @property
    def source(self) -> str: ...

    @property
    def size(self) -> int: ...

    def rows(self) -> Iterator[Row]: ...


@dataclass(frozen=True, slots=True)
class Lines:
    """Lines of a .jsonl or .txt file: (number, bytes, or the error that takes their place)."""

    source: str
    size: int
    lines: list[tuple[int, bytes | str]]
    plain: bool

    def rows(self) -> Iterator[Row]:
        parse = _text_row if self.plain else _json_row
        for number, line in self.lines:
            row = Row(number, {}, line) if isinstance(line, str) else parse(number, line)
            if row is not None:
                yield row


@dataclass(frozen=True, slots=True)
class Table:
    """A record batch of a .parquet or .arrow file as an Arrow stream: a pickled slice would take the whole table along.
    `first` is the index of its first row."""

    source: str
    size: int
    stream: bytes
    first: int

    def rows(self) -> Iterator[Row]:
        import pyarrow

        with pyarrow.ipc.open_stream(self.stream) as reader:
            for index, columns in enumerate(reader.read_next_batch().to_pylist(), start=self.first):
                yield Row(index, columns)


@dataclass(frozen=True, slots=True)
class Parsed:
    """Rows of a source that cannot be read without parsing it."""

    source: str
    size: int
    parsed: list[Row]

    def rows(self) -> Iterator[Row]:
        yield from self.parsed


def file_chunks(file: Path) -> Iterator[Chunk]:
    """All rows of a file. Raises UsageError for a file that is not there or of a type nobody knows."""
    if not file.is_file():
        raise UsageError(f"path = '{file}': no such file")
    if file.suffix not in READERS:
        raise UsageError(f"path = '{file}': unknown file type '{file.suffix}'; use one of {', '.join(READERS)}")
    return READERS[file.suffix](file)


def folder_files(folder: Path) -> list[Path]:
    """The data files of a folder, by name: those of its most frequent type. Raises UsageError where there are none."""
    files = sorted(file for file in folder.rglob("*") if file.is_file() and not _hidden(file, folder))
    counts = {suffix: sum(file.suffix == suffix for file in files) for suffix in READERS}
    best = max(counts, key=lambda suffix: counts[suffix])
    if not counts[best]:
        raise UsageError(f"path = '{folder}': the folder holds no data files; use one of {', '.join(READERS)}")
    return [file for file in files if file.suffix == best]


def in_chunks(source: str, rows: Iterable[Row]) -> Iterator[Chunk]:
    """Rows from somewhere else, `CHUNK_ROWS` at a time. Their size is unknown."""
    iterator = iter(rows)
    while part := list(islice(iterator, CHUNK_ROWS)):
        yield Parsed(source, 0, part)


def _hidden(file: Path, folder: Path) -> bool:
    return any(part.startswith(".") for part in file.relative_to(folder).parts)


def _lines(file: Path, plain: bool) -> Iterator[Chunk]:
    with file.open("rb") as stream:
        lines: list[tuple[int, bytes | str]] = []
        size = 0
        for number, line, length in _numbered(stream):
            lines.append((number, line))
            size += length
            if size >= CHUNK_BYTES or len(lines) >= CHUNK_ROWS:
                yield Lines(str(file), size, lines, plain)
                lines, size = [], 0
        if lines:
            yield Lines(str(file), size, lines, plain)


def _numbered(stream: BinaryIO) -> Iterator[tuple[int, bytes | str, int]]:
    """(line number, line, bytes read). A line over the limit is read past in pieces and becomes an error."""
    number = 0
    while line := stream.readline(MAX_ROW_BYTES + 1):
        number += 1
        length = len(line)
        if length <= MAX_ROW_BYTES:
            yield number, line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line, length
            continue
        while not line.endswith(b"\n") and (line := stream.readline(CHUNK_BYTES)):
            length += len(line)
        yield number, f"the line has {length} bytes, more than {MAX_ROW_BYTES}", length


def _jsonl(file: Path) -> Iterator[Chunk]:
    return _lines(file, plain=False)


def _txt(file: Path) -> Iterator[Chunk]:
    return _lines(file, plain=True)


def _json_row(number: int, line: bytes) -> Row | None:
    if not line.strip():
        return None
    try:
        value = json.loads(line.strip().decode("utf-8"))
    except (ValueError, RecursionError) as error:
        return Row(number, {"line": line[:200].decode("utf-8", "replace")}, f"not valid JSON: {error}")
    return _row(number, value)


def _text_row(number: int, line: bytes) -> Row | None:
    try:
        text = line.decode("utf-8").rstrip("\r\n")
    except UnicodeDecodeError as error:
        return Row(number, {"line": line[:200].decode("utf-8", "replace")}, f"not valid UTF-8: {error}")
    return Row(number, {"text": text}) if text.strip() else None


def _row(where: int, value: Any) -> Row:
    if isinstance(value, dict):
        return Row(where, value)
    return Row(where, {}, f"a row must be an object, found {type(value).__name__}")


def _json(file: Path) -> Iterator[Chunk]:
    """A list of rows, read a piece at a time; a file that begins with an object per line is read as .jsonl."""
    with file.open("rb") as stream:
        start = stream.read(1 << 16).lstrip(b"\xef\xbb\xbf \t\r\n")
    first, _, rest = start.partition(b"\n")
    row = _json_row(1, first)
    if start.startswith(b"{") and rest.lstrip().startswith(b"{") and row and not row.error:
        yield from _jsonl(file)
        return
    rows: list[Row] = []
    size = 0
    for index, (value, length) in enumerate(_JsonList(file), start=1):
        rows.append(_row(index, value))
        size += length
        if size >= CHUNK_BYTES or len(rows) >= CHUNK_ROWS:
            yield Parsed(str(file), size, rows)
            rows, size = [], 0
    if rows:
        yield Parsed(str(file), size, rows)


class _JsonList:
    """Items of a JSON list and the characters each took. The buffer holds one item and what was read with it."""

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
                value, end = json.JSONDecoder().raw_decode(self._buffer, self._place)
            except json.JSONDecodeError as error:
                if not self._more(stream, size):
                    raise UsageError(f"path = '{self.file}': not valid JSON: {error}") from None
                size *= 2  # an item longer than the buffer is decoded a few times, not a few thousand
                continue
            except (ValueError, RecursionError) as error:
                raise UsageError(f"path = '{self.file}': not valid JSON: {error}") from None
            length, self._place = end - self._place, end
            return value, length

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


def _csv(file: Path) -> Iterator[Chunk]:
    """Cells that are not UTF-8 spoil their row alone."""
    csv.field_size_limit(MAX_ROW_BYTES)
    total = max(1, file.stat().st_size)
    with file.open("rb") as raw, io.TextIOWrapper(raw, "utf-8-sig", "surrogateescape", newline="") as lines:
        reader = csv.DictReader(lines)
        seen = 0
        for chunk in in_chunks(str(file), _csv_rows(reader)):
            at = min(total, raw.tell())
            yield Parsed(chunk.source, at - seen, list(chunk.rows()))
            seen = at


def _csv_rows(reader: csv.DictReader[str]) -> Iterator[Row]:
    while True:
        try:
            columns = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield Row(reader.line_num, {}, f"not valid CSV: {error}")
            continue
        if None in columns:
            yield Row(reader.line_num, {}, f"has more than the {len(reader.fieldnames or ())} cells of the header")
        elif any(_undecoded(cell) for cell in columns.values()):
            yield Row(reader.line_num, {}, "not valid UTF-8")
        else:
            yield Row(reader.line_num, columns)


def _undecoded(cell: str | None) -> bool:
    return cell is not None and any("\udc80" <= character <= "\udcff" for character in cell)


def _parquet(file: Path) -> Iterator[Chunk]:
    import pyarrow
    import pyarrow.parquet

    try:
        parquet = pyarrow.parquet.ParquetFile(file)
        yield from _tables(file, parquet.iter_batches(CHUNK_ROWS), parquet.metadata.num_rows)
    except pyarrow.ArrowInvalid as error:
        raise UsageError(f"path = '{file}': not valid Parquet: {error}") from None


def _arrow(file: Path) -> Iterator[Chunk]:
    """The file format, or the stream format that `datasets` writes."""
    import pyarrow

    try:
        with pyarrow.memory_map(str(file)) as stream:
            try:
                reader = pyarrow.ipc.open_file(stream)
                batches = (reader.get_batch(index) for index in range(reader.num_record_batches))
            except pyarrow.ArrowInvalid:
                stream.seek(0)
                batches = iter(pyarrow.ipc.open_stream(stream))
            yield from _tables(file, batches, 0)
    except pyarrow.ArrowInvalid as error:
        raise UsageError(f"path = '{file}': not valid Arrow: {error}") from None


def _tables(file: Path, batches: Iterable[Any], total: int) -> Iterator[Chunk]:
    first, size = 1, file.stat().st_size
    for batch in batches:
        for start in range(0, batch.num_rows, CHUNK_ROWS):
            part = batch.slice(start, CHUNK_ROWS)
            share = size * part.num_rows // total if total else part.nbytes
            yield Table(str(file), share, _stream(part), first)
            first += part.num_rows


def _stream(batch: Any) -> bytes:
    import pyarrow

    sink = pyarrow.BufferOutputStream()
    with pyarrow.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    return sink.getvalue().to_pybytes()


READERS: dict[str, Callable[[Path], Iterator[Chunk]]] = {
    ".jsonl": _jsonl,
    ".json": _json,
    ".csv": _csv,
    ".parquet": _parquet,
    ".arrow": _arrow,
    ".txt": _txt,
}
