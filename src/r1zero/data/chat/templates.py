"""How a chat becomes the text of a prompt. The templates themselves are data: `templates.yaml` and users' own files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Protocol

import yaml
from jinja2.exceptions import TemplateError

from r1zero.base.errors import UsageError, suggest
from r1zero.data.chat.formats import check_stop, format_names
from r1zero.data.read.cells import BadRow
from r1zero.types import Message

_SHIPPED = Path(__file__).with_name("templates.yaml")


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """Text around the turns of a chat; `templates.yaml` explains the parts."""

    user: str
    prefix: str = ""
    system: str = ""
    system_turn: str = "{content}\n"
    assistant: str = "{content}"
    generation: str = ""
    prefill: str = ""
    stop: tuple[str, ...] = ()

    def render(self, turns: Sequence[Message], bos: str) -> str:
        """The prompt's text. A chat that brings a system turn of its own replaces the template's."""
        system = self.system
        if turns[0].role == "system":
            system, turns = turns[0].content, turns[1:]
        parts = [self.prefix.replace("{bos}", bos)]
        if system:
            parts.append(self.system_turn.replace("{content}", system))
        for turn in turns:
            shape = self.assistant if turn.role == "assistant" else self.user
            parts.append(shape.replace("{content}", turn.content))
        return "".join(parts) + self.generation + self.prefill


class ChatTokenizer(Protocol):
    """What rendering needs of a transformers tokenizer."""

    chat_template: str | None
    bos_token: str | None

    def apply_chat_template(self, conversation: list[dict[str, str]], *, tokenize: bool, **settings: Any) -> str: ...


def render_chat(tokenizer: ChatTokenizer, turns: Sequence[Message]) -> str:
    """The prompt's text by the tokenizer's own chat template."""
    if not tokenizer.chat_template:
        raise UsageError("data.template = 'chat': this model's tokenizer has no chat template; choose another template")
    return apply_template(tokenizer, turns, add_generation_prompt=True)


def apply_template(tokenizer: Any, turns: Sequence[Message], **settings: Any) -> str:
    """What the tokenizer's own template makes of a chat. Raises BadRow, with the template's words, for a chat that it
    refuses."""
    conversation = [{"role": turn.role, "content": turn.content} for turn in turns]
    try:
        return tokenizer.apply_chat_template(conversation, tokenize=False, **settings)
    except (TemplateError, TypeError, ValueError, KeyError, IndexError, AttributeError) as error:
        said = " ".join(str(error).split()) or type(error).__name__
        raise BadRow(f"the chat template refuses the chat: {said}"[:300]) from None


def template_names(extra_file: str = "") -> list[str]:
    return list(_known(extra_file))


def load_template(name: str, extra_file: str = "") -> Template:
    """A template by name; a file given by the user is looked into first."""
    known = _known(extra_file)
    if name not in known:
        names = [*known, *format_names(), "chat"]
        raise UsageError(f"data.template = '{name}': unknown template{suggest(name, names)}")
    file, parts = known[name]
    allowed = [part.name for part in fields(Template)]
    for part, value in parts.items():
        if part not in allowed:
            raise UsageError(f"{file}: {name}.{part}: unknown key{suggest(part, allowed)}")
        if part == "stop":
            check_stop(value, f"{file}: {name}.stop")
        elif not isinstance(value, str):
            raise UsageError(f"{file}: {name}.{part} = {value!r}: must be text")
    if "user" not in parts:
        raise UsageError(f"{file}: {name}.user: missing; add it")
    return Template(**{part: tuple(value) if part == "stop" else value for part, value in parts.items()})  # pyright: ignore


def _known(extra_file: str) -> dict[str, tuple[Path, dict[str, object]]]:
    files = [Path(extra_file).expanduser(), _SHIPPED] if extra_file else [_SHIPPED]
    return {key: (file, value) for file in reversed(files) for key, value in _read(file).items()}


def _read(file: Path) -> dict[str, dict[str, object]]:
    try:
        templates = yaml.safe_load(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UsageError(f"data.templates_file = '{file}': no such file") from None
    except yaml.YAMLError as error:
        raise UsageError(f"data.templates_file = '{file}': not valid YAML: {error}") from None
    if not isinstance(templates, dict) or not all(isinstance(parts, dict) for parts in templates.values()):
        raise UsageError(f"data.templates_file = '{file}': must map template names to their parts")
    return templates
