"""Which files of a folder are a split: as the Hugging Face hub says it of the same folder."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from r1zero.base.errors import UsageError, suggest
from r1zero.data.read.readers import READERS

_SAVED, _SAVED_SPLITS = "state.json", "dataset_dict.json"  # of `Dataset.save_to_disk`


class Split(NamedTuple):
    """The data files of a split in the hub's order, and the number of files of the others."""

    files: list[Path]
    others: dict[str, int]


def folder_split(folder: Path, split: str, subset: str) -> Split:
    """What the folder's README.md says is the split, else what names say (`train`, `test`, ...), else all files of the
    most frequent type are `train`. Raises UsageError for a split or subset that is not there, and for a folder without
    data."""
    folder = folder.resolve()
    splits = _saved(folder, subset) or _splits(folder, subset)
    if split not in splits:
        raise UsageError(f"split = '{split}': {folder} has none of this name{suggest(split, splits)}")
    files = [Path(os.path.normpath(file)) for file in splits[split]]  # links stay: the hub's cache is made of them
    if outside := next((file for file in files if not file.is_relative_to(folder)), None):
        raise UsageError(f"path = '{folder}': its description names {outside}, which is not in the folder")
    if other := next((file for file in files if file.suffix not in READERS), None):
        raise UsageError(f"path = '{folder}': {other.name} is of no known file type; use one of {', '.join(READERS)}")
    return Split(files, {name: len(found) for name, found in splits.items() if name != split})


def _saved(folder: Path, subset: str) -> dict[str, list[str]]:
    """Of a folder that `datasets` wrote by `save_to_disk`; nothing for any other one."""
    names = [""]
    if (folder / _SAVED_SPLITS).is_file():
        names = [str(name) for name in _described(folder / _SAVED_SPLITS, "splits")]
    elif not (folder / _SAVED).is_file():
        return {}
    if subset:
        raise UsageError(f"subset = '{subset}': {folder}: a data set that was saved to disk has no subsets")
    parts = {name or "train": folder / name for name in names}
    return {name: _saved_files(part) for name, part in parts.items()}


def _saved_files(folder: Path) -> list[str]:
    files = _described(folder / _SAVED, "_data_files")
    return [str(folder / file["filename"]) for file in files]


def _described(file: Path, key: str) -> list[Any]:
    try:
        return list(json.loads(file.read_text(encoding="utf-8"))[key])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(f"path = '{file}': does not describe a saved data set: {error!r}") from None


def _splits(folder: Path, subset: str) -> Mapping[str, Sequence[str]]:
    import datasets
    from datasets.data_files import EmptyDatasetError
    from datasets.exceptions import DataFilesNotFoundError, DatasetsError

    try:
        with tempfile.TemporaryDirectory() as cache:  # it locks a file in there
            builder = datasets.load_dataset_builder(str(folder), subset or None, cache_dir=cache)
    except (EmptyDatasetError, DataFilesNotFoundError):
        known = ", ".join(READERS)
        raise UsageError(f"path = '{folder}': the folder holds no data files; use one of {known}") from None
    except (ValueError, OSError, DatasetsError) as error:
        what = f"subset = '{subset}': " if subset else ""
        raise UsageError(f"{what}path = '{folder}': no data set as the hub knows them: {error}") from None
    return {str(split): files for split, files in (builder.config.data_files or {}).items()}
