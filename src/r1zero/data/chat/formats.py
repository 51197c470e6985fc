"""Chat formats: how a dialogue becomes the pieces of text between which training draws the line.

`formats.yaml` holds the formats by name; a templates.json of MindSpeed-RL, MindSpeed-LLM or LLaMA-Factory is read too.
Each piece is tokenised by itself, so the boundary between a question and its answer is a boundary between tokens.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, TypeAlias

import yaml

from r1zero.base.errors import UsageError, suggest
from r1zero.data.chat.tools import call_text, list_tools, parse_calls
from r1zero.data.read.cells import BadRow
from r1zero.types import Message

_SHIPPED = Path(__file__).with_name("formats.yaml")


@dataclass(frozen=True, slots=True)
class Special:
    """A token that a tokenizer names by its role."""

    role: Literal["bos", "eos"]


BOS, EOS = Special("bos"), Special("eos")
Piece: TypeAlias = str | Special
Shape: TypeAlias = tuple[Piece, ...]


@dataclass(frozen=True, slots=True)
class Turn:
    """What the model is given and what it answers."""

    source: tuple[Piece, ...]
    target: tuple[Piece, ...]


_CONTENT: Shape = ("{content}",)
_EMPTY_THOUGHT = "<think>\n\n</think>\n\n"
_THOUGHT = re.compile(r"<think>.*?</think>", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatFormat:
    """A chat format; `formats.yaml` explains the parts. `enable_thinking`: what to do with `<think>` blocks where the
    format has them. True: answers without one get an empty one and learn it. False: they are cut out and an empty one
    is part of the prompt. None: kept where they are, an empty one in the prompt elsewhere."""

    name: str
    user: Shape = _CONTENT
    assistant: Shape | None = None
    system: Shape = _CONTENT
    function: Shape | None = None
    observation: Shape | None = None
    separator: Shape = ()
    prefix: Shape = ()
    default_system: str = ""
    stop: tuple[str, ...] = ()
    replace_eos: bool = False
    efficient_eos: bool = False
    tools: Literal["default", "qwen"] = "default"
    thinking: bool = False
    system_in_user: bool = False
    enable_thinking: bool | None = None

    def turns(
        self, dialogue: Sequence[Message], system: str = "", tools: str = "", *, last_thought_only: bool = False
    ) -> list[Turn]:
        """Pairs of what is given and what is answered; `dialogue` alternates between user (or observation) and
        assistant (or function) and ends with an answer. `tools` is a JSON list. With `last_thought_only` earlier
        answers lose their thoughts, as in a prompt. Raises BadRow for tools or calls that cannot be read."""
        system = (system or self.default_system) + (list_tools(tools, self.tools) if tools else "")
        pairs = []
        for index in range(0, len(dialogue), 2):
            given, answer = dialogue[index], dialogue[index + 1]
            source: tuple[Piece, ...] = self.prefix if index == 0 else self.separator
            content = given.content
            if index == 0 and system and self.system_in_user:
                content = "".join(map(str, _fill(self.system, system))) + content
            elif index == 0 and system:
                source += _fill(self.system, system)
            shape = self.user if given.role == "user" else (self.observation or self.user)
            source += _fill(shape, content)
            if last_thought_only and index + 2 < len(dialogue):
                content = without_thoughts(answer.content) if self.thinking else answer.content
                pairs.append(Turn(source, self._answer(Message(answer.role, content))))
            else:
                pairs.append(self._with_thought(source, answer))
        if self.efficient_eos:
            pairs[-1] = replace(pairs[-1], target=(*pairs[-1].target, EOS))
        return pairs

    def prompt(self, dialogue: Sequence[Message], system: str = "", tools: str = "") -> tuple[Piece, ...]:
        """Everything before the last answer, earlier answers included (without their thoughts)."""
        *before, last = self.turns(dialogue, system, tools, last_thought_only=True)
        return (*(piece for turn in before for piece in (*turn.source, *turn.target)), *last.source)

    def _with_thought(self, source: tuple[Piece, ...], answer: Message) -> Turn:
        content = answer.content
        if self.thinking and self.enable_thinking is False:
            content = without_thoughts(content)
        target = self._answer(Message(answer.role, content))
        if not self.thinking or "<think>" in content or "</think>" in content:
            return Turn(source, target)
        if self.enable_thinking:
            return Turn(source, (_EMPTY_THOUGHT, *target))
        return Turn((*source, _EMPTY_THOUGHT), target)

    def _answer(self, answer: Message) -> tuple[Piece, ...]:
        end: Shape = () if self.efficient_eos else (EOS,)
        if answer.role != "function":
            return _fill(self.assistant or (*_CONTENT, *end), answer.content)
        thought, calls = parse_calls(answer.content, self.tools)
        shape = self.function or (*_CONTENT, *end)
        if "{content}" in "".join(part for part in shape if isinstance(part, str)):
            return _fill(shape, thought + call_text(calls, self.tools))
        if len(calls) > 1:
            raise BadRow(f"a turn calls {len(calls)} functions; prompt_type '{self.name}' has room for one")
        named = {"{name}": calls[0][0], "{arguments}": calls[0][1]}
        return tuple(_name(part, named) if isinstance(part, str) else part for part in shape)


def load_format(name: str, file: str = "", enable_thinking: bool | None = None) -> ChatFormat:
    """A format by name; a templates file given by the user is looked into first. Raises UsageError for a name nobody
    knows, and for enable_thinking with a format that has no thoughts."""
    known = _shipped() | (_read(Path(file).expanduser()) if file else {})
    if name not in known:
        raise UsageError(f"prompt_type = '{name}': unknown chat format{suggest(name, known)}")
    found = known[name]
    if enable_thinking is not None and not found.thinking:
        able = ", ".join(sorted(name for name, format_ in known.items() if format_.thinking))
        raise UsageError(
            f"enable_thinking = {str(enable_thinking).lower()}: prompt_type '{name}' has no thoughts; leave it out, or "
            f"use {able}"
        )
    return replace(found, enable_thinking=enable_thinking)


def format_names() -> list[str]:
    return list(_shipped())


def _shipped() -> dict[str, ChatFormat]:
    entries = yaml.safe_load(_SHIPPED.read_text(encoding="utf-8"))
    return {name: _from_yaml(name, parts or {}) for name, parts in entries.items()}


def _from_yaml(name: str, parts: Mapping[str, Any]) -> ChatFormat:
    shapes = {key: _shape(value) for key, value in parts.items() if key in SHAPES}
    rest = {key: value for key, value in parts.items() if key not in SHAPES}
    return ChatFormat(name=name, **shapes, **{**rest, "stop": tuple(parts.get("stop", ()))})


SHAPES = ("user", "assistant", "system", "function", "observation", "separator", "prefix")


def _shape(text: str) -> Shape:
    names: dict[str, Piece] = {"{bos}": BOS, "{eos}": EOS}
    return tuple(names.get(part, part) for part in re.split(r"(\{bos\}|\{eos\})", text) if part)


def _read(file: Path) -> dict[str, ChatFormat]:
    """The formats of a templates.json: a list of objects with `name` and `format_*` slots."""
    try:
        entries = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UsageError(f"prompt_type_path = '{file}': no such file") from None
    except ValueError as error:
        raise UsageError(f"prompt_type_path = '{file}': not valid JSON: {error}") from None
    if not isinstance(entries, list) or not all(isinstance(entry, dict) and "name" in entry for entry in entries):
        raise UsageError(f"prompt_type_path = '{file}': must be a list of templates, each with a name")
    return {entry["name"]: _from_json(entry, file) for entry in entries}


def _from_json(entry: Mapping[str, Any], file: Path) -> ChatFormat:
    name = entry["name"]
    shapes: dict[str, Any] = {}
    for part in SHAPES:
        if slots := (entry.get(f"format_{part}") or {}).get("slots"):
            shapes[part] = tuple(_slot(slot, f"{file}: {name}.format_{part}") for slot in slots)
    system = entry.get("default_system") or ""
    tools = (entry.get("format_tools") or {}).get("tool_format", "default")
    if tools not in ("default", "qwen"):
        raise UsageError(f"{file}: {name}.format_tools.tool_format = '{tools}': must be default or qwen")
    stop = entry.get("stop_words") or []
    check_stop(stop, f"{file}: {name}.stop_words")
    if entry.get("replace_eos") and not stop:
        raise UsageError(f"{file}: {name}.replace_eos = {entry['replace_eos']!r}: needs stop_words, the first of them")
    return ChatFormat(
        name=name,
        default_system="".join(system),
        stop=tuple(stop),
        replace_eos=bool(entry.get("replace_eos")),
        efficient_eos=bool(entry.get("efficient_eos")),
        tools=tools,
        thinking=entry.get("template_class") == "ReasoningTemplate",
        system_in_user=name.startswith("llama2"),
        **shapes,
    )


def check_stop(value: Any, where: str) -> None:
    """Raises UsageError for stop strings that are none; every response would hold an empty one."""
    if not isinstance(value, list):
        raise UsageError(f"{where} = {value!r}: must be a list of texts")
    for text in value:
        if not isinstance(text, str) or not text:
            raise UsageError(f"{where} = {value!r}: holds {text!r}; a stop string must be a text that is not empty")


def _slot(slot: Any, where: str) -> Piece:
    if isinstance(slot, str):
        return re.sub(r"\{\{(content|name|arguments)\}\}", r"{\1}", slot)
    if slot in (["bos_token"], ["eos_token"]):
        return BOS if slot == ["bos_token"] else EOS
    raise UsageError(f"{where}: slot {slot!r}: must be text, ['bos_token'] or ['eos_token']")


def _fill(shape: Shape, content: str) -> tuple[Piece, ...]:
    return tuple(part.replace("{content}", content, 1) if isinstance(part, str) else part for part in shape)


def _name(part: str, named: Mapping[str, str]) -> str:
    return re.sub(r"\{name\}|\{arguments\}", lambda found: named[found.group()], part)


def without_thoughts(content: str) -> str:
    """An answer as formats with thoughts show it later on."""
    return _THOUGHT.sub("", content).lstrip("\n")
