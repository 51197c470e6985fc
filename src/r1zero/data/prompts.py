"""Problems become prompts: rendered by a template, tokenised once, never cut."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from r1zero.base.errors import UsageError
from r1zero.config import Data
from r1zero.data.chat.formats import ChatFormat, Special, format_names, load_format
from r1zero.data.chat.opening import begun, opened_thought
from r1zero.data.chat.templates import apply_template, load_template, render_chat, template_names
from r1zero.data.control import ControlTokens, control_tokens
from r1zero.data.problems import Rejected
from r1zero.data.read.cells import BadRow
from r1zero.types import Message, Problem, Prompt


@dataclass(frozen=True, slots=True)
class Renderer:
    """Text of a chat, the part of it that belongs to the response, and the strings that end a response. `render` raises
    BadRow for a chat that the template has no form for."""

    render: Callable[[Sequence[Message]], str]
    prefill: str
    stop: tuple[str, ...]


def renderer(data: Data, tokenizer: Any) -> Renderer:
    """What `data.template` means for this tokenizer."""
    if data.template == "chat":
        return _by_tokenizer(tokenizer)
    if data.templates_file.endswith(".json"):
        return _by_format(load_format(data.template, data.templates_file), tokenizer)
    if data.template not in template_names(data.templates_file) and data.template in format_names():
        return _by_format(load_format(data.template), tokenizer)
    template = load_template(data.template, data.templates_file)
    bos = tokenizer.bos_token or ""
    prefill = opened_thought(template.generation) + template.prefill
    return Renderer(lambda turns: template.render(turns, bos), prefill, template.stop)


def _by_tokenizer(tokenizer: Any) -> Renderer:
    """The tokenizer's own chat template."""

    def render(turns: Sequence[Message], generation: bool) -> str:
        return apply_template(tokenizer, turns, add_generation_prompt=generation)

    prefill = begun(render, control_tokens(tokenizer)) if tokenizer.chat_template else ""
    return Renderer(lambda turns: render_chat(tokenizer, turns), prefill, ())


def _by_format(format_: ChatFormat, tokenizer: Any) -> Renderer:
    """A chat format of `formats.yaml`; where it has thoughts, the model writes them."""
    format_ = replace(format_, enable_thinking=True if format_.thinking else None)
    names = {"bos": tokenizer.bos_token, "eos": format_.stop[0] if format_.replace_eos else tokenizer.eos_token}

    def render(turns: Sequence[Message]) -> str:
        system = turns[0].content if turns[0].role == "system" else ""
        dialogue = list(turns[1:] if turns[0].role == "system" else turns)
        roles = [turn.role for turn in dialogue]
        if len(roles) % 2 == 0 or roles != (["user", "assistant"] * len(roles))[: len(roles)]:
            found = ", ".join(turn.role for turn in turns)
            raise BadRow(f"the chat's roles ({found}) do not alternate from user to user")
        pieces = format_.prompt([*dialogue, Message("assistant", "")], system)
        return "".join((names[piece.role] or "") if isinstance(piece, Special) else piece for piece in pieces)

    prompt = render([Message("user", "")])
    return Renderer(render, opened_thought(prompt), format_.stop)


def to_prompts(
    problems: Iterable[Problem], data: Data, tokenizer: Any, rendered: Renderer
) -> tuple[list[Prompt], list[Rejected]]:
    """Render and tokenise. Rejects prompts over `data.max_prompt_tokens`, questions that hold control tokens, and chats
    that the template has no form for.

    Raises UsageError when no prompt is left. `tokenizer` is a transformers tokenizer.
    """
    examples = [
        turn
        for example in data.examples
        for turn in (Message("user", example.question), Message("assistant", example.answer))
    ]
    control = ControlTokens.of(tokenizer)
    prompts: list[Prompt] = []
    rejected: list[Rejected] = []
    shortest = 0
    for problem in problems:
        turns = _with_examples(problem, examples)
        if injected := _control_token(turns, control):
            rejected.append(Rejected.problem(problem, f"the question contains the control token '{injected}'"))
            continue
        try:
            text = rendered.render(turns)
        except BadRow as bad:
            rejected.append(Rejected.problem(problem, str(bad)))
            continue
        ids = tokenizer(text, add_special_tokens=False)["input_ids"]
        if not ids:
            rejected.append(Rejected.problem(problem, "the prompt has no tokens"))
            continue
        if len(ids) > data.max_prompt_tokens:
            reason = f"the prompt has {len(ids)} tokens, more than data.max_prompt_tokens = {data.max_prompt_tokens}"
            rejected.append(Rejected.problem(problem, reason))
            shortest = min(shortest or len(ids), len(ids))
            continue
        prompts.append(Prompt(problem=problem, token_ids=np.array(ids, dtype=np.int32), prefill=rendered.prefill))
    if not prompts and shortest:
        raise UsageError(
            f"data.max_prompt_tokens = {data.max_prompt_tokens}: every prompt is longer, the shortest has {shortest} "
            f"tokens; raise it"
        )
    if not prompts:
        raise UsageError(f"no prompt is left of {len(rejected)} problems; the first reason: {rejected[0].reason}")
    return prompts, rejected


def _control_token(turns: Sequence[Message], control: ControlTokens) -> str | None:
    """One that a chat brings, also in a role: some templates write roles as they are."""
    found = (control.find(text) for turn in turns for text in (turn.role, turn.content))
    return next(filter(None, found), None)


def _with_examples(problem: Problem, examples: list[Message]) -> list[Message]:
    """Worked examples come before the question, after a system turn if the problem brings one."""
    turns = [Message("user", problem.question)] if isinstance(problem.question, str) else list(problem.question)
    system = [turn for turn in turns[:1] if turn.role == "system"]
    return system + examples + turns[len(system) :]
