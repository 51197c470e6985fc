"""Rows that are trained on: checked once before the run, made into samples whenever a step asks for them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from r1zero.data.handlers import Fields
from r1zero.data.problems import Rejected
from r1zero.data.read.cells import BadRow
from r1zero.data.tokens import Placed, RowPlace
from r1zero.types import Sample

ToSamples = Callable[[Fields], tuple[Sample, ...]]


@dataclass(frozen=True, slots=True)
class Limit:
    """What happens to rows of more than `tokens` tokens. `key` is what the recipe calls this limit."""

    tokens: int
    too_long: Literal["drop", "cut", "split"]
    key: str = "data.max_tokens"


@dataclass(slots=True)
class TrainingSet:
    """Usable rows, `set[i]` -> the samples of row i: one, or the two of a pair.

    Only what a row is made of stays in memory: its tokens, or of a prepared set nothing. `of` has found every
    row that cannot be used.
    """

    rows: Sequence[Placed]
    to_samples: ToSamples
    limit: Limit
    places: list[tuple[int, int]] = field(default_factory=list)  # (row, piece of it)
    rejected: list[Rejected] = field(default_factory=list)
    cut: int = 0
    fingerprint: str = ""  # of all samples in order

    @classmethod
    def of(
        cls,
        rows: Sequence[Placed],
        to_samples: ToSamples,
        limit: Limit,
        source: str,
        decode: Callable[[np.ndarray], str],
    ) -> TrainingSet:
        """Look at every row once. Those that cannot be used are in `rejected`, with their length if that is why; `cut`
        counts those that lost their end."""
        found = cls(rows, to_samples, limit)
        total = hashlib.sha256()
        for number in range(len(rows)):
            place, fields = RowPlace(number + 1), Fields()
            try:
                place, fields = rows[number]
                for piece, part in enumerate(pieces(fields, limit)):
                    for sample in found.to_samples(part):
                        for values in (sample.prompt_ids, sample.response_ids, sample.mask):
                            total.update(len(values).to_bytes(8, "little") + values.tobytes())
                    found.places.append((number, piece))
                found.cut += limit.too_long == "cut" and _longest(fields) > limit.tokens
            except BadRow as bad:
                found.rejected.append(Rejected(place.file or source, place.line, str(bad), _shown(fields, decode)))
        found.fingerprint = total.hexdigest()
        return found

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, index: int) -> tuple[Sample, ...]:
        row, piece = self.places[index]
        parts = list(pieces(self.rows[row][1], self.limit))
        return self.to_samples(parts[piece])


def pieces(fields: Fields, limit: Limit) -> Iterator[Fields]:
    """What one row gives: itself, the rows of a pack that numbers them (`neat_pack`), or the pieces of a long document,
    each beginning with the last token of the one before. Raises BadRow for a row that is too long."""
    for row in _unpacked(fields):
        longest = _longest(row)
        if longest <= limit.tokens:
            yield row
        elif limit.too_long == "drop":
            raise BadRow(f"the row has {longest} tokens, more than {limit.key} = {limit.tokens}")
        elif limit.too_long == "cut":
            yield {name: values[: limit.tokens] for name, values in row.items()}
        else:
            (ids,) = row.values()
            for start in range(0, len(ids) - 1, limit.tokens - 1):
                yield {"input_ids": ids[start : start + limit.tokens]}


def _unpacked(fields: Fields) -> Iterator[Fields]:
    mask = fields.get("attention_mask")
    others = {name: values for name, values in fields.items() if name != "attention_mask"}
    if mask is None or (mask == 1).all():
        yield others
        return
    for number in range(1, int(mask.max()) + 1):
        places = np.flatnonzero(mask == number)
        yield {name: values[places[0] : places[-1] + 1] for name, values in others.items()}


def _shown(fields: Fields, decode: Callable[[np.ndarray], str]) -> dict[str, str]:
    """The texts of a row, for the quarantine."""
    return {name: decode(ids) for name, ids in fields.items() if name.endswith("input_ids")}


def _longest(fields: Fields) -> int:
    return max(len(values) for values in fields.values())
