"""Handlers: what a row is for. Each says which texts of a row are tokenised and how their ids become output fields.

The names are those of MindSpeed-RL and MindSpeed-LLM, the fields what their trainers read:

    pretraining      one field per json key            {prefix}_{key}_document
    instruction      input_ids attention_mask labels   labels are -100 on everything that is given
    R1, prompts      input_ids attention_mask ...      the prompt alone; labels are the reference answer's tokens
    pairwise         chosen_ and rejected_ input_ids and labels
    process reward   input_ids labels attention_mask   a label at every placeholder, -100 elsewhere

The latter four are named {prefix}_packed_{field}_document, packed or not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import numpy as np

from r1zero.base.errors import UsageError, suggest
from r1zero.data.chat import dialogues
from r1zero.data.chat.dialogues import Columns, Names, Reader
from r1zero.data.chat.formats import EOS, ChatFormat, Piece, Turn
from r1zero.data.read.cells import BadRow, column, filled, text
from r1zero.types import Message

IGNORED = -100
MASK = "attention_mask"
Span: TypeAlias = tuple[Piece, ...]
Ids: TypeAlias = np.ndarray  # [tokens] int32
Fields: TypeAlias = dict[str, Ids]


class Chat(Protocol):
    """How a dialogue is shown: `formats.ChatFormat`, or a template of `chats.py`. Methods raise BadRow for a dialogue
    that it cannot show."""

    @property
    def efficient_eos(self) -> bool: ...

    def turns(
        self, dialogue: Sequence[Message], system: str = "", tools: str = "", *, last_thought_only: bool = False
    ) -> list[Turn]:
        """Pairs of what is given and what is answered; the dialogue alternates and ends with an answer."""
        ...

    def prompt(self, dialogue: Sequence[Message], system: str = "", tools: str = "") -> tuple[Piece, ...]:
        """Everything before the last answer."""
        ...


class Handler(Protocol):
    """A picklable value: `spans` says what to tokenise, `assemble` makes fields of the ids of those spans, all but the
    attention mask, which is 1 for every token. Both raise BadRow."""

    @property
    def fields(self) -> tuple[str, ...]: ...

    @property
    def infix(self) -> str: ...

    @property
    def reads(self) -> tuple[str, ...]:
        """Columns whose text must not hold control tokens."""
        ...

    def spans(self, columns: Columns) -> list[Span]: ...

    def assemble(self, ids: Sequence[Ids]) -> Fields: ...


@dataclass(frozen=True, slots=True)
class Pretraining:
    """Plain text. `layout`: each json key's text, an Alpaca row as one text, or the texts of all turns."""

    fields: tuple[str, ...]
    layout: str
    names: Names
    append_eod: bool
    prepend_eod: bool = False
    infix: str = ""

    @property
    def reads(self) -> tuple[str, ...]:
        return self.fields if self.layout == "text" else _named(self.names)

    def spans(self, columns: Columns) -> list[Span]:
        end: Span = (EOS,) if self.append_eod else ()
        if self.layout == "text":
            start: Span = (EOS,) if self.prepend_eod else ()
            return [(*start, filled(column(columns, name), name), *end) for name in self.fields]
        if self.layout == "alpaca":
            return [(_alpaca_text(columns, self.names), *end)]
        chat = dialogues.sharegpt(columns, self.names, False)
        return [("".join(turn.content for turn in (*chat.turns, *chat.answers)), *end)]

    def assemble(self, ids: Sequence[Ids]) -> Fields:
        return dict(zip(self.fields, ids, strict=True))


@dataclass(frozen=True, slots=True)
class Instruction:
    """Every answer of a dialogue is learned, what is given is not; with `last_only` no answer but the last."""

    format: Chat
    read: Reader
    names: Names
    append_eod: bool
    last_only: bool = False
    fields: tuple[str, ...] = ("input_ids", "attention_mask", "labels")
    infix: str = "_packed"

    @property
    def reads(self) -> tuple[str, ...]:
        return _named(self.names)

    def spans(self, columns: Columns) -> list[Span]:
        chat = self.read(columns, self.names, False)
        turns = self.format.turns((*chat.turns, chat.answers[0]), chat.system, chat.tools)
        spans = [span for turn in turns for span in (turn.source, turn.target)]
        return [*spans[:-1], (*spans[-1], EOS)] if self.append_eod else spans

    def assemble(self, ids: Sequence[Ids]) -> Fields:
        input_ids = np.concatenate(ids)
        labels = input_ids.copy()
        first = len(ids) - 1 if self.last_only else 0
        start = 0
        for place, span in enumerate(ids):
            end = start + len(span)
            if place % 2 == 0 or place < first:
                labels[start:end] = IGNORED
            if self.format.efficient_eos and place % 2 == 0 and place > first and len(span):
                labels[start] = _end_of(ids)  # the token after an answer teaches the end that the format does not write
            start = end
        return {"input_ids": input_ids, "labels": labels}


@dataclass(frozen=True, slots=True)
class Prompts:
    """Prompts for RL, and the reference answer and other columns as tokens, without special ones."""

    format: Chat
    read: Reader
    names: Names
    additional: tuple[str, ...]
    infix: str = "_packed"

    @property
    def fields(self) -> tuple[str, ...]:
        return ("input_ids", "attention_mask", *self.additional)

    @property
    def reads(self) -> tuple[str, ...]:
        return (*_named(self.names), *self.additional)

    def spans(self, columns: Columns) -> list[Span]:
        chat = self.read(columns, self.names, False)
        answer = chat.answers[0]
        prompt = self.format.prompt((*chat.turns, answer), chat.system, chat.tools)
        others: list[Span] = [
            (answer.content,) if name == "labels" else (text(column(columns, name), name),) for name in self.additional
        ]
        return [prompt, *others]

    def assemble(self, ids: Sequence[Ids]) -> Fields:
        return {"input_ids": ids[0], **dict(zip(self.additional, ids[1:], strict=True))}


@dataclass(frozen=True, slots=True)
class Pairwise:
    """A prompt with a chosen and a rejected answer, for DPO and reward models."""

    format: Chat
    read: Reader
    names: Names
    fields: tuple[str, ...] = ("chosen_input_ids", "chosen_labels", "rejected_input_ids", "rejected_labels")
    infix: str = "_packed"

    @property
    def reads(self) -> tuple[str, ...]:
        return _named(self.names)

    def spans(self, columns: Columns) -> list[Span]:
        chat = self.read(columns, self.names, True)
        spans: list[Span] = []
        for answer in chat.answers:
            dialogue = (*chat.turns, answer)
            turns = self.format.turns(dialogue, chat.system, chat.tools, last_thought_only=True)
            spans += [self.format.prompt(dialogue, chat.system, chat.tools), turns[-1].target]
        return spans

    def assemble(self, ids: Sequence[Ids]) -> Fields:
        fields: Fields = {}
        for name, prompt, answer in (("chosen", *ids[:2]), ("rejected", *ids[2:])):
            fields[f"{name}_input_ids"] = np.concatenate([prompt, answer])
            fields[f"{name}_labels"] = np.concatenate([np.full(len(prompt), IGNORED, np.int32), answer])
        return fields


@dataclass(frozen=True, slots=True)
class ProcessReward:
    """Steps of a solution, each followed by a placeholder token whose label is the step's: columns `input`, `value`."""

    placeholder_id: int
    placeholder: str
    reward_tokens: tuple[str, ...]
    fields: tuple[str, ...] = ("input_ids", "labels", "attention_mask")
    infix: str = "_packed"

    @property
    def reads(self) -> tuple[str, ...]:
        return ()  # its text is written with a model's own tokens

    def spans(self, columns: Columns) -> list[Span]:
        values = column(columns, "value")
        if not isinstance(values, list):
            raise BadRow(f"column 'value' must be a list of labels, found {type(values).__name__}")
        labels = [text(value, "value") for value in values]
        for label in labels:
            if self.reward_tokens and label not in self.reward_tokens:
                raise BadRow(f"label '{label}' is not among reward_tokens = {', '.join(self.reward_tokens)}")
        return [(filled(column(columns, "input"), "input"),), *((label,) for label in labels)]

    def assemble(self, ids: Sequence[Ids]) -> Fields:
        tokens, *labels = ids
        places = np.flatnonzero(tokens == self.placeholder_id)
        if len(places) != len(labels):
            raise BadRow(f"has {len(labels)} labels for {len(places)} placeholders '{self.placeholder}'")
        if any(len(label) != 1 for label in labels):
            raise BadRow("a label must be one token")
        filled_in = np.full(len(tokens), IGNORED, np.int32)
        filled_in[places] = [int(label[0]) for label in labels]
        return {"input_ids": tokens, "labels": filled_in}


_KINDS: dict[str, tuple[str, str]] = {  # handler name -> (kind, layout of a row)
    "GeneralPretrainHandler": ("pretraining", "text"),
    "AlpacaPretrainHandler": ("pretraining", "alpaca"),
    "SharegptPretrainHandler": ("pretraining", "sharegpt"),
    "AlpacaStyleInstructionHandler": ("instruction", "alpaca"),
    "LlamaFactoryInstructionHandler": ("instruction", "alpaca"),
    "SharegptStyleInstructionHandler": ("instruction", "sharegpt"),
    "OpenAIInstructionHandler": ("instruction", "openai"),
    "R1AlpacaStyleInstructionHandler": ("prompts", "alpaca"),
    "Math17kAlpacaStyleInstructionHandler": ("prompts", "alpaca"),
    "R1SharegptStyleInstructionHandler": ("prompts", "sharegpt"),
    "PPOAlpacaStyleInstructionHandler": ("prompts", "alpaca"),
    "AlpacaStylePairwiseHandler": ("pairwise", "alpaca"),
    "SharegptStylePairwiseHandler": ("pairwise", "sharegpt"),
    "AlpacaStyleProcessRewardHandler": ("process_reward", "alpaca"),
}
HANDLER_NAMES = tuple(_KINDS)


def kind_of(handler_name: str) -> str:
    """`pretraining`, `instruction`, `prompts`, `pairwise` or `process_reward`. Raises UsageError for another name."""
    if handler_name not in _KINDS:
        raise UsageError(f"handler_name = '{handler_name}': unknown handler{suggest(handler_name, _KINDS)}")
    return _KINDS[handler_name][0]


def make_handler(
    name: str,
    format_: ChatFormat,
    *,
    map_keys: Mapping[str, Any] | None = None,
    additional: Sequence[str] = (),
    json_keys: Sequence[str] = ("text",),
    append_eod: bool = False,
    placeholder: tuple[str, int] = ("", -1),
    reward_tokens: Sequence[str] = (),
) -> Handler:
    """A handler by name. `placeholder` is the process reward's text and its token. Raises UsageError."""
    kind = kind_of(name)
    layout = _KINDS[name][1]
    read, defaults = dialogues.LAYOUTS.get(layout, dialogues.LAYOUTS["alpaca"])
    names = dialogues.resolve_names(defaults, map_keys)
    if kind == "pretraining":
        keys = tuple(json_keys) if layout == "text" else ("text",)
        return Pretraining(keys, layout, names, append_eod)
    if kind == "instruction":
        return Instruction(format_, read, names, append_eod)
    if kind == "pairwise":
        return Pairwise(format_, read, names)
    if kind == "process_reward":
        return ProcessReward(placeholder[1], placeholder[0], tuple(reward_tokens))
    extra = () if name.startswith("PPO") else tuple(additional)
    return Prompts(format_, read, names, extra)


def _alpaca_text(columns: Columns, names: Names) -> str:
    """An Alpaca row as one text, in the words of MindSpeed-LLM's AlpacaPretrainHandler."""
    instruction = filled(column(columns, names["prompt"]), names["prompt"])
    answer = filled(column(columns, names["response"]), names["response"])
    given = columns.get(names["query"] or "")
    question = f"### Input:\n{text(given, names['query'])}\n\n" if given else ""
    return (
        "A chat between a curious user and an artificial intelligence assistant. The assistant gives helpful, "
        "detailed, and polite answers to the user's questions.USER: Below is an instruction that describes a task. "
        f"Write a response that appropriately completes the request.\n\n### Instruction:\n{instruction}\n\n{question}"
        f"### Response: ASSISTANT: {answer}"
    )


def _named(names: Names) -> tuple[str, ...]:
    return tuple(name for name in names.values() if isinstance(name, str))


def _end_of(ids: Sequence[Ids]) -> int:
    """The end token that closes the chat."""
    return int(ids[-1][-1])
