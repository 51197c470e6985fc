"""Raw rows from files, generated tasks and the Hugging Face hub, each with a place a person can find again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path

from r1zero.base.errors import UsageError, suggest
from r1zero.base.log import log
from r1zero.config import Source
from r1zero.data.read.arithmetic import TASKS
from r1zero.data.read.folders import folder_split
from r1zero.data.read.readers import READERS, file_chunks
from r1zero.data.read.rows import Chunk, Row, in_chunks


def read(source: Source) -> Iterator[Row]:
    """All rows of a source, at most `source.limit`. Raises UsageError for a path that leads nowhere."""
    rows = (row if chunk.source == source.path else replace(row, file=chunk.source) for chunk, row in _rows(source))
    return islice(rows, source.limit) if source.limit else rows


def _rows(source: Source) -> Iterator[tuple[Chunk, Row]]:
    for chunk in chunks(source):
        for row in chunk.rows():
            yield chunk, row


def chunks(source: Source) -> Iterator[Chunk]:
    """The same rows in chunks that need not be parsed here; `source.limit` is not applied. Raises UsageError."""
    path = source.path
    if path.startswith("reasoning-gym:"):
        _refuse_split(source)
        return in_chunks(path, _reasoning_gym(path.removeprefix("reasoning-gym:"), source))
    if path.startswith("r1zero:"):
        return in_chunks(path, _generated(path.removeprefix("r1zero:"), source))
    if path.startswith("modelscope:"):
        return _folder(source, _modelscope(path.removeprefix("modelscope:")))
    file = Path(path).expanduser()
    if file.is_dir():
        return _folder(source, file)
    if file.suffix in READERS or file.exists() or path.startswith((".", "/", "~")):
        _say_unused(source)
        return file_chunks(file)
    return in_chunks(path, _hub(source))


def files(source: Source) -> list[Path]:
    """The local files that a source reads, in order; none for a generated or remote one."""
    file = Path(source.path).expanduser()
    if file.is_dir():
        return folder_split(file, source.split, source.subset).files
    return [file] if file.is_file() else []


def _folder(source: Source, folder: Path) -> Iterator[Chunk]:
    found = folder_split(folder, source.split, source.subset)
    if found.others:
        left = ", ".join(f"{count} of '{name}'" for name, count in found.others.items())
        log.info(f"{folder}: reads the split '{source.split}', {len(found.files)} files; not read: {left}")
    for file in found.files:
        yield from file_chunks(file)


def _say_unused(source: Source) -> None:
    """A file is one part of a data set, whatever a recipe says of the whole one."""
    defaults = {name: Source.model_fields[name].default for name in ("split", "subset")}
    given = [f"{name} = '{value}'" for name, usual in defaults.items() if (value := getattr(source, name)) != usual]
    if given:
        log.info(
            f"{source.path} is a file and read whole: {' and '.join(given)} are for folders and data sets of the hub"
        )


def _refuse_split(source: Source) -> None:
    if source.split != Source.model_fields["split"].default:
        raise UsageError(
            f"split = '{source.split}': {source.path}: a task of reasoning-gym has no splits; tell them apart by "
            f"options: {{seed: ...}}"
        )


def _modelscope(dataset: str) -> Path:
    """Download a data set of modelscope.cn; returns its folder."""
    try:
        from modelscope.hub.snapshot_download import dataset_snapshot_download  # pyright: ignore[reportMissingImports]
    except ImportError:
        raise UsageError(f"path = 'modelscope:{dataset}': needs modelscope; pip install 'r1zero[modelscope]'") from None
    try:
        return Path(dataset_snapshot_download(dataset))
    except (OSError, ValueError) as error:  # its own errors are neither documented nor one family; these are its bases
        raise UsageError(f"path = 'modelscope:{dataset}': ModelScope does not give it: {error}") from None


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
        rows = datasets.load_dataset(source.path, source.subset or None, split=source.split, streaming=True)
    except (ValueError, OSError, DatasetsError) as error:
        what = f"path = '{source.path}', split = '{source.split}'"
        raise UsageError(f"{what}: neither a local file nor a data set the hub gives: {error}") from None
    for index, columns in enumerate(rows, start=1):
        yield Row(index, dict(columns))
