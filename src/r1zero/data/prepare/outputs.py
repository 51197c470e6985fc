"""Where prepared data goes: complete or absent.

Everything is written into a folder `.tmp-NAME` beside the output and renamed into place at the end; the card's JSON is
the last, so that a prefix with a card is complete. What a kill leaves is the folder, which the next start empties.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np

from r1zero.base.errors import UsageError
from r1zero.base.files import sync
from r1zero.data.card import Card, write_card, write_facts
from r1zero.data.handlers import MASK
from r1zero.data.indexed import IndexedWriter

FieldData = Mapping[str, tuple[np.ndarray, np.ndarray]]  # field -> (tokens [T], lengths [N])


class Sink(Protocol):
    """Takes rows in order. An attention mask that is not given is 1 for every token."""

    def add(self, fields: FieldData) -> None: ...

    def finish(self) -> None: ...

    def close(self) -> None: ...


class Staging:
    """The folder in which an output grows. Use as a context manager: it is gone afterwards, whatever happened."""

    def __init__(self, prefix: Path, overwrite: bool) -> None:
        self.prefix, self.overwrite = prefix, overwrite
        self.folder = prefix.with_name(f".tmp-{prefix.name}")
        self.card = prefix.with_name(f"{prefix.name}_card.json")
        self._marker = self.folder / "publishing"

    def __enter__(self) -> Staging:
        """Raises UsageError where nothing can be written."""
        try:
            self.prefix.parent.mkdir(parents=True, exist_ok=True)
            for name in _names(self._marker):  # a kill between two renames: neither the old output nor the new
                self.prefix.with_name(name).unlink(missing_ok=True)
            shutil.rmtree(self.folder, ignore_errors=True)
            self.folder.mkdir()
        except OSError as error:
            raise UsageError(
                f"output_prefix = '{self.prefix}': cannot be written: {error.strerror}; choose another prefix"
            ) from None
        return self

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)

    def path(self, ending: str) -> Path:
        """A file of the output, as long as it grows. Example: `path("_quarantine.jsonl")`."""
        return self.folder / f"{self.prefix.name}{ending}"

    def publish(self, card: Card) -> list[Path]:
        """Write the card and rename everything into place. Raises UsageError, before anything is touched, if a file
        that is not ours would be replaced."""
        write_card(card, self.path("_card.html"))
        last = self.path("_card.json")
        facts = json.loads(last.read_text("utf-8"))
        staged = sorted(file for file in self.folder.iterdir() if file != last)
        facts["outputs"] = {file.name: file.stat().st_size for file in staged}
        write_facts(facts, last)
        targets = [self.prefix.with_name(file.name) for file in (*staged, last)]
        self.refuse_foreign(targets)
        for file in (*staged, last):
            sync(file)
        stale = {self.prefix.with_name(name) for name in _outputs(self.card)} - set(targets)
        self._marker.write_text(json.dumps([file.name for file in (*targets, *stale)]))
        sync(self._marker)
        for file in (self.card, *stale):
            file.unlink(missing_ok=True)
        for file, target in zip((*staged, last), targets, strict=True):
            os.replace(file, target)
        sync(self.prefix.parent)
        self._marker.unlink()
        return targets

    def refuse_foreign(self, targets: Sequence[Path]) -> None:
        there = next((target for target in targets if target.exists()), None)
        if there and not self.overwrite:
            raise UsageError(
                f"output_prefix = '{self.prefix}': {there.name} is there already, and not of these inputs and "
                "settings; choose another prefix, or set overwrite=true"
            )


def finished(prefix: Path, settings: Mapping[str, Any], inputs: Sequence[Mapping[str, Any]]) -> bool:
    """Whether a complete output of these settings and inputs is there already: its card says so and its files have the
    sizes the card gives."""
    try:
        facts = json.loads(prefix.with_name(f"{prefix.name}_card.json").read_text("utf-8"))
        same = facts["settings"] == json.loads(json.dumps(settings)) and facts["inputs"] == list(inputs)
        return same and all(prefix.with_name(name).stat().st_size == size for name, size in facts["outputs"].items())
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False


def _outputs(card: Path) -> list[str]:
    """Names of the files that belong to a card; none if there is no card to read."""
    try:
        return [Path(name).name for name in json.loads(card.read_text("utf-8"))["outputs"]]
    except (OSError, ValueError, KeyError, TypeError):
        return []


def _names(marker: Path) -> list[str]:
    try:
        return [Path(name).name for name in json.loads(marker.read_text("utf-8"))]
    except (OSError, ValueError, TypeError):
        return []


def _field(fields: FieldData, name: str) -> tuple[np.ndarray, np.ndarray]:
    if name != MASK or name in fields:
        return fields[name]
    tokens, lengths = fields["input_ids"]
    return np.ones(len(tokens), np.int32), lengths


class MegatronSink:
    """One indexed dataset per field: `{prefix}{infix}_{field}_document`."""

    def __init__(self, staging: Staging, fields: Sequence[str], infix: str) -> None:
        with ExitStack() as opened:
            self._writers = {
                name: opened.enter_context(IndexedWriter(staging.path(f"{infix}_{name}_document"))) for name in fields
            }
            self._stack = opened.pop_all()

    def add(self, fields: FieldData) -> None:
        for name, writer in self._writers.items():
            writer.add_documents(*_field(fields, name))

    def finish(self) -> None:
        for writer in self._writers.values():
            writer.finish()
            writer.publish()

    def close(self) -> None:
        self._stack.close()


class TableSink:
    """One Parquet or Arrow file with a column of int32 lists per field."""

    def __init__(self, staging: Staging, fields: Sequence[str], kind: Literal["parquet", "arrow"]) -> None:
        import pyarrow
        import pyarrow.parquet

        self._schema = pyarrow.schema([(name, pyarrow.large_list(pyarrow.int32())) for name in fields])
        self._file = staging.path(f".{kind}").open("wb")
        if kind == "parquet":
            self._writer: Any = pyarrow.parquet.ParquetWriter(self._file, self._schema)
        else:
            self._writer = pyarrow.ipc.new_file(self._file, self._schema)

    def add(self, fields: FieldData) -> None:
        import pyarrow

        columns = []
        for name in self._schema.names:
            tokens, lengths = _field(fields, name)
            offsets = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
            columns.append(pyarrow.LargeListArray.from_arrays(offsets, pyarrow.array(tokens, pyarrow.int32())))
        self._writer.write_batch(pyarrow.RecordBatch.from_arrays(columns, schema=self._schema))

    def finish(self) -> None:
        self._writer.close()
        self._file.close()

    def close(self) -> None:
        if not self._file.closed:
            self.finish()
