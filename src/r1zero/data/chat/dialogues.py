"""Rows as dialogues: the Alpaca and ShareGPT layouts, and the columns they are mapped from (`map_keys`)."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from r1zero.base.errors import UsageError, suggest
from r1zero.data.read.cells import BadRow, chat_text, column, content, filled, messages, optional, text
from r1zero.types import Message

Columns: TypeAlias = Mapping[str, Any]
Names: TypeAlias = Mapping[str, Any]  # what map_keys maps to


@dataclass(frozen=True, slots=True)
class Dialogue:
    """Turns that end with a user's, and the answers to it: one, or the chosen and the rejected."""

    turns: tuple[Message, ...]
    answers: tuple[Message, ...]
    system: str = ""
    tools: str = ""


Reader: TypeAlias = Callable[[Columns, Names, bool], Dialogue]

ALPACA: dict[str, Any] = {
    "prompt": "instruction",
    "query": "input",
    "response": "output",
    "history": None,
    "system": None,
    "chosen": "chosen",
    "rejected": "rejected",
}
SHAREGPT: dict[str, Any] = {
    "messages": "conversations",
    "system": None,
    "tools": None,
    "chosen": "chosen",
    "rejected": "rejected",
    "role_tag": "from",
    "content_tag": "value",
    "user_tag": "human",
    "assistant_tag": "gpt",
    "observation_tag": "observation",
    "function_tag": "function_call",
    "system_tag": "system",
}
OPENAI = SHAREGPT | {
    "messages": "messages",
    "role_tag": "role",
    "content_tag": "content",
    "user_tag": "user",
    "assistant_tag": "assistant",
    "observation_tag": "tool",
}


def resolve_names(defaults: Names, given: Mapping[str, Any] | None, key: str = "map_keys") -> dict[str, Any]:
    """`map_keys` over the defaults; "" and null switch a column off. Raises UsageError for a name nobody knows, which
    calls the setting `key`."""
    flat: dict[str, Any] = {}
    for name, value in (given or {}).items():
        flat |= value if name == "tags" and isinstance(value, dict) else {name: value or None}
    for name in flat:
        if name not in defaults:
            raise UsageError(f"{key}.{name}: unknown name{suggest(name, defaults)}")
    return dict(defaults) | flat | {"mapped": frozenset(flat)}


def alpaca(columns: Columns, names: Names, pairwise: bool) -> Dialogue:
    """Instruction, input and output; earlier turns in history. An instruction that is a chat keeps its turns."""
    history = tuple(_history(columns, names["history"]))
    question = chat_text(column(columns, names["prompt"]))
    system = _optional(columns, names, "system")
    if isinstance(question, list):
        turns = messages(question, names["prompt"])
        if turns and turns[0].role == "system":
            system, turns = turns[0].content, turns[1:]
        if not turns or turns[-1].role != "user":
            raise BadRow(f"column '{names['prompt']}' is a chat that does not end with a user's message")
        for place, turn in enumerate(turns):
            _check_place(place, turn.role)
    else:
        parts = [text(question, names["prompt"]) if question is not None else "", _optional(columns, names, "query")]
        joined = "\n".join(part for part in parts if part)
        turns = (Message("user", filled(joined, names["prompt"])),)
    return Dialogue((*history, *turns), _answers(columns, names, pairwise), system)


def sharegpt(columns: Columns, names: Names, pairwise: bool) -> Dialogue:
    """A list of turns with a role and a text each; user (or observation) and assistant (or function call) alternate."""
    turns = chat_text(column(columns, names["messages"]))
    if not isinstance(turns, Sequence) or isinstance(turns, str):
        raise BadRow(f"column '{names['messages']}' must be a list of turns, found {type(turns).__name__}")
    chat = [_turn(turn, names) for turn in turns]
    system = _optional(columns, names, "system")
    if chat and chat[0].role == "system":
        system, chat = chat[0].content, chat[1:]
    for place, turn in enumerate(chat):
        _check_place(place, turn.role)
    tools = _optional_json(columns, names)
    if pairwise:
        answers = tuple(_turn(column(columns, names[name]), names) for name in ("chosen", "rejected"))
        if len(chat) % 2 != 1:
            raise BadRow(f"column '{names['messages']}' does not end with a user's turn")
        return Dialogue(tuple(chat), answers, system, tools)
    if not chat or len(chat) % 2:
        raise BadRow(f"column '{names['messages']}' does not end with an assistant's turn")
    return Dialogue(tuple(chat[:-1]), (chat[-1],), system, tools)


def _check_place(place: int, role: str) -> None:
    allowed = ("assistant", "function") if place % 2 else ("user", "observation")
    if role not in allowed:
        raise BadRow(f"turn {place + 1} is of '{role}', expected {' or '.join(allowed)}: roles must alternate")


def _turn(turn: Any, names: Names) -> Message:
    if not isinstance(turn, Mapping) or names["role_tag"] not in turn:
        raise BadRow(f"a turn must have '{names['role_tag']}' and '{names['content_tag']}', found {str(turn)[:80]!r}")
    roles = {names[f"{role}_tag"]: role for role in ("user", "assistant", "observation", "function", "system")}
    said = turn[names["role_tag"]]
    role = roles.get(said) if isinstance(said, str) else None
    if role is None:
        found = str(said)[:80]
        raise BadRow(f"a turn has the unknown role '{found}'{suggest(found, map(str, roles))}")
    if calls := turn.get("tool_calls"):
        return Message("function", _thought(turn) + json.dumps(_calls(calls), ensure_ascii=False))
    said = content(turn.get(names["content_tag"]), names["content_tag"])
    return Message(role, said if role == "system" else _thought(turn) + filled(said, names["content_tag"]))


def _thought(turn: Mapping[str, Any]) -> str:
    thought = turn.get("reasoning_content")
    return f"<think>\n{text(thought, 'reasoning_content')}\n</think>\n\n" if thought else ""


def _calls(calls: Any) -> list[dict[str, Any]]:
    """OpenAI's tool calls, whose arguments are JSON text."""
    try:
        functions = [call["function"] for call in calls]
        return [
            {
                "name": function["name"],
                "arguments": json.loads(function["arguments"])
                if isinstance(function["arguments"], str)
                else function["arguments"],
            }
            for function in functions
        ]
    except (ValueError, KeyError, TypeError):
        raise BadRow(f"tool_calls must be functions with name and arguments, found {str(calls)[:80]!r}") from None


def _answers(columns: Columns, names: Names, pairwise: bool) -> tuple[Message, ...]:
    if pairwise:
        return tuple(
            Message("assistant", _pick(column(columns, names[name]), names[name], place))
            for place, name in enumerate(("chosen", "rejected"))
        )
    return (Message("assistant", _pick(column(columns, names["response"]), names["response"], None)),)


def _pick(value: Any, name: str, place: int | None) -> str:
    """The text of an answer. A list holds one answer, or in pairwise data the pair; of a chat it is the last turn; a
    dict is DAPO-Math-17k's `reward_model`."""
    if isinstance(value, str):
        return filled(value, name)
    if isinstance(value, Mapping):
        if "ground_truth" not in value:
            raise BadRow(f"column '{name}' is a dict without ground_truth")
        return filled(value["ground_truth"], name)
    if isinstance(value, list) and value and isinstance(value[-1], Mapping):
        return filled(messages(value, name)[-1].content, name)
    if not isinstance(value, list):
        return filled(value, name)
    if len(value) == 2 and place is not None:
        return filled(value[place], name)
    if len(value) != 1:
        raise BadRow(f"column '{name}' holds {len(value)} answers; one is needed")
    return filled(value[0], name)


def _history(columns: Columns, name: str | None) -> list[Message]:
    if not name or not (found := optional(columns, name)):
        return []
    try:
        pairs = [(pair[0], pair[1]) for pair in found if len(pair) == 2]
        whole = len(pairs) == len(found)
    except (TypeError, KeyError):
        whole, pairs = False, []
    if not whole:
        raise BadRow(f"column '{name}' must be a list of pairs of question and answer")
    return [
        Message(role, filled(part, name))
        for pair in pairs
        for role, part in zip(("user", "assistant"), pair, strict=True)
    ]


def _optional(columns: Columns, names: Names, key: str) -> str:
    """Text of a column that may be absent, unless map_keys names it."""
    name = names[key]
    if not name:
        return ""
    value = column(columns, name) if key in names["mapped"] else optional(columns, name)
    return text(value, name) if value is not None else ""


def _optional_json(columns: Columns, names: Names) -> str:
    if not names["tools"]:
        return ""
    value = optional(columns, names["tools"])
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False) if value else ""


LAYOUTS: dict[str, tuple[Reader, Names]] = {
    "alpaca": (alpaca, ALPACA),
    "sharegpt": (sharegpt, SHAREGPT),
    "openai": (sharegpt, OPENAI),
}
