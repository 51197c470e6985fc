"""Megatron indexed datasets: `{prefix}.bin` holds token arrays back to back, `{prefix}.idx` says where each begins.

The index, little-endian (MMIDIDX version 1, `megatron.core.datasets.indexed_dataset`):

    9 bytes  `MMIDIDX` 0 0        int32[S]  tokens of each sequence
    u64      version 1            int64[S]  byte offset of each sequence in the .bin file
    u8       dtype code           int64[D]  sequences before each document boundary; the first is 0: D = documents + 1
    u64 S, u64 D                  int8[S]   modes, only in multimodal sets

Files are written under temporary names beside the target; `publish` renames them: a prefix is complete or absent.
"""

from __future__ import annotations

import mmap
import os
import struct
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from r1zero.base.errors import UsageError

_MAGIC = b"MMIDIDX\x00\x00"
_HEADER = struct.Struct("<9sQBQQ")
_CODES: dict[int, np.dtype] = {
    code: np.dtype(name).newbyteorder("<")
    for code, name in enumerate(("u1", "i1", "i2", "i4", "i8", "f8", "f4", "u2"), start=1)
}
_BLOCK = 1 << 20  # entries of the index that are in memory at once


def dtype_code(dtype: np.dtype) -> int:
    """The code of a dtype. Raises UsageError for one that the format does not know."""
    for code, known in _CODES.items():
        if known == np.dtype(dtype).newbyteorder("<"):
            return code
    raise UsageError(f"dtype {dtype}: an indexed dataset holds one of {', '.join(str(d) for d in _CODES.values())}")


class IndexedWriter:
    """Appends documents to an indexed dataset in constant memory.

    Lengths and boundaries are spilled to temporary files, since a set may have more rows than memory. Use as a context
    manager: leaving it by an exception, or without `finish`, deletes the temporaries.
    """

    def __init__(self, prefix: Path, dtype: np.dtype = _CODES[4]) -> None:
        self.prefix, self.dtype = prefix, np.dtype(dtype).newbyteorder("<")
        self.code = dtype_code(self.dtype)
        self.sequences = self.documents = self.tokens = 0
        self._files = {name: _temporary(prefix, name) for name in ("bin", "idx", "lengths", "ends")}
        self._out = {name: self._files[name].open("wb") for name in ("bin", "lengths", "ends")}
        self._out["ends"].write(np.zeros(1, "<i8").tobytes())

    def add_documents(self, tokens: np.ndarray, lengths: np.ndarray) -> None:
        """Documents of one sequence each: `tokens` [sum of lengths] back to back, `lengths` [N]."""
        assert int(lengths.sum()) == len(tokens)
        if not len(lengths):
            return
        ends = np.arange(self.sequences + 1, self.sequences + 1 + len(lengths), dtype="<i8")
        self._append(tokens, lengths, ends)

    def add_document(self, sequences: Iterable[np.ndarray]) -> None:
        """One document of any number of sequences."""
        parts = [np.asarray(part, dtype=self.dtype) for part in sequences]
        lengths = np.array([len(part) for part in parts], dtype="<i4")
        tokens = np.concatenate(parts) if parts else np.zeros(0, self.dtype)
        self._append(tokens, lengths, np.array([self.sequences + len(parts)], dtype="<i8"))

    def add_dataset(self, other: IndexedDataset) -> None:
        """Everything of another dataset, documents kept. Raises UsageError if its dtype differs."""
        if other.dtype != self.dtype:
            raise UsageError(f"{other.prefix}.idx: holds {other.dtype}, the others {self.dtype}; merge alike sets only")
        for first in range(0, len(other), _BLOCK):
            part = slice(first, min(first + _BLOCK, len(other)))
            begin, end = other.offsets[part.start], other.offsets[part.stop - 1] + _bytes(other, part.stop - 1)
            for start in range(int(begin), int(end), 1 << 26):
                self._out["bin"].write(other.raw[start : min(start + (1 << 26), int(end))])
            self._out["lengths"].write(other.lengths[part].tobytes())
        self._out["ends"].write((other.documents[1:] + self.sequences).astype("<i8").tobytes())
        self.sequences += len(other)
        self.documents += len(other.documents) - 1
        self.tokens += int(other.lengths.sum(dtype=np.int64))

    def finish(self) -> None:
        """Write the index and flush everything to the disk, still under temporary names."""
        for file in self._out.values():
            _sync(file)
            file.close()
        write_index(self._files["idx"], self.code, self._files["lengths"], self._files["ends"])
        for name in ("lengths", "ends"):
            self._files[name].unlink()

    def publish(self) -> None:
        """Rename: tokens first, index last, so that an index never points at what is not there."""
        self._files["bin"].rename(_with_suffix(self.prefix, "bin"))
        self._files["idx"].rename(_with_suffix(self.prefix, "idx"))

    def discard(self) -> None:
        for file in self._out.values():
            file.close()
        for file in self._files.values():
            file.unlink(missing_ok=True)

    def __enter__(self) -> IndexedWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self.discard()

    def _append(self, tokens: np.ndarray, lengths: np.ndarray, ends: np.ndarray) -> None:
        self._out["bin"].write(np.ascontiguousarray(tokens, dtype=self.dtype).data)
        self._out["lengths"].write(np.ascontiguousarray(lengths, dtype="<i4").data)
        self._out["ends"].write(ends.data)
        self.sequences += len(lengths)
        self.documents += len(ends)
        self.tokens += len(tokens)


def write_index(target: Path, code: int, lengths: Path, ends: Path) -> None:
    """The .idx file from raw files of int32 lengths [S] and int64 document boundaries [D], block by block."""
    sequences, boundaries = lengths.stat().st_size // 4, ends.stat().st_size // 8
    offset = 0
    with target.open("wb") as out:
        out.write(_HEADER.pack(_MAGIC, 1, code, sequences, boundaries))
        for block in _blocks(lengths, "<i4"):
            out.write(block.data)
        for block in _blocks(lengths, "<i4"):
            sizes = block.astype(np.int64) * _CODES[code].itemsize
            starts = offset + np.cumsum(sizes) - sizes
            offset += int(sizes.sum())
            out.write(starts.astype("<i8").data)
        for block in _blocks(ends, "<i8"):
            out.write(block.data)
        _sync(out)


class IndexedDataset:
    """An indexed dataset by memory map: `dataset[i]` is sequence i, [tokens], without a copy.

    `lengths` [S] int32, `offsets` [S] int64 (bytes), `documents` [D] int64. Raises UsageError for files that are
    missing, are no indexed dataset, or do not fit together.
    """

    def __init__(self, prefix: Path | str) -> None:
        self.prefix = Path(prefix)
        index, tokens = _with_suffix(self.prefix, "idx"), _with_suffix(self.prefix, "bin")
        for file in (index, tokens):
            if not file.is_file():
                raise UsageError(f"{file}: no such file; an indexed dataset is a .bin and an .idx file of one name")
        view = _map(index)
        if len(view) < _HEADER.size or view[: len(_MAGIC)] != _MAGIC:
            raise UsageError(f"{index}: is not a Megatron index: it does not begin with MMIDIDX")
        _, version, code, sequences, boundaries = _HEADER.unpack_from(view)
        if version != 1:
            raise UsageError(f"{index}: has version {version}; only version 1 is known")
        if code not in _CODES:
            raise UsageError(f"{index}: has dtype code {code}; known: 1 to {len(_CODES)}")
        needed = _HEADER.size + 12 * sequences + 8 * boundaries
        if len(view) not in (needed, needed + sequences):  # multimodal sets end with a mode per sequence
            raise UsageError(f"{index}: has {len(view)} bytes, expected {needed}; it was cut off or is damaged")
        self.dtype = _CODES[code]
        self.lengths = np.frombuffer(view, "<i4", sequences, _HEADER.size)
        self.offsets = np.frombuffer(view, "<i8", sequences, _HEADER.size + 4 * sequences)
        self.documents = np.frombuffer(view, "<i8", boundaries, _HEADER.size + 12 * sequences)
        self.raw = _map(tokens)
        end = int(self.offsets[-1]) + _bytes(self, -1) if sequences else 0
        if len(self.raw) < end:
            raise UsageError(f"{tokens}: has {len(self.raw)} bytes, the index needs {end}; it was cut off")

    def __len__(self) -> int:
        return len(self.lengths)

    def __getitem__(self, index: int) -> np.ndarray:
        return np.frombuffer(self.raw, self.dtype, int(self.lengths[index]), int(self.offsets[index]))

    def __iter__(self) -> Iterator[np.ndarray]:
        return (self[index] for index in range(len(self)))


def _map(file: Path) -> mmap.mmap | bytes:
    """A read-only map; an empty file cannot be mapped."""
    with file.open("rb") as stream:
        return mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) if file.stat().st_size else b""


def _bytes(dataset: IndexedDataset, index: int) -> int:
    return int(dataset.lengths[index]) * dataset.dtype.itemsize


def _with_suffix(prefix: Path, suffix: str) -> Path:
    """`Path.with_suffix` would eat what follows a dot in the prefix."""
    return prefix.with_name(f"{prefix.name}.{suffix}")


def _temporary(prefix: Path, suffix: str) -> Path:
    return prefix.with_name(f".tmp-{prefix.name}.{suffix}")


def _blocks(file: Path, dtype: str) -> Iterator[np.ndarray]:
    size = _BLOCK * np.dtype(dtype).itemsize
    with file.open("rb") as stream:
        while block := stream.read(size):
            yield np.frombuffer(block, dtype)


def _sync(file: object) -> None:
    file.flush()  # pyright: ignore[reportAttributeAccessIssue]
    os.fsync(file.fileno())  # pyright: ignore[reportAttributeAccessIssue]
