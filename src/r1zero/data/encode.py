"""Rows to token fields, a chunk at a time: the part of `prepare` that runs in worker processes.

Nothing here needs torch or transformers: a worker holds the tokenizer's Rust core, a handler and the rows of a chunk.
Pieces that repeat from row to row (system turns, questions of a pair) are tokenised once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from tokenizers import Tokenizer

from r1zero.data.chat.formats import BOS, EOS, Piece
from r1zero.data.control import ControlTokens
from r1zero.data.handlers import IGNORED, MASK, Fields, Handler, Span
from r1zero.data.read.cells import BadRow, optional, refuse_half_characters
from r1zero.data.read.rows import Row

_CACHED_PIECES = 4096
_BATCH = 128  # texts of one call: what the tokenizer makes of them is freed while it is still in the processor's cache


@dataclass(frozen=True, slots=True)
class Rejection:
    """A row that is not used. `bad`: something is wrong with it; otherwise it is merely too long."""

    where: int
    reason: str
    columns: Mapping[str, Any]
    bad: bool = True


@dataclass(frozen=True, slots=True)
class Encoded:
    """The usable rows of a chunk: for every field but the attention mask, all tokens back to back and the length of
    each row's part."""

    fields: dict[str, tuple[np.ndarray, np.ndarray]]  # field -> (tokens [T] int32, lengths [N] int32)
    where: np.ndarray  # [N] int64: line or index of each row
    rejected: list[Rejection]
    characters: int
    learned: int  # tokens whose label is not -100


class Encoder:
    """Tokenises spans. `eos_id` and `bos_id` are what the pieces BOS and EOS become; a tokenizer may have no BOS.

    `control` are texts that the tokenizer reads as special tokens: a row whose own text holds one is refused, since it
    could end its turn or open another one.
    """

    def __init__(self, tokenizer: Tokenizer, *, bos_id: int | None, eos_id: int, control: Sequence[str]) -> None:
        tokenizer.no_padding()
        tokenizer.no_truncation()
        self._tokenizer = tokenizer
        bos = [] if bos_id is None else [bos_id]
        self._special = {BOS: np.array(bos, np.int32), EOS: np.array([eos_id], np.int32)}
        self._control = ControlTokens(control)
        self._cache: dict[str, np.ndarray] = {}

    def control_token(self, value: Any) -> str | None:
        """A control token inside a cell, wherever it is nested."""
        if isinstance(value, str):
            return self._control.find(value)
        nested = value.values() if isinstance(value, Mapping) else value if isinstance(value, list | tuple) else ()
        return next((found for item in nested if (found := self.control_token(item))), None)

    def refuse_control(self, value: Any) -> None:
        """Raises BadRow for a cell with a control token."""
        if control := self.control_token(value):
            raise BadRow(f"the text contains the control token '{control}'")

    def encode(self, rows: Sequence[Sequence[Span]]) -> list[list[np.ndarray]]:
        """Ids of every span of every row."""
        new = dict.fromkeys(
            piece
            for spans in rows
            for span in spans
            for piece in span
            if isinstance(piece, str) and piece and piece not in self._cache
        )
        texts = list(new)
        known: dict[Piece, np.ndarray] = {**self._special, **self._cache, "": _NONE}
        for start in range(0, len(texts), _BATCH):
            batch = texts[start : start + _BATCH]
            encodings = self._tokenizer.encode_batch_fast(batch, add_special_tokens=False)
            known |= zip(batch, (np.array(encoding.ids, np.int32) for encoding in encodings), strict=True)
        ids = [[_join([known[piece] for piece in span]) for span in spans] for spans in rows]
        self._remember(rows)
        return ids

    def _remember(self, rows: Sequence[Sequence[Span]]) -> None:
        """Keep what two neighbouring rows share: system turns, prefixes, separators."""
        if len(self._cache) >= _CACHED_PIECES or len(rows) < 2:
            return
        first, second = ({piece for span in spans for piece in span if isinstance(piece, str)} for spans in rows[:2])
        for piece in first & second - {""}:
            if piece not in self._cache:
                encoding = self._tokenizer.encode(piece, add_special_tokens=False)
                self._cache[piece] = np.array(encoding.ids, np.int32)


_NONE = np.zeros(0, np.int32)


def _join(parts: list[np.ndarray]) -> np.ndarray:
    return parts[0] if len(parts) == 1 else np.concatenate(parts) if parts else _NONE


def encode_rows(rows: Iterable[Row], handler: Handler, encoder: Encoder, seq_length: int | None) -> Encoded:
    """A chunk's rows as fields. Rows that cannot be used become rejections, in order; rows with a field of `seq_length`
    tokens or more are rejected as too long."""
    reads = handler.reads
    used: list[Row] = []
    plans: list[list[Span]] = []
    rejected: list[Rejection] = []
    for row in rows:
        try:
            plans.append(_plan(row, handler, encoder, reads))
            used.append(row)
        except BadRow as bad:
            rejected.append(Rejection(row.where, str(bad), row.columns))
    kept: list[tuple[int, Fields]] = []
    for row, ids in zip(used, encoder.encode(plans), strict=True):
        try:
            fields = handler.assemble(ids)
        except BadRow as bad:
            rejected.append(Rejection(row.where, str(bad), row.columns))
            continue
        longest = max(len(tokens) for tokens in fields.values())
        if seq_length is not None and longest >= seq_length:
            reason = f"has {longest} tokens; seq_length = {seq_length} keeps rows that are shorter"
            rejected.append(Rejection(row.where, reason, row.columns, bad=False))
            continue
        kept.append((row.where, fields))
    columns = {name: _column([fields[name] for _, fields in kept]) for name in handler.fields if name != MASK}
    return Encoded(
        columns,
        np.array([where for where, _ in kept], np.int64),
        sorted(rejected, key=lambda rejection: rejection.where),
        sum(len(piece) for spans in plans for span in spans for piece in span if isinstance(piece, str)),
        sum(
            int(np.count_nonzero(tokens != IGNORED)) for name, (tokens, _) in columns.items() if name.endswith("labels")
        ),
    )


def fields_of(encoded: Encoded) -> list[Fields]:
    """The fields of every row."""
    columns = {name: np.split(tokens, np.cumsum(lengths)[:-1]) for name, (tokens, lengths) in encoded.fields.items()}
    return [{name: parts[row] for name, parts in columns.items()} for row in range(len(encoded.where))]


def _plan(row: Row, handler: Handler, encoder: Encoder, reads: Sequence[str]) -> list[Span]:
    if row.error:
        raise BadRow(row.error)
    spans = handler.spans(row.columns)
    for name in reads:
        encoder.refuse_control(optional(row.columns, name))
    for piece in (piece for span in spans for piece in span if isinstance(piece, str)):
        if "\0" in piece:
            raise BadRow("the text contains a NUL byte")
        refuse_half_characters(piece)
    return spans


def _column(parts: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    lengths = np.array([len(part) for part in parts], np.int32)
    return (np.concatenate(parts) if parts else _NONE), lengths
