"""Templates and prompts: the text is what the field expects, and nothing is cut or smuggled in."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from r1zero.base.errors import UsageError
from r1zero.config import Data
from r1zero.config.data import Example
from r1zero.data.chat.templates import load_template
from r1zero.data.prompts import renderer, to_prompts
from r1zero.types import Message, Problem

from ..conftest import ByteTokenizer

CHATML = (
    "{%- for message in messages -%}{{ '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>\n' }}"
    "{%- endfor -%}{%- if add_generation_prompt -%}{{ '<|im_start|>assistant\n' }}{%- endif -%}"
)
R1 = (
    "A conversation between User and Assistant. The user asks a question, and the Assistant solves it. The "
    "assistant first thinks about the reasoning process in the mind and then provides the user with the answer. "
    "The reasoning process and answer are enclosed within <think> </think> and <answer> </answer> tags, "
    "respectively, i.e., <think> reasoning process here </think><answer> answer here </answer>. Put your final "
    "answer within \\boxed{}."
)
USER = [Message("user", "Why?")]


def data(**settings: Any) -> Data:
    return Data(**{"path": "x.jsonl", "template": "plain", "max_prompt_tokens": 100, **settings})


def problems(*questions: str) -> list[Problem]:
    return [
        Problem(id=f"x:{line}", question=question, answer="1", source="x.jsonl", line=line)
        for line, question in enumerate(questions, start=1)
    ]


def render(template: str, turns: list[Message] = USER, bos: str = "") -> str:
    tokenizer = ByteTokenizer()
    tokenizer.bos_token = bos
    return renderer(data(template=template), tokenizer).render(turns)


def test_qwen_r1() -> None:
    assert render("qwen_r1") == (
        "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n"
        f"<|im_start|>user\n{R1}\nWhy?<|im_end|>\n<|im_start|>assistant\n"
    )


def test_deepseek3_r1() -> None:
    assert render("deepseek3_r1", bos="<s>") == f"<s>{R1} <｜User｜>Why?<｜Assistant｜>"


def test_orz_starts_inside_the_thought() -> None:
    template = load_template("orz")
    text = template.render(USER, "<s>")
    assert text.startswith("<s>A conversation between User and Assistant. The User asks")
    assert text.endswith("This is the problem:\nWhy?\nAssistant: <think>") and template.prefill == "<think>"
    assert "</answer>" in template.stop


def test_plain_is_the_question_and_a_line_break() -> None:
    assert render("plain") == "Why?\n"
    assert render("plain", bos="<s>") == "<s>Why?\n", "a base model's documents began with it"


def test_chatml_templates_equal_transformers_rendering() -> None:
    """An independent renderer (transformers' own, of ChatML) gives the same text."""
    from transformers.utils.chat_template_utils import render_jinja_template

    system = "Please reason step by step, and put your final answer within \\boxed{}."
    turns = [*USER, Message("assistant", "Because."), Message("user", "And {content}?")]
    chat = [{"role": "system", "content": system}] + [{"role": turn.role, "content": turn.content} for turn in turns]
    rendered, _ = render_jinja_template([chat], chat_template=CHATML, add_generation_prompt=True)
    assert render("qwen_math_r1", turns) == rendered[0]


def test_a_chats_own_system_turn_replaces_the_templates() -> None:
    turns = [Message("system", "Be brief."), *USER]
    assert render("qwen_math_r1", turns).startswith("<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nWhy?")


def test_users_templates_add_to_ours(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text('mine:\n  user: "Q: {content}\\n"\n  generation: "A:"\n')
    assert load_template("mine", str(file)).render(USER, "") == "Q: Why?\nA:"
    assert load_template("plain", str(file)).render(USER, "") == "Why?\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("mine: {user: x, usr: y}", "mine.usr: unknown key; did you mean 'user'?"),
        ("mine: {prefix: x}", "mine.user: missing; add it"),
        ("mine: {user: 3}", "mine.user = 3: must be text"),
        ("mine: {user: x, stop: y}", "mine.stop = 'y': must be a list of texts"),
        ("mine: {user: x, stop: [y, '']}", "mine.stop = ['y', '']: holds ''; a stop string must be a text that is not"),
        ("mine: {user: x, stop: [3]}", "mine.stop = [3]: holds 3; a stop string must be a text that is not empty"),
        ("- x", "must map template names to their parts"),
    ],
)
def test_bad_templates_file(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(text)
    with pytest.raises(UsageError) as caught:
        load_template("mine", str(file))
    assert message in str(caught.value)


def test_unknown_template() -> None:
    with pytest.raises(UsageError, match="data.template = 'qwen_r2': unknown template; did you mean 'qwen_r1'?"):
        load_template("qwen_r2")


def test_examples_become_earlier_turns_and_long_prompts_are_rejected() -> None:
    settings = data(examples=(Example(question="1+1?", answer="2"),), max_prompt_tokens=16)
    tokenizer = ByteTokenizer()
    prompts, rejected = to_prompts(
        problems("2+2?", "a longer one?"), settings, tokenizer, renderer(settings, tokenizer)
    )
    assert [bytes(prompt.token_ids.tolist()).decode() for prompt in prompts] == ["1+1?\n2\n2+2?\n"]
    assert rejected[0].reason == "the prompt has 21 tokens, more than data.max_prompt_tokens = 16"
    assert rejected[0].line == 2


def test_a_chat_that_a_format_cannot_say_is_rejected() -> None:
    settings = data(template="qwen_r1", max_prompt_tokens=2000)
    chats = [(Message("user", "a"), Message("user", "b")), (Message("user", "a"), Message("assistant", "b"))]
    rows = [*problems("fine?"), *(replace(problems("x")[0], question=chat) for chat in chats)]
    prompts, rejected = to_prompts(rows, settings, ByteTokenizer(), renderer(settings, ByteTokenizer()))
    assert len(prompts) == 1 and [row.reason for row in rejected] == [
        f"the chat's roles (user, {role}) do not alternate from user to user" for role in ("user", "assistant")
    ]


def test_a_prompt_without_tokens_is_rejected(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("bare: {user: '{content}'}\n")
    settings = data(template="bare", templates_file=str(file), max_prompt_tokens=20)
    prompts, rejected = to_prompts(problems("2+2?", ""), settings, ByteTokenizer(), renderer(settings, ByteTokenizer()))
    assert len(prompts) == 1
    assert [row.reason for row in rejected] == ["the prompt has no tokens"]


def test_all_prompts_too_long() -> None:
    settings = data(max_prompt_tokens=3)
    with pytest.raises(UsageError) as caught:
        to_prompts(problems("2+2?", "3+33?"), settings, ByteTokenizer(), renderer(settings, ByteTokenizer()))
    assert str(caught.value) == (
        "data.max_prompt_tokens = 3: every prompt is longer, the shortest has 5 tokens; raise it"
    )


def test_a_question_cannot_bring_control_tokens() -> None:
    settings = data()
    prompts, rejected = to_prompts(
        problems("fine?", "stop \x02 here"), settings, ByteTokenizer(), renderer(settings, ByteTokenizer())
    )
    assert len(prompts) == 1
    assert rejected[0].reason == "the question contains the control token '\x02'"


def test_chat_template_is_asked_for_but_missing() -> None:
    settings = data(template="chat")
    with pytest.raises(UsageError, match="data.template = 'chat': this model's tokenizer has no chat template"):
        to_prompts(problems("?"), settings, ByteTokenizer(), renderer(settings, ByteTokenizer()))
