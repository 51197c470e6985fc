"""Every handler's output, decoded back, equals the chat format filled by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from r1zero.base.errors import UsageError

from .prepared import field, learned, quarantined, run, texts, tokenizer

SYSTEM = "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n"
R1 = "Put your final answer within \\boxed{}.\n"


def ask(question: str) -> str:
    return f"<|im_start|>user\n{question}<|im_end|>\n<|im_start|>assistant\n"


def test_alpaca_instruction(tmp_path: Path) -> None:
    rows = [
        {"instruction": "Add.", "input": "1+1", "output": "2", "history": [["Hi", "Hello"]], "system": "Be brief."},
        {"instruction": "Say 3.", "input": "", "output": 3.0, "history": [], "system": ""},
    ]
    names = {"history": "history", "system": "system"}
    run(tmp_path, rows, handler_name="AlpacaStyleInstructionHandler", prompt_type="qwen", map_keys=names)
    both = ask("Add.\n1+1")
    assert texts(tmp_path, "input_ids") == [
        f"<|im_start|>system\nBe brief.<|im_end|>\n{ask('Hi')}Hello<|im_end|>\n{both}2<|im_end|>",
        f"{SYSTEM}{ask('Say 3.')}3<|im_end|>",
    ]
    assert learned(tmp_path) == ["Hello<|im_end|>2<|im_end|>", "3<|im_end|>"]
    assert [set(mask) for mask in field(tmp_path, "attention_mask")] == [{1}, {1}]
    lengths = {name: [len(ids) for ids in field(tmp_path, name)] for name in ("input_ids", "attention_mask", "labels")}
    assert lengths["input_ids"] == lengths["attention_mask"] == lengths["labels"]


def test_without_an_end_token_per_turn(tmp_path: Path) -> None:
    """Gemma's format: one end token, and the first token of a later question teaches it too."""
    rows = [{"instruction": "a", "output": "b", "history": [["c", "d"]]}]
    run(
        tmp_path,
        rows,
        handler_name="AlpacaStyleInstructionHandler",
        prompt_type="gemma",
        map_keys={"history": "history"},
        append_eod=True,
    )
    (whole,), (labels,) = texts(tmp_path, "input_ids"), field(tmp_path, "labels")
    user = "<start_of_turn>user\n{}<end_of_turn>\n<start_of_turn>model\n"
    assert whole == f"<s>{user.format('c')}d<end_of_turn>\n{user.format('a')}b</s></s>"
    assert learned(tmp_path) == ["d</s>b</s></s>"] and labels.count(tokenizer().eos_token_id) == 3


def test_sharegpt_instruction_with_tools(tmp_path: Path) -> None:
    call = '{"name": "add", "arguments": {"a": 1}}'
    turns = [("system", "S"), ("human", "q"), ("function_call", call), ("observation", "3"), ("gpt", "It is 3.")]
    rows = [{"conversations": [{"from": role, "value": value} for role, value in turns], "tools": "[]"}]
    run(
        tmp_path,
        rows,
        handler_name="SharegptStyleInstructionHandler",
        prompt_type="default",
        map_keys={"tools": "tools"},
    )
    called = 'Action: add\nAction Input: {"a": 1}</s>'
    assert texts(tmp_path, "input_ids") == [f"S\nHuman: q\nAssistant:{called}\nHuman: 3\nAssistant:It is 3.</s>"]
    assert learned(tmp_path) == [f"{called}It is 3.</s>"]


def test_sharegpt_with_other_names(tmp_path: Path) -> None:
    rows = [{"chat": [{"who": "U", "says": "q"}, {"who": "A", "says": "a"}]}]
    tags = {"role_tag": "who", "content_tag": "says", "user_tag": "U", "assistant_tag": "A"}
    run(
        tmp_path,
        rows,
        handler_name="SharegptStyleInstructionHandler",
        prompt_type="empty",
        map_keys={"messages": "chat", "tags": tags},
    )
    assert texts(tmp_path, "input_ids") == ["qa"] and learned(tmp_path) == ["a"]


def test_openai_instruction(tmp_path: Path) -> None:
    calls = [{"function": {"name": "add", "arguments": '{"a": 1}'}}]
    rows = [
        {
            "messages": [
                {"role": "user", "content": "q"},
                {"role": "assistant", "content": None, "tool_calls": calls},
                {"role": "tool", "content": "3"},
                {"role": "assistant", "content": "3!", "reasoning_content": "easy"},
            ]
        }
    ]
    run(tmp_path, rows, handler_name="OpenAIInstructionHandler", prompt_type="qwen3")
    assert learned(tmp_path) == [
        '<tool_call>\n{"name": "add", "arguments": {"a": 1}}\n</tool_call><|im_end|>\n'
        "<think>\neasy\n</think>\n\n3!<|im_end|>\n"
    ]


SEED = {  # the dataset YAML of the seeds, but for its paths
    "handler_name": "R1AlpacaStyleInstructionHandler",
    "tokenizer_type": "HuggingFaceTokenizer",
    "log_interval": 1000,
    "prompt_type": "qwen_r1",
    "dataset_additional_keys": ["labels"],
    "map_keys": {"prompt": "problem", "query": "", "response": "answer", "system": ""},
}


def test_r1_prompts_of_the_seeds(tmp_path: Path) -> None:
    run(tmp_path, [{"problem": "1+1?", "answer": 2, "solution": "s"}, {"problem": "x?", "answer": "\\frac12"}], **SEED)
    first, second = texts(tmp_path, "input_ids")
    assert first.startswith(f"{SYSTEM}<|im_start|>user\nA conversation between User and Assistant. ")
    assert first.endswith(f"{R1}1+1?<|im_end|>\n<|im_start|>assistant\n") and second.endswith(
        f"{R1}x?<|im_end|>\n<|im_start|>assistant\n"
    )
    assert texts(tmp_path, "labels") == ["2", "\\frac12"]
    assert [set(mask) for mask in field(tmp_path, "attention_mask")] == [{1}, {1}]


def test_r1_keeps_earlier_turns_and_carries_other_columns(tmp_path: Path) -> None:
    rows = [{"instruction": "b?", "output": "B", "history": [["a?", "A"]], "level": 5}]
    settings = SEED | {"prompt_type": "qwen", "map_keys": {"history": "history"}}
    run(tmp_path, rows, **(settings | {"dataset_additional_keys": ["labels", "level"]}))
    assert texts(tmp_path, "input_ids") == [f"{SYSTEM}{ask('a?')}A<|im_end|>\n{ask('b?')}"]
    assert texts(tmp_path, "labels") == ["B"] and texts(tmp_path, "level") == ["5"]


def test_r1_sharegpt_and_prompts_for_ppo(tmp_path: Path) -> None:
    chat = [{"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}]
    run(
        tmp_path,
        [{"conversations": chat}],
        handler_name="R1SharegptStyleInstructionHandler",
        prompt_type="default",
        dataset_additional_keys=["labels"],
    )
    assert texts(tmp_path, "input_ids") == ["Human: q\nAssistant:"] and texts(tmp_path, "labels") == ["a"]
    rows = [{"instruction": "q", "output": "a"}]
    prepared = run(tmp_path, rows, handler_name="PPOAlpacaStyleInstructionHandler", prompt_type="trl", overwrite=True)
    assert texts(tmp_path, "input_ids") == ["<s>q"]
    assert not any("labels" in path.name for path in prepared.outputs)


def test_math17k(tmp_path: Path) -> None:
    rows = [{"prompt": [{"role": "user", "content": "Solve. Answer:"}], "reward_model": {"ground_truth": "34"}}]
    settings = SEED | {
        "handler_name": "Math17kAlpacaStyleInstructionHandler",
        "prompt_type": "empty",
        "map_keys": {"prompt": "prompt", "query": "", "response": "reward_model", "system": ""},
    }
    run(tmp_path, rows, **settings)
    assert texts(tmp_path, "input_ids") == ["Solve. Answer:"] and texts(tmp_path, "labels") == ["34"]


@pytest.mark.parametrize(
    ("chosen", "rejected"),
    [("good", "bad"), (["good", "x"], ["x", "bad"]), (["good"], ["bad"])],
)
def test_alpaca_pairwise(tmp_path: Path, chosen: Any, rejected: Any) -> None:
    rows = [{"system": "S", "question": "q", "chosen": chosen, "rejected": rejected}]
    names = {"prompt": "question", "query": "", "system": "system"}
    run(tmp_path, rows, handler_name="AlpacaStylePairwiseHandler", prompt_type="qwen", map_keys=names)
    prompt = f"<|im_start|>system\nS<|im_end|>\n{ask('q')}"
    assert texts(tmp_path, "chosen_input_ids") == [f"{prompt}good<|im_end|>"]
    assert texts(tmp_path, "rejected_input_ids") == [f"{prompt}bad<|im_end|>"]
    assert learned(tmp_path, "chosen_labels") == ["good<|im_end|>"]
    assert learned(tmp_path, "rejected_labels") == ["bad<|im_end|>"]


def test_orca_rlhf_of_mindspeed(tmp_path: Path) -> None:
    rows = [{"system": "", "question": "q", "chosen": "<think>t</think>good", "rejected": "bad"}]
    run(
        tmp_path,
        rows,
        handler_name="AlpacaStylePairwiseHandler",
        prompt_type="qwen3",
        map_keys={"prompt": "question", "query": "", "system": "system"},
        seq_length=4096,
        enable_thinking=True,
    )
    assert learned(tmp_path, "chosen_labels") == ["<think>t</think>good<|im_end|>\n"]
    assert learned(tmp_path, "rejected_labels") == ["<think>\n\n</think>\n\nbad<|im_end|>\n"]
    assert texts(tmp_path, "chosen_input_ids")[0].startswith(ask("q") + "<think>t")


def test_sharegpt_pairwise(tmp_path: Path) -> None:
    turn = {"from": "gpt", "value": "good"}
    rows = [{"conversations": [{"from": "human", "value": "q"}], "chosen": turn, "rejected": turn | {"value": "bad"}}]
    run(tmp_path, rows, handler_name="SharegptStylePairwiseHandler", prompt_type="default")
    assert texts(tmp_path, "chosen_input_ids") == ["Human: q\nAssistant:good</s>"]
    assert learned(tmp_path, "rejected_labels") == ["bad</s>"]


def test_process_reward(tmp_path: Path) -> None:
    rows = [
        {"input": "step one @ step two @ end", "value": ["+", "-"]},
        {"input": "one @", "value": ["+", "-"]},
        {"input": "one @", "value": ["?"]},
        {"input": "one @", "value": "+"},
    ]
    run(
        tmp_path,
        rows,
        handler_name="AlpacaStyleProcessRewardHandler",
        placeholder_token="@",
        reward_tokens=["+", "-"],
        max_bad_fraction=1,
    )
    (ids,), (labels,) = field(tmp_path, "input_ids"), field(tmp_path, "labels")
    (at,) = tokenizer()("@", add_special_tokens=False)["input_ids"]
    (plus,), (minus,) = (tokenizer()(sign, add_special_tokens=False)["input_ids"] for sign in "+-")
    assert [label for token, label in zip(ids, labels, strict=True) if token == at] == [plus, minus]
    assert sum(label != -100 for label in labels) == 2
    assert quarantined(tmp_path) == {
        2: "has 2 labels for 1 placeholders '@'",
        3: "label '?' is not among reward_tokens = +, -",
        4: "column 'value' must be a list of labels, found str",
    }


def test_pretraining(tmp_path: Path) -> None:
    rows = [{"text": "one", "title": "1"}, {"text": "two\n", "title": "2"}]
    run(tmp_path, rows, handler_name="GeneralPretrainHandler", json_keys=["text", "title"], append_eod=True)
    assert texts(tmp_path, "text", "") == ["one</s>", "two\n</s>"] and texts(tmp_path, "title", "") == [
        "1</s>",
        "2</s>",
    ]


def test_pretraining_on_conversations(tmp_path: Path) -> None:
    chat = [{"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}]
    run(tmp_path, [{"conversations": chat}], handler_name="SharegptPretrainHandler")
    assert texts(tmp_path, "text", "") == ["qa"]
    rows = [{"instruction": "Do.", "input": "it", "output": "Done."}, {"instruction": "Do.", "output": "Done."}]
    run(tmp_path, rows, handler_name="AlpacaPretrainHandler", overwrite=True)
    with_input, without = texts(tmp_path, "text", "")
    assert with_input.endswith("### Instruction:\nDo.\n\n### Input:\nit\n\n### Response: ASSISTANT: Done.")
    assert without.endswith("### Instruction:\nDo.\n\n### Response: ASSISTANT: Done.")


BAD = {
    "missing": ({"instruction": "q"}, "column 'output' is missing"),
    "empty answer": ({"instruction": "q", "output": " "}, "column 'output' is empty"),
    "empty question": ({"instruction": "", "output": "a"}, "column 'instruction' is empty"),
    "no text": ({"instruction": "q", "output": True}, "column 'output' must be text or a number, found bool"),
    "null": ({"instruction": "q", "output": None}, "column 'output' must be text or a number, found null"),
    "many": ({"instruction": "q", "output": ["a", "b", "c"]}, "column 'output' holds 3 answers; one is needed"),
    "dict": ({"instruction": "q", "output": {"a": 1}}, "column 'output' is a dict without ground_truth"),
    "chat": (
        {"instruction": [{"role": "assistant", "content": "x"}], "output": "a"},
        "column 'instruction' is a chat that does not end with a user's message",
    ),
    "history": (
        {"instruction": "q", "output": "a", "history": ["x"]},
        "column 'history' must be a list of pairs of question and answer",
    ),
    "surrogate": ({"instruction": "q\ud800", "output": "a"}, "the text contains half a character: '\\ud800'"),
    "NUL": ({"instruction": "q\0", "output": "a"}, "the text contains a NUL byte"),
    "control": ({"instruction": "q<|im_end|>", "output": "a"}, "the text contains the control token '<|im_end|>'"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_alpaca_rows(tmp_path: Path, case: str) -> None:
    row, reason = BAD[case]
    rows = [{"instruction": "q", "output": "a"}, row]
    run(
        tmp_path,
        rows,
        handler_name="AlpacaStyleInstructionHandler",
        prompt_type="qwen",
        map_keys={"history": "history"},
        max_bad_fraction=0.5,
    )
    assert quarantined(tmp_path) == {2: reason} and len(texts(tmp_path, "input_ids")) == 1


CHATS = {
    "order": (
        [("human", "q"), ("human", "r")],
        "turn 2 is of 'user', expected assistant or function: roles must alternate",
    ),
    "end": ([("human", "q")], "column 'conversations' does not end with an assistant's turn"),
    "role": ([("humn", "q"), ("gpt", "a")], "a turn has the unknown role 'humn'; did you mean 'human'?"),
    "empty": ([("human", "q"), ("gpt", "")], "column 'value' is empty"),
    "call": (
        [("human", "q"), ("function_call", "x")],
        "a function call must be JSON with name and arguments, found 'x'",
    ),
}


@pytest.mark.parametrize("case", CHATS)
def test_bad_sharegpt_rows(tmp_path: Path, case: str) -> None:
    turns, reason = CHATS[case]
    rows = [[("human", "q"), ("gpt", "a")], turns]
    run(
        tmp_path,
        [{"conversations": [{"from": role, "value": value} for role, value in turns]} for turns in rows],
        handler_name="SharegptStyleInstructionHandler",
        max_bad_fraction=0.5,
    )
    assert quarantined(tmp_path) == {2: reason}


def error(tmp_path: Path, **settings: Any) -> str:
    with pytest.raises(UsageError) as caught:
        run(tmp_path, [{"instruction": "q", "output": "a"}], **settings)
    return str(caught.value)


def test_mistakes_in_settings(tmp_path: Path) -> None:
    assert error(tmp_path, handler_name="AlpacaStyleInstructHandler") == (
        "handler_name = 'AlpacaStyleInstructHandler': unknown handler; did you mean 'AlpacaStyleInstructionHandler'?"
    )
    assert error(tmp_path, handler_name="AlpacaStyleInstructionHandler", map_keys={"prmpt": "x"}) == (
        "map_keys.prmpt: unknown name; did you mean 'prompt'?"
    )
    assert error(tmp_path, handler_name="AlpacaStyleInstructionHandler", prompt_type="llama3") == (
        "prompt_type = 'llama3': ends a turn with '<|eot_id|>', a token that the tokenizer 'tiny' does not "
        "have; choose "
        "another format or tokenizer"
    )
    assert error(tmp_path, handler_name="AlpacaStyleProcessRewardHandler", placeholder_token="@@@") == (
        "placeholder_token = '@@@': is 3 tokens, must be one"
    )
