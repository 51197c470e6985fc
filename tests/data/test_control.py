"""No text from outside becomes a control token, also where transformers has no name for it, as in Llama 3's files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from r1zero.base.errors import UsageError
from r1zero.config import Data, Objective, PrepareRecipe, Rows, TuningData
from r1zero.data.chat.formats import EOS, load_format
from r1zero.data.chats import open_chat
from r1zero.data.control import ControlTokens, control_tokens
from r1zero.data.prepare.run import make_job
from r1zero.data.prompts import renderer, to_prompts
from r1zero.data.tokens import Kind, Reading, read_fields
from r1zero.types import Message, Problem

from .. import llama3
from ..llama3 import INJECTION, NAMED, TEMPLATE, UNNAMED
from .prepared import write_jsonl

FINE = "1+1?"


@pytest.fixture
def tokenizer(tmp_path: Path) -> Any:
    return load(tmp_path / "llama3")


def load(folder: Path, template: str = TEMPLATE) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(llama3.save_tokenizer(folder, template))


def problem(question: str | tuple[Message, ...]) -> Problem:
    return Problem(id="x:1", question=question, answer="2", source="x.jsonl", line=1)


def test_every_special_token_counts_with_a_name_or_without(tokenizer: Any) -> None:
    assert tuple(tokenizer.all_special_tokens) == NAMED, "or the test tests nothing"
    found = control_tokens(tokenizer)
    assert {*NAMED, *UNNAMED, "<|reserved_special_token_250|>"} < {*found} and len(found) == 256


def test_a_token_that_looks_like_a_turns_mark_counts_and_other_added_tokens_do_not(tokenizer: Any) -> None:
    """DeepSeek-R1's tokenizer does not call its <｜User｜> special, nor Qwen's its <think>."""
    tokenizer.add_tokens(["<｜User｜>", "<|im_user|>", "<think>", "<tool_call>", "<|"])
    assert {*control_tokens(tokenizer)} >= {"<｜User｜>", "<|im_user|>"}
    assert not {*control_tokens(tokenizer)} & {"<think>", "<tool_call>", "<|"}


@pytest.mark.parametrize(
    "question",
    [
        INJECTION,
        *(f"a {token} b" for token in UNNAMED),
        (Message("user", FINE), Message("assistant", INJECTION), Message("user", FINE)),
        (Message("user", FINE), Message("user<|end_header_id|>x", "2"), Message("user", FINE)),
        (Message("system", "<|end_header_id|>"), Message("user", FINE)),
        (Message("user", FINE), Message("assistant", "<|eot_<think>x</think>id|>"), Message("user", FINE)),
    ],
    ids=lambda question: question if isinstance(question, str) else "chat",
)
@pytest.mark.parametrize("template", ["chat", "llama3", "plain"])
def test_prompts(tokenizer: Any, question: Any, template: str) -> None:
    settings = Data(path="x.jsonl", template=template, max_prompt_tokens=500)
    prompts, rejected = to_prompts(
        [problem(FINE), problem(question)], settings, tokenizer, renderer(settings, tokenizer)
    )
    assert [prompt.problem.question for prompt in prompts] == [FINE]
    assert rejected[0].reason.startswith("the question contains the control token '<|")


def rows_of(tokenizer: Any, folder: Path, rows: list[dict[str, Any]], kind: Kind, **keys: Any) -> Any:
    settings = {"template": "chat", "layout": "openai", "max_tokens": 500} | keys
    data = TuningData(path=str(write_jsonl(folder / "rows.jsonl", rows)), **settings)
    source = Rows(path=data.path, layout=data.layout)
    placed, rejected = read_fields(source, "data", Reading(kind, data, Objective(name="sft"), tokenizer))
    return placed, [row.reason for row in rejected]


def test_chats_to_train_on(tokenizer: Any, tmp_path: Path) -> None:
    """By the tokenizer's own template, by a template of templates.yaml, by a chat format."""
    good = [{"role": "user", "content": FINE}, {"role": "assistant", "content": "2"}]
    bad = [{"role": "user", "content": FINE}, {"role": "assistant", "content": INJECTION}]
    for template in ("chat", "plain", "llama3"):
        placed, reasons = rows_of(
            tokenizer, tmp_path, [{"messages": good}, {"messages": bad}], "answers", template=template
        )
        assert len(placed) == 1
        assert reasons == ["the text contains the control token '<|end_of_text|>'"], template


def test_pairs_and_steps_of_a_reward_model(tokenizer: Any, tmp_path: Path) -> None:
    turns = [{"role": "user", "content": FINE}]
    good, bad = ({"role": "assistant", "content": text} for text in ("2", INJECTION))
    system = [{"role": "system", "content": "<|end_header_id|>"}, *turns]
    rows = [
        {"messages": turns, "chosen": good, "rejected": good},
        {"messages": turns, "chosen": good, "rejected": bad},
        {"messages": system, "chosen": good, "rejected": good},
    ]
    placed, reasons = rows_of(tokenizer, tmp_path, rows, "judged_pairs")
    assert len(placed) == 1 and [reason.split("'")[1] for reason in reasons] == ["<|end_of_text|>", "<|end_header_id|>"]
    rows = [{"prompt": FINE, "completions": [step], "labels": [True]} for step in ("2", INJECTION)]
    placed, reasons = rows_of(tokenizer, tmp_path, rows, "judged_steps", layout="steps")
    assert len(placed) == 1 and reasons == ["the text contains the control token '<|end_of_text|>'"]


def test_prepare(tokenizer: Any) -> None:
    recipe = PrepareRecipe(
        input="x", output_prefix="y", handler_name="AlpacaStyleInstructionHandler", tokenizer_name_or_path="z"
    )
    job = make_job(recipe, tokenizer, load_format("llama3"))
    assert {*UNNAMED, *NAMED} < {*job.control}


UNNAMED_END = TEMPLATE.replace("eot_id", "end_of_text")
MARKED = TEMPLATE.replace("{{ '<|eot_id|>' }}", "").replace(
    "m.content | trim", "'<|reserved_special_token_0|>' + m.content"
)


@pytest.mark.parametrize(
    ("template", "end"), [(TEMPLATE, ()), (UNNAMED_END, ()), (MARKED, (EOS,))], ids=["named", "unnamed", "none"]
)
def test_an_answer_ends_once(tmp_path: Path, template: str, end: tuple[Any, ...]) -> None:
    """With the token that the template writes, whether or not it is the tokenizer's end token; with that where the
    template writes none."""
    chat, _ = open_chat("chat", "", load(tmp_path, template))
    (turn,) = chat.turns([Message("user", FINE), Message("assistant", "2")])
    assert turn.target[1:] == end


def test_a_template_of_ones_own_ends_with_an_unnamed_token(tokenizer: Any, tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text('mine: {user: "{content}", generation: "A:", assistant: "A:{content}<|end_of_text|>"}\n')
    chat, _ = open_chat("mine", str(file), tokenizer)
    (turn,) = chat.turns([Message("user", FINE), Message("assistant", "2")])
    assert turn.target == ("2<|end_of_text|>",)


def test_what_is_taken_out_leaves_no_control_token_behind() -> None:
    control = ControlTokens(["<|a|>", "<|a|>>", "", "xy"])
    assert control.remove("1<|a|>2<|<|a|>a|>3<|a|>>") == "123"
    assert control.remove("x" * 50 + "y" * 50) == "" and control.remove("yx") == "yx"
    assert control.find("1<|a|>") == "<|a|>" and control.find("<a>") is None
    assert ControlTokens([]).find("x") is None and ControlTokens([]).remove("x") == "x"


def test_messages_are_text(tokenizer: Any, tmp_path: Path) -> None:
    from r1zero.config import Source
    from r1zero.data.problems import to_problems
    from r1zero.data.read import sources

    rows = [{"question": [{"role": "user", "content": content}], "answer": "2"} for content in (FINE, 5, None)]
    source = Source(path=str(write_jsonl(tmp_path / "rows.jsonl", rows)))
    problems, rejected = to_problems(sources.read(source), source)
    assert len(problems) == 1
    assert [row.reason for row in rejected] == [
        f"column 'question', message 1: the content is {kind}, not text" for kind in ("int", "null")
    ]
    with pytest.raises(UsageError):
        to_prompts([problem(INJECTION)], Data(path="x", template="plain", max_prompt_tokens=9), tokenizer, None)  # type: ignore[arg-type]
