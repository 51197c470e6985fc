"""Chat formats: all 21 names, against hand-written text, against transformers' chat templates, and users' own files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from r1zero.base.errors import UsageError
from r1zero.data.chat.formats import ChatFormat, Special, format_names, load_format
from r1zero.data.read.cells import BadRow
from r1zero.models import fetch
from r1zero.models.tokenizer import load_tokenizer
from r1zero.types import Message

USER, ANSWER, NEXT, LAST = (
    Message("user", "q1"),
    Message("assistant", "a1"),
    Message("user", "q2"),
    Message("assistant", "a2"),
)
R1 = (
    "A conversation between User and Assistant. The user asks a question, and the Assistant solves it. The "
    "assistant first "
    "thinks about the reasoning process in the mind and then provides the user with the answer. The reasoning "
    "process and "
    "answer are enclosed within <think> </think> and <answer> </answer> tags, respectively, i.e., <think> "
    "reasoning process "
    "here </think><answer> answer here </answer>. Put your final answer within \\boxed{}."
)
RETOOL_END = "<|im_end|>\nThe answer format must be: \\boxed{'The final answer goes here.'}\n<|im_start|>assistant\n"


def text(format_: ChatFormat, *turns: Message, system: str = "", tools: str = "") -> str:
    """A whole chat with <s> and </s> where the special tokens are; `⇒` between what is given and what is answered."""
    eos = format_.stop[0] if format_.replace_eos else "</s>"
    shown = {"bos": "<s>", "eos": eos}

    def join(pieces: Any) -> str:
        return "".join(shown[piece.role] if isinstance(piece, Special) else piece for piece in pieces)

    return "".join(f"{join(turn.source)}⇒{join(turn.target)}" for turn in format_.turns(turns, system, tools))


CHATML = (
    "<|im_start|>user\nq1<|im_end|>\n<|im_start|>assistant\n⇒a1<|im_end|>\n"
    "<|im_start|>user\nq2<|im_end|>\n<|im_start|>assistant\n⇒a2<|im_end|>"
)
HELPFUL = "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n"
DEEPSEEK2 = "<s>User: q1\n\nAssistant:⇒a1</s>User: q2\n\nAssistant:⇒a2</s>"
BY_HAND = {
    "default": "Human: q1\nAssistant:⇒a1</s>\nHuman: q2\nAssistant:⇒a2</s>",
    "empty": "q1⇒a1q2⇒a2",
    "trl": "<s>q1⇒a1q2⇒a2",
    "qwen": HELPFUL + CHATML,
    "qwen_r1": HELPFUL + CHATML.replace("user\n", f"user\n{R1}\n"),
    "qwen_math_r1": "<|im_start|>system\nPlease reason step by step, and put your final answer within "
    "\\boxed{}.<|im_end|>\n" + CHATML,
    "qwen3": "<|im_start|>user\nq1<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n⇒a1<|im_end|>\n"
    "<|im_start|>user\nq2<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n⇒a2<|im_end|>\n",
    "llama3": "<s><|start_header_id|>user<|end_header_id|>\n\nq1<|eot_id|>"
    "<|start_header_id|>assistant<|end_header_id|>\n\n"
    "⇒a1<|eot_id|><|start_header_id|>user<|end_header_id|>\n\nq2<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n"
    "⇒a2<|eot_id|>",
    "mistral": "<s>[INST] q1 [/INST]⇒a1</s>[INST] q2 [/INST]⇒a2</s>",
    "mixtral": "<s>[INST] q1 [/INST]⇒a1</s>[INST] q2 [/INST]⇒a2</s>",
    "gemma": "<s><start_of_turn>user\nq1<end_of_turn>\n<start_of_turn>model\n⇒a1<end_of_turn>\n<start_of_turn>user\n"
    "q2<end_of_turn>\n<start_of_turn>model\n⇒a2</s>",
    "llama2": "<s>[INST] q1 [/INST]⇒a1</s><s>[INST] q2 [/INST]⇒a2</s>",
    "alpaca": "Below is an instruction that describes a task. Write a response that appropriately completes "
    "the request."
    "\n\n### Instruction:\nq1\n\n### Response:\n⇒a1</s>\n\n### Instruction:\nq2\n\n### Response:\n⇒a2</s>",
    "deepseek2": DEEPSEEK2,
    "deepseek2-lite": DEEPSEEK2,
    "minicpm3": DEEPSEEK2,
    "baichuan2": "<reserved_106>q1<reserved_107>⇒a1<reserved_106>q2<reserved_107>⇒a2</s>",
    "deepseek3": "<s><｜User｜>q1<｜Assistant｜>⇒a1</s><｜User｜>q2<｜Assistant｜>⇒a2</s>",
    "deepseek3_r1": f"<s>{R1} <｜User｜>q1<｜Assistant｜>⇒a1</s>{R1} <｜User｜>q2<｜Assistant｜>⇒a2</s>",
}


@pytest.mark.parametrize("name", BY_HAND)
def test_two_turns_as_written_by_hand(name: str) -> None:
    assert text(load_format(name), USER, ANSWER, NEXT, LAST) == BY_HAND[name]


def test_all_21_names_are_there() -> None:
    assert sorted(format_names()) == sorted([*BY_HAND, "qwen_retool", "qwen_search_tool"]) and len(format_names()) == 21


@pytest.mark.parametrize(("name", "tool"), [("qwen_retool", "code_interpreter"), ("qwen_search_tool", "search")])
def test_tool_formats_describe_their_tool(name: str, tool: str) -> None:
    shown = text(load_format(name), USER, ANSWER)
    listing = shown.split("<tools>\n")[1].split("\n</tools>")[0]
    assert json.loads(listing)["function"]["name"] == tool
    assert shown.startswith("<|im_start|>system\nYou are a helpful assistant.\n\n# Tools\n\nYou may call one or more")
    assert shown.endswith("</tool_call><|im_end|>\n<|im_start|>user\nq1" + RETOOL_END + "⇒a1<|im_end|>")


def test_a_system_turn_of_the_chat_replaces_the_default() -> None:
    assert text(load_format("qwen"), USER, ANSWER, system="S").startswith("<|im_start|>system\nS<|im_end|>\n")
    assert text(load_format("llama2"), USER, ANSWER, system="S") == (
        "<s>[INST] <<SYS>>\nS\n<</SYS>>\n\nq1 [/INST]⇒a1</s>"
    )
    assert text(load_format("empty"), USER, ANSWER, system="S") == "Sq1⇒a1"


# Chat templates as the models' tokenizers carry them, without the parts for tools; rendered by transformers. Llama 3's
# is the one that transformers' conversion script writes.
JINJA = {
    "qwen": "{% for m in messages %}{% if loop.first and m['role'] != 'system' %}{{ '<|im_start|>system\nYou "
    "are a helpful "
    "assistant.<|im_end|>\n' }}{% endif %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>' + '\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}",
    "llama3": "{% for m in messages %}{% set c = '<|start_header_id|>' + m['role'] + '<|end_header_id|>\n\n' "
    "+ m['content'] | "
    "trim + '<|eot_id|>' %}{% if loop.first %}{% set c = '<s>' + c %}{% endif %}{{ c }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}",
    "gemma": "{{ '<s>' }}{% for m in messages %}{% set role = 'model' if m['role'] == 'assistant' else m['role'] %}"
    "{{ '<start_of_turn>' + role + '\n' + m['content'] | trim + '<end_of_turn>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<start_of_turn>model\n' }}{% endif %}",
    "mixtral": "{{ '<s>' }}{% for m in messages %}{% if m['role'] == 'user' %}{{ '[INST] ' + m['content'] + ' "
    "[/INST]' }}"
    "{% else %}{{ m['content'] + '</s>' }}{% endif %}{% endfor %}",
    "deepseek3": "{{ '<s>' }}{% for m in messages %}{% if m['role'] == 'user' %}{{ '<｜User｜>' + m['content'] "
    "}}{% else %}"
    "{{ '<｜Assistant｜>' + m['content'] + '</s>' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<｜Assistant｜>' }}{% endif %}",
    "deepseek2": "{{ '<s>' }}{% for m in messages %}{% if m['role'] == 'user' %}{{ 'User: ' + m['content'] + '\n\n' }}"
    "{% elif m['role'] == 'assistant' %}{{ 'Assistant:' + m['content'] + '</s>' }}{% else %}{{ m['content'] + '\n\n' }}"
    "{% endif %}{% endfor %}{% if add_generation_prompt %}{{ 'Assistant:' }}{% endif %}",
}


@pytest.mark.parametrize("name", JINJA)
@pytest.mark.parametrize("system", ["", "You are terse."])
def test_prompts_equal_transformers_chat_templates(name: str, system: str) -> None:
    if system and name in ("gemma", "mixtral", "deepseek3"):
        pytest.skip("the model's template has no system turn")
    from transformers.utils.chat_template_utils import render_jinja_template

    turns = [{"role": turn.role, "content": turn.content} for turn in (USER, ANSWER, NEXT)]
    chat = [{"role": "system", "content": system}, *turns] if system else turns
    (rendered,), _ = render_jinja_template(conversations=[chat], chat_template=JINJA[name], add_generation_prompt=True)
    given = text(load_format(name), USER, ANSWER, NEXT, LAST, system=system)
    assert given.rpartition("⇒")[0].replace("⇒a1", "a1") == rendered


@pytest.mark.skipif(
    not (fetch.cache_folder() / "smollm2-135m").exists(),
    reason="SmolLM2-135M is not in the cache: r1zero model fetch smollm2-135m",
)
def test_chatml_is_what_a_real_tokenizer_says() -> None:
    """Token by token: pieces of the format, and SmolLM2's own chat template as one text."""
    tokenizer = load_tokenizer("smollm2-135m")
    turns = [Message("user", "What is $1+1$?"), Message("assistant", "2"), Message("user", " And\n\nnow? ")]
    chat = [{"role": turn.role, "content": turn.content} for turn in (Message("system", "Be brief."), *turns)]
    expected = tokenizer.apply_chat_template(chat, add_generation_prompt=True, return_dict=False)
    pieces = load_format("qwen").prompt([*turns, LAST], "Be brief.")
    texts = ["<|im_end|>" if isinstance(piece, Special) else piece for piece in pieces]
    assert [token for text in texts for token in tokenizer(text, add_special_tokens=False)["input_ids"]] == expected


THOUGHT = Message("assistant", "<think>\nhm\n</think>\n\na1")
ASK = "<|im_start|>user\nq1<|im_end|>\n<|im_start|>assistant\n"


@pytest.mark.parametrize(
    ("enable", "answer", "expected"),
    [
        (None, THOUGHT, ASK + "⇒<think>\nhm\n</think>\n\na1<|im_end|>\n"),
        (True, THOUGHT, ASK + "⇒<think>\nhm\n</think>\n\na1<|im_end|>\n"),
        (False, THOUGHT, ASK + "<think>\n\n</think>\n\n⇒a1<|im_end|>\n"),
        (None, ANSWER, ASK + "<think>\n\n</think>\n\n⇒a1<|im_end|>\n"),
        (True, ANSWER, ASK + "⇒<think>\n\n</think>\n\na1<|im_end|>\n"),
        (False, ANSWER, ASK + "<think>\n\n</think>\n\n⇒a1<|im_end|>\n"),
    ],
)
def test_enable_thinking(enable: bool | None, answer: Message, expected: str) -> None:
    assert text(load_format("qwen3", enable_thinking=enable), USER, answer) == expected


def test_a_prompt_drops_the_thoughts_of_earlier_turns() -> None:
    pieces = load_format("qwen3", enable_thinking=True).prompt([USER, THOUGHT, NEXT, LAST])
    assert "".join(map(str, pieces)) == ASK + "a1<|im_end|>\n" + ASK.replace("q1", "q2")


TOOL = {
    "name": "add",
    "description": "Adds.",
    "parameters": {
        "properties": {"a": {"type": "int", "description": "first"}, "b": {"type": "int", "enum": ["1", "2"]}},
        "required": ["a"],
    },
}
CALL = Message("function", '{"name": "add", "arguments": {"a": 1}}')
SEEN = Message("observation", "3")


def test_tools_in_the_default_style() -> None:
    shown = text(load_format("default"), USER, CALL, SEEN, LAST, tools=json.dumps([TOOL]))
    assert shown == (
        "You have access to the following tools:\n> Tool Name: add\nTool Description: Adds.\nTool Args:\n"
        "  - a (int, required): first\n  - b (int): , should be one of [1, 2]\n\n"
        "Use the following format if using a tool:\n```\nAction: tool name (one of [add]).\nAction Input: the "
        "input to the "
        'tool, in a JSON format representing the kwargs (e.g. ```{"input": "hello world", "num_beams": 5}```).\n```\n\n'
        'Human: q1\nAssistant:⇒Action: add\nAction Input: {"a": 1}</s>\nHuman: 3\nAssistant:⇒a2</s>'
    )


def test_tools_in_qwens_style() -> None:
    shown = text(load_format("qwen3"), USER, CALL, SEEN, LAST, system="S", tools=json.dumps([TOOL]))
    assert shown.startswith(
        "<|im_start|>system\nS\n\n# Tools\n\nYou may call one or more functions to assist with the user"
    )
    assert '\n<tools>\n{"type": "function", "function": {"name": "add", ' in shown
    assert '⇒<tool_call>\n{"name": "add", "arguments": {"a": 1}}\n</tool_call><|im_end|>\n' in shown
    assert "<|im_start|>user\n<tool_response>\n3\n</tool_response><|im_end|>\n<|im_start|>assistant\n" in shown


@pytest.mark.parametrize(
    ("turns", "tools", "reason"),
    [
        (
            (USER, Message("function", "add(1)")),
            "",
            "a function call must be JSON with name and arguments, found 'add(1)'",
        ),
        ((USER, ANSWER), "{", "the tools are not valid JSON: "),
        ((USER, ANSWER), '{"a": 1}', "the tools must be a JSON list of functions"),
        ((USER, ANSWER), '[{"name": "x"}]', "a tool needs name and parameters.properties: KeyError('parameters')"),
    ],
)
def test_what_is_no_tool_is_a_bad_row(turns: tuple[Message, ...], tools: str, reason: str) -> None:
    with pytest.raises(BadRow) as caught:
        load_format("default").turns(turns, tools=tools)
    assert str(caught.value).startswith(reason)


def test_a_templates_json_is_read_as_it_is(tmp_path: Path) -> None:
    entries = [
        {
            "name": "mine",
            "format_user": {"slots": [["bos_token"], "<u>{{content}}</u>"]},
            "format_function": {"slots": ["CALL {{name}} WITH {{arguments}}", ["eos_token"]]},
            "format_separator": {"slots": ["\n"]},
            "default_system": ["be ", "good"],
            "stop_words": ["</a>"],
        },
        {"name": "qwen", "format_user": {"slots": ["{{content}}!"]}, "efficient_eos": True},
    ]
    path = tmp_path / "templates.json"
    path.write_text(json.dumps(entries))
    assert text(load_format("mine", str(path)), USER, CALL, NEXT, LAST) == (
        'be good<s><u>q1</u>⇒CALL add WITH {"a": 1}</s>\n<s><u>q2</u>⇒a2</s>'
    )
    assert text(load_format("qwen", str(path)), USER, ANSWER) == "q1!⇒a1</s>"  # a user's file wins
    assert load_format("gemma", str(path)).efficient_eos


def test_content_is_never_read_as_a_placeholder() -> None:
    turns = (Message("user", "{eos}{content}{bos}"), Message("assistant", "{content}"))
    assert text(load_format("default"), *turns) == "Human: {eos}{content}{bos}\nAssistant:⇒{content}</s>"


def error(*arguments: Any) -> str:
    with pytest.raises(UsageError) as caught:
        load_format(*arguments)
    return str(caught.value)


def test_errors(tmp_path: Path) -> None:
    path = tmp_path / "t.json"
    assert error("qwen2") == "prompt_type = 'qwen2': unknown chat format; did you mean 'qwen'?"
    assert error("qwen", "", True) == (
        "enable_thinking = true: prompt_type 'qwen' has no thoughts; leave it out, or use qwen3"
    )
    assert error("a", str(path)) == f"prompt_type_path = '{path}': no such file"
    path.write_text("[")
    assert error("a", str(path)).startswith(f"prompt_type_path = '{path}': not valid JSON: ")
    path.write_text("{}")
    assert error("a", str(path)) == f"prompt_type_path = '{path}': must be a list of templates, each with a name"
    path.write_text('[{"name": "a", "format_user": {"slots": [{"token": "x"}]}}]')
    assert error("a", str(path)) == (
        f"{path}: a.format_user: slot {{'token': 'x'}}: must be text, ['bos_token'] or ['eos_token']"
    )
    path.write_text('[{"name": "a", "stop_words": ["x", ""]}]')
    assert error("a", str(path)) == (
        f"{path}: a.stop_words = ['x', '']: holds ''; a stop string must be a text that is not empty"
    )
    path.write_text('[{"name": "a", "replace_eos": true}]')
    assert error("a", str(path)) == f"{path}: a.replace_eos = True: needs stop_words, the first of them"
