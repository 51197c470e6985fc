"""Rows to token fields for training: raw rows through the handlers of `prepare`, sets that `prepare` wrote as they are.

answers        input_ids, labels (-100 where nothing is learned)        chats with answers
pairs          chosen_ and rejected_ input_ids and labels               a question with a better and a worse answer
judged_pairs   chosen_ and rejected_ input_ids, margin                  the same as a reward model is shown them
judged_steps   input_ids, judgements (NaN where no step ends)           a solution whose steps are judged
text           input_ids, an end token before and behind                documents
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby, islice
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np

from r1zero import config
from r1zero.base.errors import UsageError, suggest
from r1zero.data.chat import dialogues
from r1zero.data.chats import encoder, open_chat
from r1zero.data.encode import Encoder, encode_rows, fields_of
from r1zero.data.handlers import IGNORED, Fields, Handler, Instruction, Pairwise, Pretraining
from r1zero.data.indexed import IndexedDataset
from r1zero.data.judged import judged_ids, judged_steps, last_token
from r1zero.data.problems import Rejected
from r1zero.data.read import sources
from r1zero.data.read.cells import BadRow, column, filled, refuse_half_characters, text
from r1zero.data.read.rows import Row
from r1zero.types import Message

Kind: TypeAlias = Literal["answers", "pairs", "judged_pairs", "judged_steps", "text"]


class RowPlace(NamedTuple):
    """Where a row is: its line or index, and the file if its source has several."""

    line: int
    file: str = ""


Placed: TypeAlias = tuple[RowPlace, Fields]

_LAYOUTS: dict[Kind, tuple[str, ...]] = {
    "answers": (*dialogues.LAYOUTS, "prepared"),
    "pairs": (*dialogues.LAYOUTS, "prepared"),
    "judged_pairs": (*dialogues.LAYOUTS, "prepared"),
    "judged_steps": ("steps", "prepared"),
    "text": ("text", "prepared"),
}
_PAIR = ("chosen_input_ids", "chosen_labels", "rejected_input_ids", "rejected_labels")
_PREPARED: dict[Kind, tuple[str, ...]] = {
    "answers": ("input_ids", "labels", "attention_mask"),
    "pairs": _PAIR,
    "judged_pairs": _PAIR,
    "judged_steps": ("input_ids", "labels"),
}
_STEPS = {"prompt": "prompt", "steps": "completions", "labels": "labels"}


@dataclass(frozen=True, slots=True)
class Reading:
    """How rows are read: what for, by which recipe, with which transformers tokenizer."""

    kind: Kind
    data: config.TuningData
    objective: config.Objective
    tokenizer: Any


def read_fields(rows: config.Rows, section: str, reading: Reading) -> tuple[Sequence[Placed], list[Rejected]]:
    """The fields of every usable row, and the rows that are not. `section` is what the recipe calls these rows. Raises
    UsageError."""
    allowed = _LAYOUTS[reading.kind]
    if rows.layout not in allowed:
        name = reading.objective.name
        raise UsageError(f"{section}.layout = '{rows.layout}': {name} reads one of {', '.join(allowed)}")
    try:
        if rows.layout == "prepared":
            return _prepared(rows, reading)
        placed, rejected = _raw(rows, reading)
    except UsageError as error:
        raise UsageError(str(error) if str(error).startswith("data.") else f"{section}.{error}") from None
    if not placed:
        reasons = f"; all {len(rejected)} rows were rejected, the first: {rejected[0].reason}" if rejected else ""
        raise UsageError(f"{section}.path = '{rows.path}': the data set is empty{reasons}")
    return placed, rejected


def _raw(rows: config.Rows, reading: Reading) -> tuple[list[Placed], list[Rejected]]:
    raw = sources.read(rows.source())
    if reading.kind == "judged_steps":
        return _each(raw, rows, _steps(rows, reading))
    if reading.kind == "judged_pairs":
        return _each(raw, rows, _judged_pairs(rows, reading))
    handler, encoder_ = _handler(rows, reading)
    placed: list[Placed] = []
    rejected: list[Rejected] = []
    for file, of_file in groupby(raw, lambda row: row.file):
        while part := list(islice(of_file, 1000)):
            encoded = encode_rows(part, handler, encoder_, None)
            places = [RowPlace(line, file) for line in encoded.where.tolist()]
            placed += zip(places, map(_trainable, fields_of(encoded)), strict=True)
            rejected += [Rejected(file or rows.path, bad.where, bad.reason, bad.columns) for bad in encoded.rejected]
    return placed, rejected


def _handler(rows: config.Rows, reading: Reading) -> tuple[Handler, Encoder]:
    data, tokenizer = reading.data, reading.tokenizer
    if reading.kind == "text":
        names = dialogues.resolve_names({"text": "text"}, rows.columns, "columns")
        handler = Pretraining((names["text"] or "text",), "text", {}, append_eod=True, prepend_eod=True)
        return handler, encoder(tokenizer, tokenizer.eos_token)
    last_only = reading.objective.learn == "last_answer"
    chat, encoder_ = open_chat(data.template, data.templates_file, tokenizer, last_only=last_only)
    read, defaults = dialogues.LAYOUTS[rows.layout]
    names = dialogues.resolve_names(defaults, rows.columns, "columns")
    if reading.kind == "pairs":
        return Pairwise(chat, read, names), encoder_
    return Instruction(chat, read, names, append_eod=False, last_only=last_only), encoder_


def _trainable(fields: Fields) -> Fields:
    """The fields that training reads, under the names that this module promises."""
    if len(fields) == 1:
        return {"input_ids": next(iter(fields.values()))}
    return {name: ids for name, ids in fields.items() if name != "attention_mask"}


Maker: TypeAlias = Callable[[Mapping[str, Any]], Fields]


def _each(raw: Iterator[Row], rows: config.Rows, make: Maker) -> tuple[list[Placed], list[Rejected]]:
    placed: list[Placed] = []
    rejected: list[Rejected] = []
    for row in raw:
        try:
            if row.error:
                raise BadRow(row.error)
            refuse_half_characters(row.columns)
            placed.append((RowPlace(row.where, row.file), make(row.columns)))
        except BadRow as bad:
            rejected.append(Rejected(row.file or rows.path, row.where, str(bad), row.columns))
    return placed, rejected


def _judged_pairs(rows: config.Rows, reading: Reading) -> Maker:
    """Both answers as `judged.judged_ids` shows them to a reward model."""
    read, defaults = dialogues.LAYOUTS[rows.layout]
    margin = rows.columns.get("margin")
    columns_ = {name: value for name, value in rows.columns.items() if name != "margin"}
    names = dialogues.resolve_names(defaults, columns_, "columns")
    control = encoder(reading.tokenizer, reading.tokenizer.eos_token)

    def make(columns: Mapping[str, Any]) -> Fields:
        chat = read(columns, names, True)
        control.refuse_control([chat.system, *(turn.content for turn in (*chat.turns, *chat.answers))])
        turns = [*([Message("system", chat.system)] if chat.system else []), *chat.turns]
        chosen, rejected = (_ids(judged_ids(reading.tokenizer, turns, answer.content)) for answer in chat.answers)
        wanted = _number(column(columns, margin), margin) if margin else 0.0
        return {
            "chosen_input_ids": chosen,
            "rejected_input_ids": rejected,
            "margin": np.array([wanted], dtype=np.float32),
        }

    return make


def _steps(rows: config.Rows, reading: Reading) -> Maker:
    """Rows of a prompt, a list of steps and a list of judgements, as TRL's PRMTrainer reads them; a judgement is
    true or false, or the probability that the step is good."""
    names = dialogues.resolve_names(_STEPS, rows.columns, "columns")
    control = encoder(reading.tokenizer, reading.tokenizer.eos_token)

    def make(columns: Mapping[str, Any]) -> Fields:
        prompt = filled(column(columns, names["prompt"]), names["prompt"])
        steps, labels = (column(columns, names[key]) for key in ("steps", "labels"))
        if not isinstance(steps, list) or not isinstance(labels, list) or not steps or len(steps) != len(labels):
            raise BadRow(f"columns '{names['steps']}' and '{names['labels']}' must be lists of one length")
        texts = [filled(step, names["steps"]).strip() for step in steps]
        control.refuse_control([prompt, *texts])
        turns = [Message("user", prompt)]
        ids, ends = judged_steps(reading.tokenizer, turns, texts, reading.objective.step_mark)
        judgements = np.full(len(ids), np.nan, dtype=np.float32)
        judgements[ends] = [_probability(label, names["labels"]) for label in labels]
        return {"input_ids": _ids(ids), "judgements": judgements}

    return make


def _probability(value: Any, name: str) -> float:
    found = float(value) if isinstance(value, bool) else _number(value, name)
    if not 0 <= found <= 1:
        raise BadRow(f"column '{name}' holds {found:g}; a judgement is true, false or a number from 0 to 1")
    return found


def _number(value: Any, name: str) -> float:
    try:
        return float(text(value, name))
    except ValueError:
        raise BadRow(f"column '{name}' must be a number, found '{value}'") from None


def _ids(tokens: Sequence[int]) -> np.ndarray:
    return np.array(tokens, dtype=np.int32)


@dataclass(frozen=True, slots=True)
class _Indexed(Sequence[Placed]):
    """Rows of indexed datasets by memory map, read when they are asked for."""

    fields: Mapping[str, IndexedDataset]
    convert: Callable[[Fields], Fields]
    size: int

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, index: int) -> Placed:  # pyright: ignore[reportIncompatibleMethodOverride]
        if index >= self.size:
            raise IndexError(index)
        return RowPlace(index + 1), self.convert({name: ids[index] for name, ids in self.fields.items()})


def _prepared(rows: config.Rows, reading: Reading) -> tuple[Sequence[Placed], list[Rejected]]:
    """A set that `prepare` wrote: indexed datasets or a table."""
    convert = _converter(reading)
    if rows.path.endswith((".parquet", ".arrow")):
        names = _PREPARED.get(reading.kind, (rows.columns.get("text", "text"),))

        def make(columns: Mapping[str, Any]) -> Fields:
            return convert({name: _ids(column(columns, name)) for name in names})

        return _each(sources.read(rows.source()), rows, make)
    if reading.kind == "text":
        name = rows.columns.get("text", "text")
        found = {name: IndexedDataset(f"{rows.path}_{name}_document")}
    else:
        names = _PREPARED[reading.kind]
        found = {name: IndexedDataset(f"{rows.path}_packed_{name}_document") for name in names}
    sizes = {name: len(of_field) for name, of_field in found.items()}
    if len(set(sizes.values())) > 1:
        raise UsageError(f"path = '{rows.path}': its fields have different numbers of rows: {sizes}")
    size = next(iter(sizes.values()))
    return _Indexed(found, convert, min(rows.limit, size) if rows.limit else size), []


def _converter(reading: Reading) -> Callable[[Fields], Fields]:
    """What `prepare` writes -> what this module promises."""
    tokenizer, objective = reading.tokenizer, reading.objective
    if reading.kind == "text":
        end = np.array([tokenizer.eos_token_id], dtype=np.int32)
        return lambda fields: {"input_ids": np.concatenate([end, next(iter(fields.values()))])}
    if reading.kind == "judged_pairs":
        no_margin = np.zeros(1, dtype=np.float32)
        return lambda fields: (
            {name: ids for name, ids in fields.items() if "labels" not in name} | {"margin": no_margin}
        )
    if reading.kind != "judged_steps":
        return lambda fields: fields
    if not objective.good_token:
        raise UsageError(
            "layout = 'prepared': says with tokens which steps are good; name them as objective.good_token"
        )
    good, bad = (last_token(tokenizer, text) for text in (objective.good_token, objective.bad_token))

    def judgements(fields: Fields) -> Fields:
        labels = fields["labels"]
        unknown = labels[(labels != good) & (labels != bad) & (labels != IGNORED)]
        if len(unknown):
            label = tokenizer.decode([int(unknown[0])])
            raise BadRow(f"the label '{label}' is unknown{suggest(label, [objective.good_token, objective.bad_token])}")
        found = np.where(labels == IGNORED, np.nan, labels == good).astype(np.float32)
        return {"input_ids": fields["input_ids"], "judgements": found}

    return judgements
