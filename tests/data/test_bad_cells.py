"""One row with a cell of the wrong make never takes the others along, wherever rows are read."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from r1zero.config import Data, Objective, Source, TuningData
from r1zero.data.problems import to_problems
from r1zero.data.prompts import renderer, to_prompts
from r1zero.data.read import sources
from r1zero.data.tokens import Kind, Reading, read_fields

from .prepared import run, tokenizer

CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
REFUSES = "{% if messages[0].role == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}" + CHATML
CELLS: list[Any] = [
    None, 7, 1.5, True, 10**400, float("nan"), [], [None], {}, {"a": 1}, [{"type": "text", "text": "hi"}],
    [{"type": "image"}], ["a", "b"], "", " ", "a", "x\ud83d", "\x00", "[", "[{}]", '[{"role": "user"}]', "<|im_end|>",
]  # fmt: skip
USER, SAID = {"role": "user", "content": "1+1?"}, {"role": "assistant", "content": "2"}
Make = Callable[[Any], Any]
CHATS: list[Make] = [
    lambda cell: cell,
    lambda cell: {"messages": cell},
    lambda cell: {"messages": [cell, SAID]},
    lambda cell: {"messages": [{"role": cell, "content": "a"}, SAID]},
    lambda cell: {"messages": [{"role": "user", "content": cell}, SAID]},
    lambda cell: {"messages": [USER, {"role": "assistant", "content": cell}]},
    lambda cell: {"messages": [{"role": "system", "content": cell}, USER, SAID]},
    lambda cell: {"messages": [USER, {**SAID, "tool_calls": cell}]},
    lambda cell: {"messages": [USER, {**SAID, "reasoning_content": cell}]},
    lambda cell: {"messages": [USER, SAID], "tools": cell},
]
ALPACA: list[Make] = [
    lambda cell: {"instruction": cell, "output": "b"},
    lambda cell: {"instruction": [{"role": "user", "content": cell}], "output": "b"},
    lambda cell: {"instruction": "a", "output": cell},
    lambda cell: {"instruction": "a", "input": cell, "output": "b"},
    lambda cell: {"instruction": "a", "output": "b", "history": [[cell, cell]]},
]
PAIRS: list[Make] = [
    lambda cell: {"instruction": cell, "chosen": "a", "rejected": "b"},
    lambda cell: {"instruction": "a", "chosen": cell, "rejected": "b"},
]
STEPS: list[Make] = [
    lambda cell: {"prompt": cell, "completions": ["a"], "labels": [True]},
    lambda cell: {"prompt": "a", "completions": cell, "labels": [True]},
    lambda cell: {"prompt": "a", "completions": [cell], "labels": [cell]},
]
TEXTS: list[Make] = [lambda cell: {"text": cell}]
READERS: dict[str, tuple[Kind, str, str, str, list[Make], Any]] = {
    "chats": ("answers", "openai", "sft", "chat", CHATS, {"messages": [USER, SAID]}),
    "chats by a format": ("answers", "openai", "sft", "qwen", CHATS, {"messages": [USER, SAID]}),
    "alpaca": ("answers", "alpaca", "sft", "chat", ALPACA, {"instruction": "a", "output": "b"}),
    "pairs": ("pairs", "alpaca", "dpo", "chat", PAIRS, {"instruction": "a", "chosen": "b", "rejected": "c"}),
    "judged": (
        "judged_pairs",
        "alpaca",
        "reward_model",
        "chat",
        PAIRS,
        {"instruction": "a", "chosen": "b", "rejected": "c"},
    ),
    "steps": (
        "judged_steps",
        "steps",
        "process_reward",
        "chat",
        STEPS,
        {"prompt": "a", "completions": ["a"], "labels": [True]},
    ),
    "texts": ("text", "text", "pretraining", "chat", TEXTS, {"text": "hello"}),
}


def written(folder: Path, makes: list[Make], good: Any) -> tuple[Path, int]:
    """A file of rows with every cell, and a good one at its end; the line of that."""
    rows = [make(cell) for make in makes for cell in CELLS] + [good]
    path = folder / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path, len(rows)


@pytest.mark.parametrize("template", [CHATML, REFUSES], ids=["chatml", "refuses"])
@pytest.mark.parametrize("name", READERS)
def test_fine_tuning(tmp_path: Path, name: str, template: str) -> None:
    kind, layout, objective, chat, makes, good = READERS[name]
    path, last = written(tmp_path, makes, good)
    found = copy.deepcopy(tokenizer())
    found.chat_template = template
    data = TuningData(path=str(path), layout=layout, max_tokens=99, template=chat)  # type: ignore[arg-type]
    placed, rejected = read_fields(data, "data", Reading(kind, data, Objective(name=objective), found))  # type: ignore[arg-type]
    assert placed[-1][0].line == last
    assert len(placed) + len(rejected) == last and len(rejected) > len(makes) and all(row.reason for row in rejected)
    if template == REFUSES and name == "chats":
        assert "the chat template refuses the chat: System role not supported" in {row.reason for row in rejected}


@pytest.mark.parametrize("template", [CHATML, REFUSES], ids=["chatml", "refuses"])
def test_problems(tmp_path: Path, template: str) -> None:
    makes: list[Make] = [
        lambda cell: {"question": cell, "answer": "2"},
        lambda cell: {"question": "1+1?", "answer": cell},
        lambda cell: {"question": [{"role": "user", "content": cell}], "answer": "2"},
        lambda cell: {"question": [{"role": cell, "content": "a"}, USER], "answer": "2"},
        lambda cell: {"question": [{"role": "system", "content": cell}, USER], "answer": "2"},
        lambda cell: {"question": "1+1?", "answer": "2", "extra": cell},
    ]
    path, last = written(tmp_path, makes, {"question": "1+1?", "answer": "2"})
    source = Source(path=str(path))
    problems, rejected = to_problems(sources.read(source), source)
    assert problems[-1].line == last and len(problems) + len(rejected) == last
    found = copy.deepcopy(tokenizer())
    found.chat_template = template
    settings = Data(path=str(path), template="chat", max_prompt_tokens=99)
    prompts, refused = to_prompts(problems, settings, found, renderer(settings, found))
    assert prompts[-1].problem.line == last and len(prompts) + len(refused) == len(problems)


@pytest.mark.parametrize("makes", [CHATS, ALPACA], ids=["openai", "alpaca"])
def test_prepare(tmp_path: Path, makes: list[Make]) -> None:
    is_chat = makes is CHATS
    good = {"messages": [USER, SAID]} if is_chat else {"instruction": "a", "output": "b"}
    path, last = written(tmp_path, makes, good)
    style = "SharegptStyleInstructionHandler" if is_chat else "AlpacaStyleInstructionHandler"
    tags = {"role_tag": "role", "content_tag": "content", "user_tag": "user", "assistant_tag": "assistant"}
    keys = {"messages": "messages", "tags": tags} if is_chat else {}
    settings = {"handler_name": style, "prompt_type": "qwen", "map_keys": keys, "max_bad_fraction": 1.0}
    counts = run(tmp_path, input=str(path), **settings).counts
    assert counts["rows read"] == last and 0 < int(counts["rows used"]) < last
