"""Megatron indexed datasets: byte for byte what megatron-core writes, and readable both ways."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest

from r1zero.base.errors import UsageError
from r1zero.data.indexed import IndexedDataset, IndexedWriter

DOCUMENTS = [[[1, 2, 3]], [[4], [5, 6]], [[]], [[-100, 7]]]  # the second has two sequences, the third an empty one


def write(prefix: Path, documents: list[list[list[int]]] = DOCUMENTS, dtype: str = "i4") -> Path:
    with IndexedWriter(prefix, np.dtype(dtype)) as writer:
        for document in documents:
            writer.add_document([np.array(sequence) for sequence in document])
        writer.finish()
        writer.publish()
    return prefix


def test_bytes_of_a_small_index_by_hand(tmp_path: Path) -> None:
    write(tmp_path / "a", [[[1, 2, 3]], [[4], [5, 6]]])
    assert (tmp_path / "a.bin").read_bytes() == struct.pack("<6i", 1, 2, 3, 4, 5, 6)
    assert (tmp_path / "a.idx").read_bytes() == (
        b"MMIDIDX\0\0" + struct.pack("<QBQQ", 1, 4, 3, 3) + struct.pack("<3i", 3, 1, 2)
        + struct.pack("<3q", 0, 12, 16) + struct.pack("<3q", 0, 1, 3)
    )  # fmt: skip


@pytest.mark.parametrize("dtype", ["u1", "i2", "i4", "i8", "f8", "f4", "u2"])
def test_what_is_written_is_read(tmp_path: Path, dtype: str) -> None:
    documents = [[[1, 2, 3]], [[4], [5, 6]], [[]]]
    dataset = IndexedDataset(write(tmp_path / "name.with.dots", documents, dtype))
    assert [sequence.tolist() for sequence in dataset] == [[1, 2, 3], [4], [5, 6], []]
    assert dataset.documents.tolist() == [0, 1, 3, 4] and dataset.dtype == np.dtype(dtype)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["name.with.dots.bin", "name.with.dots.idx"]


def test_many_documents_at_once_equal_one_by_one(tmp_path: Path) -> None:
    lengths = np.array([2, 0, 3])
    with IndexedWriter(tmp_path / "a") as writer:
        writer.add_documents(np.arange(5), lengths)
        writer.add_documents(np.arange(0), np.array([], dtype=np.int64))
        writer.finish()
        writer.publish()
    write(tmp_path / "b", [[[0, 1]], [[]], [[2, 3, 4]]])
    for suffix in ("bin", "idx"):
        assert (tmp_path / f"a.{suffix}").read_bytes() == (tmp_path / f"b.{suffix}").read_bytes()


def test_merging_equals_writing_everything_at_once(tmp_path: Path) -> None:
    parts = [IndexedDataset(write(tmp_path / name, DOCUMENTS)) for name in ("a", "b")]
    with IndexedWriter(tmp_path / "merged") as writer:
        for part in parts:
            writer.add_dataset(part)
        assert (writer.sequences, writer.documents, writer.tokens) == (10, 8, 16)
        writer.finish()
        writer.publish()
    write(tmp_path / "whole", DOCUMENTS * 2)
    for suffix in ("bin", "idx"):
        assert (tmp_path / f"merged.{suffix}").read_bytes() == (tmp_path / f"whole.{suffix}").read_bytes()


def test_an_empty_dataset(tmp_path: Path) -> None:
    dataset = IndexedDataset(write(tmp_path / "a", []))
    assert len(dataset) == 0 and dataset.documents.tolist() == [0]


def test_an_exception_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(KeyError), IndexedWriter(tmp_path / "a") as writer:
        writer.add_document([np.array([1])])
        raise KeyError
    assert not list(tmp_path.iterdir())


def test_offsets_beyond_32_bits_in_a_sparse_file(tmp_path: Path) -> None:
    """2.2e9 tokens: offsets pass 2^33 bytes and the token count 2^31; the file takes a few blocks on the disk."""
    huge = 1_100_000_000
    with IndexedWriter(tmp_path / "a") as writer:
        bin_ = writer._out["bin"]
        for _ in range(2):
            bin_.flush()
            bin_.seek(4 * huge, 1)
            writer._out["lengths"].write(np.array([huge], "<i4").tobytes())
            writer._out["ends"].write(np.array([writer.sequences + 1], "<i8").tobytes())
            writer.sequences += 1
        writer.add_document([np.array([7, 8, 9])])
        writer.finish()
        writer.publish()
    assert (tmp_path / "a.bin").stat().st_size == 4 * (2 * huge + 3)
    dataset = IndexedDataset(tmp_path / "a")
    assert dataset.offsets.tolist() == [0, 4 * huge, 8 * huge] and dataset[2].tolist() == [7, 8, 9]
    assert dataset[1][-1] == 0
    megatron = pytest.importorskip("megatron.core.datasets.indexed_dataset", reason="needs megatron-core")
    theirs = megatron.IndexedDataset(str(tmp_path / "a"))  # it unmaps its file when it dies: keep it
    assert theirs[2].tolist() == [7, 8, 9]


def damage(file: Path, offset: int, data: bytes) -> None:
    content = bytearray(file.read_bytes())
    content[offset : offset + len(data)] = data
    file.write_bytes(content)


@pytest.mark.parametrize(
    ("offset", "data", "says"),
    [
        (0, b"XX", "a.idx: is not a Megatron index: it does not begin with MMIDIDX"),
        (9, b"\x02", "a.idx: has version 2; only version 1 is known"),
        (17, b"\x09", "a.idx: has dtype code 9; known: 1 to 8"),
        (18, b"\x06", "a.idx: has 134 bytes, expected 146; it was cut off or is damaged"),
    ],
)
def test_a_damaged_index_is_named(tmp_path: Path, offset: int, data: bytes, says: str) -> None:
    write(tmp_path / "a")
    damage(tmp_path / "a.idx", offset, data)
    with pytest.raises(UsageError) as caught:
        IndexedDataset(tmp_path / "a")
    assert str(caught.value) == f"{tmp_path}/{says}"


def test_missing_and_short_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"a\.idx: no such file; an indexed dataset is a \.bin and an \.idx file"):
        IndexedDataset(tmp_path / "a")
    write(tmp_path / "a")
    (tmp_path / "a.bin").write_bytes(b"1234")
    with pytest.raises(UsageError, match=r"a\.bin: has 4 bytes, the index needs 32; it was cut off"):
        IndexedDataset(tmp_path / "a")


def test_only_alike_sets_are_merged(tmp_path: Path) -> None:
    other = IndexedDataset(write(tmp_path / "a", [[[1]]], "u2"))
    with IndexedWriter(tmp_path / "b") as writer, pytest.raises(UsageError) as caught:
        writer.add_dataset(other)
    assert str(caught.value) == f"{tmp_path}/a.idx: holds uint16, the others int32; merge alike sets only"
    with pytest.raises(UsageError, match="dtype complex64: an indexed dataset holds one of uint8, int8, int16"):
        IndexedWriter(tmp_path / "c", np.dtype("complex64"))


def test_same_bytes_as_megatron_core_and_each_reads_the_other(tmp_path: Path) -> None:
    megatron = pytest.importorskip("megatron.core.datasets.indexed_dataset", reason="needs megatron-core")
    torch = pytest.importorskip("torch")
    builder = megatron.IndexedDatasetBuilder(str(tmp_path / "theirs.bin"), dtype=np.int32)
    for document in DOCUMENTS:
        for sequence in document:
            builder.add_item(torch.tensor(sequence, dtype=torch.int32))
        builder.end_document()
    builder.finalize(str(tmp_path / "theirs.idx"))
    ours = IndexedDataset(write(tmp_path / "ours"))
    for suffix in ("bin", "idx"):
        assert (tmp_path / f"ours.{suffix}").read_bytes() == (tmp_path / f"theirs.{suffix}").read_bytes()
    theirs = megatron.IndexedDataset(str(tmp_path / "ours"))
    assert [theirs[index].tolist() for index in range(len(theirs))] == [sequence.tolist() for sequence in ours]
    assert theirs.document_indices.tolist() == ours.documents.tolist()
    read = IndexedDataset(tmp_path / "theirs")
    assert [sequence.tolist() for sequence in read] == [sequence.tolist() for sequence in ours]
