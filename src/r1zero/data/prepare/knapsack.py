"""Rows of a few tokens become packs of exactly `seq_length` tokens, as MindSpeed-LLM's `--pack` fills them."""

from __future__ import annotations

import bisect
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from r1zero.data.handlers import IGNORED, Fields

WINDOW = 20_000  # rows that are packed together; all of them are in memory


@dataclass(slots=True)
class Packer:
    """Collects rows and gives packs. With `neat` the attention mask numbers the rows of a pack from 1 and is 0 on
    padding; otherwise it is 1 everywhere."""

    seq_length: int
    pad_id: int
    neat: bool
    rows: list[Fields] = field(default_factory=list)

    def add(self, rows: Sequence[Fields]) -> Iterator[Fields]:
        """Packs that are full once these rows are in."""
        for row in rows:
            self.rows.append(row)
            if len(self.rows) == WINDOW:
                yield from self.flush()

    def flush(self) -> Iterator[Fields]:
        """Packs of what is left."""
        rows, self.rows = self.rows, []
        by_length: defaultdict[int, list[Fields]] = defaultdict(list)
        for row in rows:
            by_length[len(row["input_ids"])].append(row)
        for lengths in fill([len(row["input_ids"]) for row in rows], self.seq_length - 1):
            yield self._pack([by_length[length].pop() for length in lengths])

    def _pack(self, rows: Sequence[Fields]) -> Fields:
        padding = self.seq_length - sum(len(row["input_ids"]) for row in rows)
        masks = [
            np.full(len(row["input_ids"]), number if self.neat else 1, np.int32)
            for number, row in enumerate(rows, start=1)
        ]
        return {
            "input_ids": _padded([row["input_ids"] for row in rows], padding, self.pad_id),
            "attention_mask": _padded(masks, padding, 0 if self.neat else 1),
            "labels": _padded([row["labels"] for row in rows], padding, IGNORED),
        }


def fill(lengths: Sequence[int], capacity: int) -> Iterator[list[int]]:
    """Greedy packs: always the largest length that fits. Example: `fill([3, 5, 2, 4], 7)` gives [5, 2], [4, 3]."""
    left = sorted(lengths)
    while left:
        room, chosen = capacity, []
        while (place := bisect.bisect(left, room)) > 0:
            chosen.append(left.pop(place - 1))
            room -= chosen[-1]
        assert chosen, f"a row of {left[0]} tokens cannot be in a pack of {capacity}"
        yield chosen


def _padded(parts: Sequence[np.ndarray], padding: int, value: int) -> np.ndarray:
    return np.concatenate([*parts, np.full(padding, value, np.int32)])
