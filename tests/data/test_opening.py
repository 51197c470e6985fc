"""What a generation prompt says in the assistant's name belongs to the response; only its stop token is taken off."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer

from r1zero.config import Data
from r1zero.data.prompts import renderer, to_prompts
from r1zero.data.responses import response_text
from r1zero.models.fetch import TINY
from r1zero.rewards.catalog import verifier
from r1zero.types import Message, Problem

from ..recipes import TINY as TINY_RECIPE
from ..recipes import r1zero, write_recipe

TURNS = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
ASKED = "{% if add_generation_prompt %}<|im_start|>assistant\nOPENING{% endif %}"
LAST_THINKS = (  # Qwen3: the last answer has a thought, if an empty one
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{% if m.role == 'assistant' and loop.last %}"
    "<think>\n\n</think>\n\n{% endif %}{{ m.content }}<|im_end|>\n{% endfor %}"
)
ALL_THINK = LAST_THINKS.replace(" and loop.last", "")
DEEPSEEK = (
    "{{ bos_token }}{% for m in messages %}{% if m.role == 'user' %}<｜User｜>{{ m.content }}{% else %}"
    "<｜Assistant｜>{{ m.content.split('</think>')[-1] }}<｜end▁of▁sentence｜>{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<｜Assistant｜>OPENING{% endif %}"
)
REFUSES = "{% if messages[0].role == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
TEMPLATES = {
    "chatml": (TURNS + ASKED.replace("OPENING", ""), ""),
    "chatml that thinks": (TURNS + ASKED.replace("OPENING", "<think>\n"), "<think>\n"),
    "qwen3": (LAST_THINKS + ASKED.replace("OPENING", ""), ""),
    "qwen3 thinking": (LAST_THINKS + ASKED.replace("OPENING", "<think>\n"), "<think>\n"),
    "all answers think": (ALL_THINK + ASKED.replace("OPENING", "<think>\n"), "<think>\n"),
    "qwen3 without thoughts": (TURNS + ASKED.replace("OPENING", "<think>\n\n</think>\n\n"), "<think>\n\n</think>\n\n"),
    "deepseek v3": (DEEPSEEK.replace("OPENING", ""), ""),
    "deepseek r1": (DEEPSEEK.replace("OPENING", "<think>\n"), "<think>\n"),
    "no system": (REFUSES + TURNS + ASKED.replace("OPENING", "<thinking>"), "<thinking>"),
    "another tag": (TURNS + ASKED.replace("OPENING", "◁think▷"), "◁think▷"),
    "nothing": ("{% for m in messages %}[INST] {{ m.content }} [/INST]{% endfor %}", ""),
}


def with_template(template: str) -> Any:
    tokenizer: Any = AutoTokenizer.from_pretrained(TINY)
    tokenizer.chat_template = template
    return tokenizer


@pytest.mark.parametrize("name", TEMPLATES)
def test_the_opening_of_a_chat_template(name: str) -> None:
    template, prefill = TEMPLATES[name]
    tokenizer = with_template(template)
    settings = Data(path="x", template="chat", max_prompt_tokens=999)
    rendered = renderer(settings, tokenizer)
    assert rendered.prefill == prefill
    assert rendered.render([Message("user", "1+1?")]).endswith(prefill)
    problem = Problem(id="x:1", question="1+1?", answer="2", source="x")
    (prompt,), _ = to_prompts([problem], settings, tokenizer, rendered)
    assert prompt.prefill == prefill


def test_the_opening_of_users_templates_and_formats(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("mine: {user: '{content}\n', generation: '<think>\n', prefill: 'So'}\n")
    settings = Data(path="x", template="mine", templates_file=str(tmp_path / "mine.yaml"), max_prompt_tokens=999)
    assert renderer(settings, with_template("")).prefill == "<think> So"
    shape = [
        {"name": "mine", "format_user": {"slots": ["{{content}}<think>\n"]}, "template_class": "ReasoningTemplate"}
    ]
    (tmp_path / "mine.json").write_text(json.dumps(shape))
    settings = Data(path="x", template="mine", templates_file=str(tmp_path / "mine.json"), max_prompt_tokens=999)
    assert renderer(settings, with_template("")).prefill == "<think>\n"


def test_with_the_opening_a_format_is_complete_and_a_cut_thought_is_no_answer() -> None:
    problem = Problem(id="x:1", question="2+2?", answer="4", source="x")
    whole, cut = "so 4.</think><answer>\\boxed{4}</answer>", "2 plus 2 would be \\boxed{4}, unless the base"
    for name in ("strict_format", "base_acc"):
        assert (
            verifier(name).verify(problem, whole).value < 1 == verifier(name).verify(problem, "<think>" + whole).value
        )
    assert verifier("math").verify(problem, "<think>" + cut).value == 0


def test_a_template_that_refuses_a_chat_sets_it_aside_with_its_words() -> None:
    tokenizer = with_template(TEMPLATES["no system"][0])
    settings = Data(path="x", template="chat", max_prompt_tokens=999)
    chats = ((Message("system", "Add."), Message("user", "1+1?")), (Message("user", "2+2?"),))
    problems = [Problem(id=f"x:{n}", question=chat, answer="2", source="x", line=n) for n, chat in enumerate(chats)]
    prompts, rejected = to_prompts(problems, settings, tokenizer, renderer(settings, tokenizer))
    assert [prompt.problem.line for prompt in prompts] == [1]
    assert [row.reason for row in rejected] == ["the chat template refuses the chat: System role not supported"]


def test_only_the_stop_token_is_taken_off() -> None:
    tokenizer: Any = AutoTokenizer.from_pretrained(TINY)
    tags = ["<think>", "</think>", "<answer>", "</answer>"]
    tokenizer.add_special_tokens({"additional_special_tokens": tags})
    text = "<think>2+2=4</think><answer>4</answer>"
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    end = tokenizer.eos_token_id
    assert set(tokenizer.convert_tokens_to_ids(tags)) <= set(ids)
    assert response_text(tokenizer, [*ids, end], {end}) == response_text(tokenizer, ids, {end}) == text
    assert response_text(tokenizer, [end, *ids], {end}) == tokenizer.eos_token + text
    last = tokenizer.convert_tokens_to_ids("</answer>")
    assert response_text(tokenizer, ids, {end, last}) == text, "a stop string that is a token is part of the answer"
    turn = ["<|im_end|>", "</s>"]
    tokenizer.add_special_tokens({"additional_special_tokens": tags + turn})
    for mark in tokenizer.convert_tokens_to_ids(turn):
        assert response_text(tokenizer, [*ids, mark], {end, mark}) == text
    assert response_text(tokenizer, [], {end}) == ""


@pytest.mark.parametrize("opening", ["", "<think>"])
def test_rollout_files_show_what_verifiers_saw(tmp_path: Path, opening: str) -> None:
    """The miniature begins its responses with the tag, so a prompt that has it costs none."""
    recipe = write_recipe(tmp_path, TINY_RECIPE.replace("steps: 4", "steps: 1"))
    (tmp_path / "mine.yaml").write_text(
        f"mine: {{user: '{{content}}\\n', generation: '{opening}'}}\n".replace("'{c", '"{c').replace("\\n'", '\\n"')
    )
    r1zero("train", recipe, "data.template=mine", f"data.templates_file={tmp_path / 'mine.yaml'}")
    rows = [json.loads(line) for line in (tmp_path / "run/rollouts/step_000001.jsonl").read_text().splitlines()]
    rollouts = [rollout for row in rows for rollout in row["rollouts"]]
    assert all(rollout["text"].startswith(opening) for rollout in rollouts)
    for rollout in rollouts:
        problem = Problem(id="x", question="?", answer="0", source="x")
        assert rollout["parts"]["strict_format"] == verifier("strict_format").verify(problem, rollout["text"]).value
    if opening:
        assert sum(rollout["parts"]["strict_format"] for rollout in rollouts) > len(rollouts) / 3
