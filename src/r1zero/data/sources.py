"""Raw rows from files, generated tasks and the Hugging Face hub, each with a place a person can find again."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from r1zero.config import Source
from r1zero.data.arithmetic import TASKS
from r1zero.errors import UsageError, suggest


@dataclass(frozen=True, slots=True)
class Row:
    """One raw row. `where` is its line in a file or its index; `error` says why it could not be read at all."""

    where: int
    columns: Mapping[str, Any]
    error: str = ""


def read(source: Source) -> Iterator[Row]:
    """All rows of a source, at most `source.limit`. Raises UsageError for a path that leads nowhere."""
    rows = _open(source)
    return islice(rows, source.limit) if source.limit else rows


def _open(source: Source) -> Iterator[Row]:
    path = source.path
    if path.startswith("reasoning-gym:"):
        return _reasoning_gym(path.removeprefix("reasoning-gym:"), source)
    if path.startswith("r1zero:"):
        return _generated(path.removeprefix("r1zero:"), source)
    file = Path(path).expanduser()
    if file.suffix in _READERS or file.exists() or path.startswith((".", "/", "~")):
        return _file(file)
    return _hub(source)


def _file(file: Path) -> Iterator[Row]:
    if not file.is_file():
        raise UsageError(f"path = '{file}': no such file")
    if file.suffix not in _READERS:
        raise UsageError(f"path = '{file}': unknown file type '{file.suffix}'; use one of {', '.join(_READERS)}")
    return _READERS[file.suffix](file)


def _jsonl(file: Path) -> Iterator[Row]:
    with file.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                value = json.loads(line.strip().decode("utf-8"))
            except (UnicodeDecodeError, json.JSONDecodeError) as error:
                yield Row(number, {}, f"not valid JSON: {error}")
                continue
            yield _row(number, value)


def _json(file: Path) -> Iterator[Row]:
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise UsageError(f"path = '{file}': not valid JSON: {error}") from None
    if not isinstance(values, list):
        raise UsageError(f"path = '{file}': must hold a list of rows, found {type(values).__name__}")
    for index, value in enumerate(values, start=1):
        yield _row(index, value)


def _csv(file: Path) -> Iterator[Row]:
    with file.open(encoding="utf-8", newline="") as lines:
        reader = csv.DictReader(lines)
        for columns in reader:
            yield Row(reader.line_num, columns)


def _parquet(file: Path) -> Iterator[Row]:
    import pyarrow.parquet

    index = 0
    for table in pyarrow.parquet.ParquetFile(file).iter_batches():
        for columns in table.to_pylist():
            index += 1
            yield Row(index, columns)


def _row(where: int, value: Any) -> Row:
    if isinstance(value, dict):
        return Row(where, value)
    return Row(where, {}, f"a row must be an object, found {type(value).__name__}")


def _reasoning_gym(task: str, source: Source) -> Iterator[Row]:
    try:
        import reasoning_gym
        from reasoning_gym.factory import DATASETS
    except ImportError:
        raise UsageError(f"path = '{source.path}': needs reasoning-gym; pip install 'r1zero[gym]'") from None
    if task not in DATASETS:
        raise UsageError(f"path = '{source.path}': unknown task{suggest(task, DATASETS)}")
    try:
        entries = reasoning_gym.create_dataset(task, **source.options)
    except (TypeError, AssertionError, ValueError) as error:
        raise UsageError(f"options = {source.options}: reasoning-gym's {task} says: {error}") from None
    for index, entry in enumerate(entries, start=1):
        yield Row(index, entry)


def _generated(task: str, source: Source) -> Iterator[Row]:
    if task not in TASKS:
        raise UsageError(f"path = '{source.path}': unknown task{suggest(task, TASKS)}")
    try:
        rows = TASKS[task](source.split, **source.options)
    except TypeError as error:
        raise UsageError(f"options = {source.options}: r1zero:{task} says: {error}") from None
    for index, columns in enumerate(rows, start=1):
        yield Row(index, columns)


def _hub(source: Source) -> Iterator[Row]:
    import datasets
    from datasets.exceptions import DatasetsError

    try:
        rows = datasets.load_dataset(source.path, source.subset or None, split=source.split)
    except (ValueError, OSError, DatasetsError) as error:
        what = f"path = '{source.path}', split = '{source.split}'"
        raise UsageError(f"{what}: neither a local file nor a data set the hub gives: {error}") from None
    for index, columns in enumerate(rows, start=1):
        yield Row(index, dict(columns))


_READERS: dict[str, Callable[[Path], Iterator[Row]]] = {
    ".jsonl": _jsonl,
    ".json": _json,
    ".csv": _csv,
    ".parquet": _parquet,
}
