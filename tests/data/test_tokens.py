"""Rows as tokens to train on: what is learned, to the token; prepared sets give what raw rows give."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from r1zero.base.errors import UsageError
from r1zero.config import Objective, Rows, TuningData
from r1zero.data.chats import open_chat
from r1zero.data.handlers import IGNORED
from r1zero.data.tokens import Kind, Placed, Reading, read_fields
from r1zero.data.training_set import Limit, TrainingSet, pieces
from r1zero.tuning.objectives import build

from .prepared import run, tokenizer, write_jsonl

CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
FORGETS = (  # as those of reasoning models: earlier answers lose their thoughts
    "{% for m in messages %}<|im_start|>{{ m.role }}\n"
    "{% if m.role == 'assistant' and not loop.last %}{{ m.content.split('</think>')[-1] }}"
    "{% else %}{{ m.content }}{% endif %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
TALK = [
    {"role": "system", "content": "Be kind."},
    {"role": "user", "content": "1+1?"},
    {"role": "assistant", "content": "2"},
    {"role": "user", "content": "2+2?"},
    {"role": "assistant", "content": "4"},
]


def with_template(template: str | None) -> Any:
    found = copy.deepcopy(tokenizer())
    found.chat_template = template
    return found


def read(
    folder: Path,
    rows: Iterable[Any],
    kind: Kind = "answers",
    *,
    template: str = "chat",
    chat_template: str | None = CHATML,
    objective: dict[str, Any] | None = None,
    **keys: Any,
) -> tuple[list[Placed], list[str]]:
    path = write_jsonl(folder / "rows.jsonl", rows)
    data = TuningData(**{"path": str(path), "layout": "openai", "max_tokens": 99, "template": template, **keys})
    settings = Objective(**{"name": "sft", **(objective or {})})
    placed, rejected = read_fields(data, "data", Reading(kind, data, settings, with_template(chat_template)))
    return list(placed), [f"{row.line}: {row.reason}" for row in rejected]


def shown(fields: dict[str, np.ndarray], ids: str = "input_ids", labels: str = "labels") -> str:
    """What is learned in brackets."""
    parts, inside = [], False
    for token, label in zip(fields[ids], fields[labels], strict=True):
        if (label != IGNORED) != inside:
            parts.append("]" if inside else "[")
            inside = not inside
        parts.append(tokenizer().decode([token]))
    return "".join(parts) + ("]" if inside else "")


OPENING = "<|im_start|>system\nBe kind.<|im_end|>\n<|im_start|>user\n1+1?<|im_end|>\n<|im_start|>assistant\n"
SECOND = "<|im_start|>user\n2+2?<|im_end|>\n<|im_start|>assistant\n"


def test_all_answers_of_a_chat_are_learned_and_nothing_else(tmp_path: Path) -> None:
    ((_, fields),), rejected = read(tmp_path, [{"messages": TALK}])
    assert shown(fields) == f"{OPENING}[2<|im_end|>\n]{SECOND}[4<|im_end|>\n]" and not rejected


def test_the_last_answer_alone(tmp_path: Path) -> None:
    # the tokenizer's own, and a chat format, whose line break comes before the next question
    for template, end in (("chat", "<|im_end|>\n]"), ("qwen", "<|im_end|>]")):
        ((_, fields),), _ = read(tmp_path, [{"messages": TALK}], template=template, objective={"learn": "last_answer"})
        assert shown(fields) == f"{OPENING}2<|im_end|>\n{SECOND}[4{end}"


def test_a_template_that_forgets_thoughts(tmp_path: Path) -> None:
    talk = [dict(turn) for turn in TALK]
    talk[2]["content"] = "one and one</think>2"
    placed, rejected = read(tmp_path, [{"messages": talk}, {"messages": TALK}], chat_template=FORGETS)
    assert [place.line for place, _ in placed] == [2]
    assert rejected == [
        "1: the chat template shows an earlier answer otherwise once the chat goes on; set objective.learn: last_answer"
    ]
    ((_, fields),), _ = read(tmp_path, [{"messages": talk}], chat_template=FORGETS, objective={"learn": "last_answer"})
    assert shown(fields) == f"{OPENING}2<|im_end|>\n{SECOND}[4<|im_end|>\n]"


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("plain", "<s>1+1?\n[2</s>]"),
        ("orz", None),
        ("qwen_math_r1", "<|im_end|>\n<|im_start|>user\n1+1?<|im_end|>\n<|im_start|>assistant\n[2<|im_end|>]"),
    ],
)
def test_templates_of_base_models(tmp_path: Path, template: str, expected: str | None) -> None:
    rows = [{"q": "1+1?", "a": "2"}, {"q": "1+1?", "a": "<think>2"}]
    placed, rejected = read(
        tmp_path, rows, template=template, layout="alpaca", columns={"prompt": "q", "response": "a"}
    )
    if expected:
        assert shown(placed[0][1]).endswith(expected) and not rejected
        return
    assert rejected == ["1: an answer does not begin with '<think>', as the template's prompt ends"]
    assert shown(placed[0][1]).endswith("1+1?\nAssistant: <think>[2</s>]")


def test_a_template_ends_where_it_is_asked_at_generation(tmp_path: Path) -> None:
    """What is not learned is the prompt that RL gives the model, token by token."""
    from r1zero.config import Data
    from r1zero.data.prompts import renderer
    from r1zero.types import Message

    for template in ("plain", "qwen_math_r1", "qwen_r1", "qwen", "chat"):
        ((_, fields),), _ = read(tmp_path, [{"instruction": "1+1?", "output": "2"}], template=template, layout="alpaca")
        asked = renderer(Data(path="x", template=template, max_prompt_tokens=99), with_template(CHATML)).render(
            [Message("user", "1+1?")]
        )
        given = fields["input_ids"][fields["labels"] == IGNORED]
        assert given.tolist() == tokenizer()(asked, add_special_tokens=False)["input_ids"], template


def test_bad_rows_say_why(tmp_path: Path) -> None:
    rows = [
        {"messages": TALK[:2]},
        b"{",
        {"messages": [*TALK[:-1], {"role": "assistant", "content": "4<|im_end|>"}]},
        {"text": "x"},
        {"messages": TALK},
    ]
    placed, rejected = read(tmp_path, rows)
    assert [place.line for place, _ in placed] == [5]
    assert [reason.split(":")[0] for reason in rejected] == ["1", "2", "3", "4"]
    assert "does not end with an assistant's turn" in rejected[0] and "not valid JSON" in rejected[1]
    assert rejected[2:] == [
        "3: the text contains the control token '<|im_end|>'",
        "4: column 'messages' is missing",
    ]


def test_mistakes_of_a_recipe(tmp_path: Path) -> None:
    for keys, message in (
        ({"layout": "steps"}, "data.layout = 'steps': sft reads one of alpaca, sharegpt, openai, prepared"),
        ({"template": "qwem"}, "data.template = 'qwem': unknown template; did you mean 'qwen'?"),
        (
            {"chat_template": None},
            "data.template = 'chat': this model's tokenizer has no chat template; choose another",
        ),
        ({"columns": {"message": "m"}}, "data.columns.message: unknown name; did you mean 'messages'?"),
        ({"path": "nowhere.jsonl"}, "data.path = 'nowhere.jsonl': no such file"),
        ({"path": "nowhere", "layout": "prepared"}, "no such file; an indexed dataset is a .bin and an .idx file"),
    ):
        with pytest.raises(UsageError) as caught:
            read(tmp_path, [{"messages": TALK}], **keys)
        assert message in str(caught.value)


def test_prepared_sets_are_the_rows_they_were_made_of(tmp_path: Path) -> None:
    rows = [{"instruction": f"{n}+1?", "output": "x" * n} for n in range(1, 9)]
    raw, _ = read(tmp_path, rows, template="qwen", layout="alpaca")
    expected = [(fields["input_ids"].tolist(), fields["labels"].tolist()) for _, fields in raw]
    for keys in ({}, {"output_format": "parquet"}, {"pack": True, "neat_pack": True, "seq_length": 160}):
        folder = tmp_path / f"set{len(keys)}"
        folder.mkdir()
        run(folder, rows, handler_name="AlpacaStyleInstructionHandler", prompt_type="qwen", **keys)
        path = str(folder / "out" / "data") + (".parquet" if "output_format" in keys else "")
        placed, rejected = read(tmp_path, [], layout="prepared", path=path)
        found = [piece for _, fields in placed for piece in pieces(fields, Limit(999, "drop"))]
        assert not rejected
        assert sorted((row["input_ids"].tolist(), row["labels"].tolist()) for row in found) == sorted(expected)


def test_prepared_pairs_are_the_rows_they_were_made_of(tmp_path: Path) -> None:
    rows = [{"instruction": f"{n}+1?", "chosen": "good", "rejected": "b" * n} for n in range(1, 4)]
    raw, _ = read(tmp_path, rows, "pairs", template="qwen", layout="alpaca")
    run(tmp_path, rows, handler_name="AlpacaStylePairwiseHandler", prompt_type="qwen")
    prepared, _ = read(tmp_path, [], "pairs", layout="prepared", path=str(tmp_path / "out" / "data"))
    for (_, ours), (_, theirs) in zip(raw, prepared, strict=True):
        assert {name: values.tolist() for name, values in ours.items()} == {
            name: values.tolist() for name, values in theirs.items()
        }
    assert shown(raw[1][1], "rejected_input_ids", "rejected_labels").endswith("assistant\n[bb<|im_end|>]")


def test_judged_pairs_are_whole_texts(tmp_path: Path) -> None:
    rows = [{"instruction": "1+1?", "chosen": "2", "rejected": "3", "gap": 0.5}, {"instruction": "1+1?", "chosen": "2"}]
    placed, rejected = read(tmp_path, rows, "judged_pairs", layout="alpaca", columns={"margin": "gap"})
    ((_, fields),) = placed
    assert (
        tokenizer().decode(fields["chosen_input_ids"]).endswith("1+1?<|im_end|>\n<|im_start|>assistant\n2<|im_end|>\n")
    )
    assert fields["margin"].tolist() == [0.5] and rejected == ["2: column 'rejected' is missing"]


def test_judged_steps(tmp_path: Path) -> None:
    rows = [
        {"prompt": "1+1+1?", "completions": ["1+1=2", "2+1=4"], "labels": [True, False]},
        {"prompt": "1+1+1?", "completions": ["3"], "labels": [0.25]},
        {"prompt": "1+1+1?", "completions": ["3"], "labels": [2]},
        {"prompt": "1+1+1?", "completions": ["3"], "labels": []},
    ]
    placed, rejected = read(tmp_path, rows, "judged_steps", layout="steps", objective={"step_mark": "\n"})
    fields = placed[0][1]
    places = np.flatnonzero(~np.isnan(fields["judgements"]))
    texts = [tokenizer().decode(fields["input_ids"][: place + 1]) for place in places]
    assert [text.rsplit("assistant\n")[-1] for text in texts] == ["1+1=2\n", "1+1=2\n2+1=4\n"]
    assert fields["judgements"][places].tolist() == [1.0, 0.0]
    assert placed[1][1]["judgements"][-1] == 0.25
    assert rejected == [
        "3: column 'labels' holds 2; a judgement is true, false or a number from 0 to 1",
        "4: columns 'completions' and 'labels' must be lists of one length",
    ]


def test_prepared_steps_need_their_tokens(tmp_path: Path) -> None:
    rows = [{"input": "1+1+1? 1+1=2 # 2+1=4 #", "value": ["+", "-"]}]
    run(tmp_path, rows, handler_name="AlpacaStyleProcessRewardHandler", placeholder_token="#", reward_tokens=["+", "-"])
    keys: dict[str, Any] = {"layout": "prepared", "path": str(tmp_path / "out" / "data")}
    ((_, fields),), _ = read(
        tmp_path, [], "judged_steps", objective={"name": "x", "good_token": "+", "bad_token": "-"}, **keys
    )
    places = np.flatnonzero(~np.isnan(fields["judgements"]))
    assert fields["judgements"][places].tolist() == [1.0, 0.0]
    assert tokenizer().decode(fields["input_ids"][places]) == "##"
    with pytest.raises(UsageError, match="name them as objective.good_token"):
        read(tmp_path, [], "judged_steps", **keys)


def test_documents_begin_and_end_with_the_end_token(tmp_path: Path) -> None:
    placed, rejected = read(tmp_path, [{"text": "abc"}, {"text": ""}], "text", layout="text")
    assert tokenizer().decode(placed[0][1]["input_ids"]) == "</s>abc</s>" and rejected == ["2: column 'text' is empty"]
    run(tmp_path, [{"text": "abc"}], handler_name="GeneralPretrainHandler", append_eod=True)
    ((_, fields),), _ = read(tmp_path, [], "text", layout="prepared", path=str(tmp_path / "out" / "data"))
    assert fields["input_ids"].tolist() == placed[0][1]["input_ids"].tolist()


def lengths(rows: list[Placed], limit: Limit, name: str) -> tuple[list[int], list[str], int]:
    objective = build(Objective(name=name))
    found = TrainingSet.of(rows, objective.to_samples, limit, "rows", tokenizer().decode)
    sizes = [len(s.prompt_ids) + len(s.response_ids) for index in range(len(found)) for s in found[index]]
    return sizes, [row.reason for row in found.rejected], found.cut


def test_rows_that_are_too_long(tmp_path: Path) -> None:
    rows = [{"instruction": "q" * n, "output": "a" * 4} for n in (1, 5, 9)]
    placed, _ = read(tmp_path, rows, template="plain", layout="alpaca")
    assert lengths(placed, Limit(12, "drop"), "sft") == (
        [8, 12], ["the row has 16 tokens, more than data.max_tokens = 12"], 0
    )  # fmt: skip
    assert lengths(placed, Limit(12, "cut"), "sft") == ([8, 12, 12], [], 1)
    assert lengths(placed, Limit(9, "cut"), "sft") == ([8, 9], ["the row has no token to learn"], 1)


def test_pieces_of_a_document_are_learned_once_each(tmp_path: Path) -> None:
    placed, _ = read(tmp_path, [{"text": "abcdefghij"}], "text", layout="text")
    found = TrainingSet.of(placed, build(Objective(name="pretraining")).to_samples, Limit(5, "split"), "x", str)
    learned = [token for index in range(len(found)) for token in found[index][0].response_ids]
    assert tokenizer().decode(learned) == "abcdefghij</s>" and len(found) == 3
    tokens = len(placed[0][1]["input_ids"])
    assert lengths(placed, Limit(5, "split"), "pretraining") == ([5, 5, tokens - 8], [], 0)


def test_a_tokenizer_that_cannot_end_a_turn() -> None:
    with pytest.raises(UsageError) as caught:
        open_chat("llama3", "", tokenizer())
    assert str(caught.value) == (
        "data.template: ends an answer with '<|eot_id|>', a token that the model's tokenizer does not have"
    )


def test_rows_of_another_section_are_named_so() -> None:
    data = TuningData(path="a.jsonl", layout="openai", max_tokens=9)
    rows = Rows(path="b.jsonl", layout="openai")
    with pytest.raises(UsageError) as caught:
        read_fields(rows, "evaluation", Reading("answers", data, Objective(name="sft"), with_template(CHATML)))
    assert str(caught.value) == "evaluation.path = 'b.jsonl': no such file"
