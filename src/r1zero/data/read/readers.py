"""Files of rows, by type. Nothing is read whole."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from r1zero.base import registry
from r1zero.base.errors import UsageError
from r1zero.data.read import json_rows, rows
from r1zero.data.read.rows import MAX_ROW_BYTES, Chunk, Parsed, Row, in_chunks


@dataclass(frozen=True, slots=True)
class Lines:
    """Lines of a .jsonl or .txt file as they are; `first` is the number of the first one."""

    source: str
    size: int
    first: int
    block: bytes
    plain: bool

    def rows(self) -> Iterator[Row]:
        parse = _text_row if self.plain else json_rows.parse
        for number, line in enumerate(self.block.removesuffix(b"\n").split(b"\n"), start=self.first):
            row = parse(number, line)
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
            batch = reader.read_next_batch()
            try:
                found = batch.to_pylist()
            except UnicodeDecodeError:  # Arrow does not check what a writer calls text
                yield from (_alone(batch.slice(place, 1), self.first + place) for place in range(batch.num_rows))
                return
            for index, columns in enumerate(found, start=self.first):
                yield Row(index, columns)


def _alone(batch: Any, index: int) -> Row:
    try:
        return Row(index, batch.to_pylist()[0])
    except UnicodeDecodeError as error:
        return Row(index, {}, f"not valid UTF-8: {error}")


def file_chunks(file: Path) -> Iterator[Chunk]:
    """All rows of a file. Raises UsageError for a file that is not there or of a type nobody knows."""
    if not file.is_file():
        raise UsageError(f"path = '{file}': no such file")
    if file.suffix not in READERS:
        raise UsageError(f"path = '{file}': unknown file type '{file.suffix}'; use one of {', '.join(READERS)}")
    if file.suffix in _TEXT:
        _check_encoding(file)
    return READERS[file.suffix](file)


def _check_encoding(file: Path) -> None:
    """Raises UsageError for text that no line of could be read."""
    with file.open("rb") as stream:
        start = stream.read(1 << 16)
    utf16 = start.startswith((b"\xff\xfe", b"\xfe\xff")) or start.count(b"\0") > len(start) // 4
    if utf16:
        raise UsageError(f"path = '{file}': is UTF-16 or UTF-32 text; save it as UTF-8")
    if b"\r" in start and b"\n" not in start and file.suffix != ".csv":
        raise UsageError(f"path = '{file}': its lines end with CR alone; save it with LF or CR LF")
    header, line_end, _ = start.partition(b"\n")
    if file.suffix == ".csv" and line_end:
        try:
            header.decode("utf-8")
        except UnicodeDecodeError:
            raise UsageError(f"path = '{file}': the names of the columns are not UTF-8; save it as UTF-8") from None


def _lines(file: Path, plain: bool) -> Iterator[Chunk]:
    number = 1
    with file.open("rb") as stream:
        for block in _blocks(stream):
            if isinstance(block, int):
                error = f"the line has {block} bytes, more than {MAX_ROW_BYTES}"
                yield Parsed(str(file), block, [Row(number, {}, error)])
                number += 1
                continue
            text = block.removeprefix(b"\xef\xbb\xbf") if number == 1 else block
            yield Lines(str(file), len(block), number, text, plain)
            number += block.count(b"\n")


def _blocks(stream: BinaryIO) -> Iterator[bytes | int]:
    """Whole lines, about `CHUNK_BYTES` and at most `CHUNK_ROWS` of them; the bytes of a line that is over the limit."""
    buffer = b""
    while piece := stream.read(rows.CHUNK_BYTES):
        buffer += piece
        while (first := buffer.find(b"\n") + 1) > MAX_ROW_BYTES or (not first and len(buffer) > MAX_ROW_BYTES):
            length, buffer = _past_line(stream, buffer, first)
            yield length
        while buffer.count(b"\n") >= rows.CHUNK_ROWS:
            end = _end_of_lines(buffer, rows.CHUNK_ROWS)
            yield buffer[:end]
            buffer = buffer[end:]
        if len(buffer) >= rows.CHUNK_BYTES and (end := buffer.rfind(b"\n") + 1):
            yield buffer[:end]
            buffer = buffer[end:]
    if buffer:
        yield buffer


def _past_line(stream: BinaryIO, buffer: bytes, end: int) -> tuple[int, bytes]:
    """(bytes of the line at the beginning of the buffer, what follows it). `end` is 0 if the buffer does not hold all
    of it."""
    length = end or len(buffer)
    buffer = buffer[length:]
    while not end and (buffer := stream.read(rows.CHUNK_BYTES)):
        end = buffer.find(b"\n") + 1
        length += end or len(buffer)
        buffer = buffer[end:]
    return length, buffer


def _end_of_lines(buffer: bytes, count: int) -> int:
    end = 0
    for _ in range(count):
        end = buffer.index(b"\n", end) + 1
    return end


def _jsonl(file: Path) -> Iterator[Chunk]:
    return _lines(file, plain=False)


def _txt(file: Path) -> Iterator[Chunk]:
    return _lines(file, plain=True)


def _text_row(number: int, line: bytes) -> Row | None:
    try:
        text = line.decode("utf-8").rstrip("\r\n")
    except UnicodeDecodeError as error:
        reason = f"not valid UTF-8: {error}; save the file as UTF-8"
        return Row(number, {"line": line[:200].decode("utf-8", "replace")}, reason)
    return Row(number, {"text": text}) if text.strip() else None


def _json(file: Path) -> Iterator[Chunk]:
    """A list of rows, read a piece at a time; a file that begins with an object per line is read as .jsonl."""
    with file.open("rb") as stream:
        start = stream.read(1 << 16).lstrip(b"\xef\xbb\xbf \t\r\n")
    first, _, rest = start.partition(b"\n")
    row = json_rows.parse(1, first)
    if start.startswith(b"{") and rest.lstrip().startswith(b"{") and row and not row.error:
        yield from _jsonl(file)
        return
    read: list[Row] = []
    size = 0
    for index, (value, length) in enumerate(json_rows.JsonList(file), start=1):
        read.append(Row(index, {}, value) if isinstance(value, str) else json_rows.as_row(index, value))
        size += length
        if size >= rows.CHUNK_BYTES or len(read) >= rows.CHUNK_ROWS:
            yield Parsed(str(file), size, read)
            read, size = [], 0
    if read:
        yield Parsed(str(file), size, read)


def _csv(file: Path) -> Iterator[Chunk]:
    """Cells that are not UTF-8 spoil their row alone."""
    csv.field_size_limit(MAX_ROW_BYTES)
    total = max(1, file.stat().st_size)
    with file.open("rb") as raw, io.TextIOWrapper(raw, "utf-8-sig", "surrogateescape", newline="") as lines:
        reader = csv.DictReader(lines)
        header = reader.fieldnames or ()
        if twice := next((name for name in header if list(header).count(name) > 1), None):
            raise UsageError(f"path = '{file}': the header names the column '{twice}' twice")
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
            yield Row(reader.line_num, {}, "not valid UTF-8; save the file as UTF-8")
        else:
            yield Row(reader.line_num, columns)


def _undecoded(cell: str | None) -> bool:
    return cell is not None and any("\udc80" <= character <= "\udcff" for character in cell)


def _parquet(file: Path) -> Iterator[Chunk]:
    import pyarrow
    import pyarrow.parquet

    try:
        parquet = pyarrow.parquet.ParquetFile(file)
        yield from _tables(file, parquet.iter_batches(rows.CHUNK_ROWS), parquet.metadata.num_rows)
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
        for start in range(0, batch.num_rows, rows.CHUNK_ROWS):
            part = batch.slice(start, rows.CHUNK_ROWS)
            share = size * part.num_rows // total if total else part.nbytes
            yield Table(str(file), share, _stream(part), first)
            first += part.num_rows


def _stream(batch: Any) -> bytes:
    import pyarrow

    sink = pyarrow.BufferOutputStream()
    with pyarrow.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    return sink.getvalue().to_pybytes()


_TEXT = (".jsonl", ".json", ".csv", ".txt")
_OWN: dict[str, Callable[[Path], Iterator[Chunk]]] = {
    ".jsonl": _jsonl,
    ".json": _json,
    ".csv": _csv,
    ".parquet": _parquet,
    ".arrow": _arrow,
    ".txt": _txt,
}


def _of_columns(read: Callable[[Path], Iterable[Mapping[str, Any]]]) -> Callable[[Path], Iterator[Chunk]]:
    """A reader of an installed package gives the columns of one row after another."""

    def rows_of(file: Path) -> Iterator[Row]:
        index = 0
        try:
            for index, columns in enumerate(read(file), start=1):
                yield Row(index, columns)
        except Exception as error:
            raise UsageError(
                f"path = '{file}': the reader of {file.suffix} files failed after row {index}: "
                f"{type(error).__name__}: {error}"
            ) from error

    return lambda file: in_chunks(str(file), rows_of(file))


_ADDED = registry.with_installed("readers", {suffix.removeprefix("."): read for suffix, read in _OWN.items()})
READERS = _OWN | {f".{name}": _of_columns(read) for name, read in _ADDED.items() if f".{name}" not in _OWN}
