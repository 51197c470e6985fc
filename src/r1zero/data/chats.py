"""What is given and what is answered in a chat, by any kind of template: the tokenizer's own, one of `templates.yaml`,
or a chat format. Pieces are tokenised one by one, so what is learned begins and ends between tokens; and a question is
tokenised as it is when the model is asked it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from tokenizers import Tokenizer

from r1zero.base.errors import UsageError
from r1zero.data.chat.formats import EOS, Piece, Turn, format_names, load_format
from r1zero.data.chat.templates import Template, apply_template, load_template, template_names
from r1zero.data.control import control_tokens
from r1zero.data.encode import Encoder
from r1zero.data.handlers import Chat
from r1zero.data.read.cells import BadRow
from r1zero.types import Message

_ROLES = {"observation": "tool", "function": "assistant"}  # ours -> those of Hugging Face's templates


@dataclass(frozen=True, slots=True)
class TokenizerChat:
    """The chat template that a transformers tokenizer brings. With `last_only` earlier answers are part of the prompt,
    so a template may show them otherwise once they have been answered."""

    tokenizer: Any
    last_only: bool = False
    efficient_eos: bool = False

    def turns(
        self, dialogue: Sequence[Message], system: str = "", tools: str = "", *, last_thought_only: bool = False
    ) -> list[Turn]:
        """See `handlers.Chat`."""
        if self.last_only or last_thought_only:
            given, answer = self._last(dialogue, system, tools)
            return [Turn((given,), self._ended(answer))]
        pairs: list[tuple[str, str]] = []
        shown = ""
        for end in range(2, len(dialogue) + 1, 2):
            given, answer = self._last(dialogue[:end], system, tools)
            if not given.startswith(shown):
                raise BadRow(
                    "the chat template shows an earlier answer otherwise once the chat goes on; "
                    "set objective.learn: last_answer"
                )
            pairs.append((given.removeprefix(shown), answer))
            shown = given + answer
        *before, (given, answer) = pairs
        return [*(Turn((asked,), (said,)) for asked, said in before), Turn((given,), self._ended(answer))]

    def prompt(self, dialogue: Sequence[Message], system: str = "", tools: str = "") -> tuple[Piece, ...]:
        """See `handlers.Chat`."""
        return (self._last(dialogue, system, tools)[0],)

    def _last(self, dialogue: Sequence[Message], system: str, tools: str) -> tuple[str, str]:
        """The text up to the last answer, and the text of that answer."""
        listed = json.loads(tools) if tools else None
        turns = [*([Message("system", system)] if system else []), *dialogue]
        chat = [Message(_ROLES.get(turn.role, turn.role), turn.content) for turn in turns]
        given = apply_template(self.tokenizer, chat[:-1], tools=listed, add_generation_prompt=True)
        whole = apply_template(self.tokenizer, chat, tools=listed, add_generation_prompt=False)
        if not whole.startswith(given):
            raise BadRow("the chat template begins this answer otherwise than it asks for one")
        return given, whole.removeprefix(given)

    def _ended(self, answer: str) -> tuple[Piece, ...]:
        return (answer,) if answer.rstrip().endswith(control_tokens(self.tokenizer)) else (answer, EOS)


@dataclass(frozen=True, slots=True)
class TemplateChat:
    """A template of `templates.yaml`. Where its answers hold no end token, the last one ends with the tokenizer's."""

    template: Template
    bos: str
    control: tuple[str, ...]
    efficient_eos: bool = False

    def turns(
        self, dialogue: Sequence[Message], system: str = "", tools: str = "", *, last_thought_only: bool = False
    ) -> list[Turn]:
        """See `handlers.Chat`."""
        if tools:
            raise BadRow("the row has tools, which this template has no place for")
        shape = self.template.assistant.removeprefix(self.template.generation)
        before, after = shape.split("{content}", 1)
        ends = any(token in after for token in self.control)
        pairs = []
        for index in range(0, len(dialogue), 2):
            asked, answer = dialogue[index], dialogue[index + 1]
            source = self._opening(system) if index == 0 else ""
            source += self.template.user.replace("{content}", asked.content)
            source += self.template.generation + before + self.template.prefill
            if not answer.content.startswith(self.template.prefill):
                raise BadRow(f"an answer does not begin with '{self.template.prefill}', as the template's prompt ends")
            content = answer.content.removeprefix(self.template.prefill)
            last = index + 2 == len(dialogue)
            pairs.append(Turn((source,), (content, EOS) if last and not ends else (content + after,)))
        return pairs

    def prompt(self, dialogue: Sequence[Message], system: str = "", tools: str = "") -> tuple[Piece, ...]:
        """See `handlers.Chat`."""
        *before, last = self.turns(dialogue, system, tools)
        return (*(piece for turn in before for piece in (*turn.source, *turn.target)), *last.source)

    def _opening(self, system: str) -> str:
        text = self.template.prefix.replace("{bos}", self.bos)
        system = system or self.template.system
        return text + self.template.system_turn.replace("{content}", system) if system else text


def open_chat(name: str, file: str, tokenizer: Any, *, last_only: bool = False) -> tuple[Chat, Encoder]:
    """What `data.template` means for a transformers tokenizer, and what turns its pieces into ids. Raises UsageError
    for an unknown name, and for a tokenizer that cannot do it."""
    stop = stop_strings(name, file)
    end = tokenizer.eos_token
    if name == "chat":
        if not tokenizer.chat_template:
            raise UsageError(
                "data.template = 'chat': this model's tokenizer has no chat template; choose another template"
            )
        chat: Chat = TokenizerChat(tokenizer, last_only)
    elif _is_format(name, file):
        format_ = load_format(name, file if file.endswith(".json") else "")
        chat = replace(format_, enable_thinking=True if format_.thinking else None)
        end = stop[0] if format_.replace_eos else end
    else:
        template = load_template(name, file)
        chat = TemplateChat(template, tokenizer.bos_token or "", (*control_tokens(tokenizer), *stop))
    return chat, encoder(tokenizer, end, stop)


def stop_strings(name: str, file: str) -> tuple[str, ...]:
    """Strings that end an answer, beside the model's own end tokens. Raises UsageError for an unknown name."""
    if name == "chat":
        return ()
    found = load_format(name, file if file.endswith(".json") else "") if _is_format(name, file) else None
    return (found or load_template(name, file)).stop


def _is_format(name: str, file: str) -> bool:
    return file.endswith(".json") or (name not in template_names(file) and name in format_names())


def encoder(tokenizer: Any, end: str | None, stop: Sequence[str] = ()) -> Encoder:
    """An encoder of spans that writes `end` for EOS. Raises UsageError for a tokenizer without it."""
    core = getattr(tokenizer, "backend_tokenizer", None)
    if not isinstance(core, Tokenizer):
        raise UsageError("model.path: its tokenizer has no fast (Rust) version, which is needed here")
    end_id = core.token_to_id(end) if end else None
    if end_id is None:
        raise UsageError(
            f"data.template: ends an answer with {end!r}, a token that the model's tokenizer does not have"
        )
    control = {*control_tokens(tokenizer), *stop}
    own = Tokenizer.from_str(core.to_str())  # padding and truncation are switched off in it
    return Encoder(own, bos_id=tokenizer.bos_token_id, eos_id=end_id, control=tuple(sorted(control)))
