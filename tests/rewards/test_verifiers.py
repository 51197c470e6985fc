"""The verifiers by name: their exact values, arguments, and one's own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from r1zero.base.errors import UsageError
from r1zero.grading import combine
from r1zero.grading.combine import Verifiers
from r1zero.grading.pool import ScorerPool
from r1zero.rewards.catalog import VERIFIERS, verifier
from r1zero.rewards.length import group_lengths
from r1zero.types import Problem, Score

GOOD = "<think>two and two</think> hence <answer>it is \\boxed{4}</answer>"
R1 = "<think>\ntwo\n</think>\n<answer>\n4\n</answer>"


def problem(answer: str, **extra: Any) -> Problem:
    return Problem(id="p", question="?", answer=answer, source="test", extra=extra)


MINDSPEED = [
    ("acc", "\\boxed{4}", 1.0), ("acc", "\\boxed{5}", -0.5), ("acc", "4", -1.0), ("acc", "\\boxed{", -1.0),
    ("base_acc", GOOD, 1.0), ("base_acc", GOOD.replace("4", "5"), 0.0), ("base_acc", "\\boxed{4}", 0.0),
    ("math_17k_acc", "so \\boxed{4}", 1.0), ("math_17k_acc", "so \\boxed{5}", 0.0), ("math_17k_acc", "4", 0.0),
    ("acc_for_ppo", "so \\boxed{4}", 1.0), ("acc_for_ppo", "so \\boxed{5}", 0.0),
    ("math_verify_reward", GOOD, 1.0), ("math_verify_reward", "\\boxed{4}", 0.0),
    ("math_verify_reward", GOOD.replace("4", "5"), 0.0),
    ("acc_for_dapo", "Answer: 4", 1.0), ("acc_for_dapo", "answer :$4$\n", 1.0),
    ("acc_for_dapo", "Answer: \\boxed{4}", 1.0),
    ("acc_for_dapo", "Answer: 5", -1.0), ("acc_for_dapo", "4", -1.0), ("acc_for_dapo", "Answer: 4" + " " * 300, -1.0),
    ("retool_reward", "\\boxed{4}", 1.0), ("retool_reward", "\\boxed{4.0}", -1.0),
    ("retool_reward", "<code>1</code>" * 3, -0.7),
    ("retool_reward", "<tool_call>" * 12, 0.0),
    ("format", R1, 1.0), ("format", R1 + "\nmore", 0.0), ("format", "x" + R1, 0.0),
    ("strict_format", GOOD, 1.0), ("strict_format", R1, -0.5),
    ("step", "", 0.0), ("step", "Step 1: a", 1 / 3), ("step", "a\n1. b\n2. c\n3. d\n4. e", 1.0),
    ("step", "First, a. Next, b.", 2 / 3),
]  # fmt: skip
OPEN_R1 = [
    ("accuracy", "the answer is 4", 1.0), ("accuracy", "the answer is 5", 0.0),
    ("think_accuracy", "<think>4</think> 4", 1.0), ("think_accuracy", "4", 0.0),
    ("think_accuracy", "\\boxed{4}</think>5", 0.0),
    ("think_format", R1, 1.0), ("think_format", R1 + "\nmore", 0.0), ("think_format", GOOD, 0.0),
    ("soft_format", "<think>a</think> <answer>4</answer>\n", 1.0), ("soft_format", GOOD, 0.0),
    ("soft_format", R1 + R1, 0.0),
    ("tag_count", R1, 1.0), ("tag_count", R1.replace("<answer>\n", "<answer>"), 0.75),
    ("tag_count", R1 + "\n</answer>", 0.75),
    ("reasoning_steps", "\n- a\n- b", 2 / 3),
    ("repetition_penalty", "a b c d e", 0.0), ("repetition_penalty", "a b", 0.0),
    ("repetition_penalty", "a b c A B C a b c", -4 / 7),
    ("repetition_penalty(n=1, penalty=-0.5)", "a a", -0.25),
    ("language_consistency", "all <b>English</b> $\\alpha$", 1.0),
    ("language_consistency(language='zh')", "中文 ab", 0.5),
    ("language_consistency", "12", 1.0),
    ("code_format", "<think>a</think><answer>```python\n1\n```</answer>", 1.0),
    ("code_format", "```python\n1\n```", 0.0),
    ("code_format(language='cpp')", "<think>a</think><answer>```c++\n1\n```</answer>", 1.0),
]  # fmt: skip
OTHERS = [
    ("math", "it is 4", 1.0), ("math", "it is 5", 0.0), ("numeric", "4.0001", 1.0), ("numeric", "4.01", 0.0),
    ("numeric", "four", 0.0),
    ("numeric(relative=0, absolute=0.5)", "\\boxed{4.5}", 1.0),
    ("numeric(relative=0, absolute=0.5)", "x = 4.51", 0.0),
    ("exact_match", "<think>x</think><answer> 4 </answer>", 1.0), ("exact_match", "\\boxed{4.0}", 0.0),
    ("orz", "<answer>it is \\boxed{4}</answer>", 1.0), ("orz", "\\boxed{4}", 0.0), ("orz", "<answer>\\boxed{4}", 0.0),
    ("orz", "<answer>\\boxed{4}</answer> <answer>\\boxed{5}</answer>", 0.0), ("boxed", "\\boxed{4}", 1.0),
]  # fmt: skip


@pytest.mark.parametrize(("name", "text", "value"), MINDSPEED + OPEN_R1 + OTHERS)
def test_values(name: str, text: str, value: float) -> None:
    score = verifier(name).verify(problem("4"), text)
    assert score.value == pytest.approx(value, abs=1e-12) and score.verdict == "graded"


def test_choices() -> None:
    for text, value in (("The answer is (C).", 1.0), ("C, not B", 1.0), ("not C", 0.0), ("B", 0.0), ("", 0.0)):
        assert verifier("multiple_choice").verify(problem("(C) Cecile"), text).value == value
    score = verifier("multiple_choice").verify(problem("42"), "42")
    assert (score.verdict, score.detail) == ("unverifiable", "the reference answer names no choice from A to J")


def test_schemas() -> None:
    schema = json.dumps({"type": "object", "required": ["a"], "properties": {"a": {"type": "integer"}}})
    check = verifier("json_schema").verify
    assert check(problem(schema), '<answer>{"a": 1}</answer>').value == 1.0
    assert check(problem(schema), 'so\n```json\n{"a": 1}\n```').value == 1.0
    assert check(problem(schema), '{"a": "x"}') == Score(value=0.0, detail="'x' is not of type 'integer'")
    assert check(problem(schema), "a = 1").detail.startswith("not JSON: ")
    assert check(problem("42"), "{}").verdict == "unverifiable"


def test_reasoning_gym_scores_its_own_tasks() -> None:
    gym = pytest.importorskip("reasoning_gym")
    entry = gym.create_dataset("chain_sum", size=1, seed=1)[0]
    own = problem(entry["answer"], metadata=entry["metadata"])
    check = verifier("reasoning_gym").verify
    assert check(own, f"<think>x</think><answer>{entry['answer']}</answer>").value == 1.0
    assert check(own, "<answer>no</answer>").value < 1.0
    assert check(problem("4"), "4").verdict == "unverifiable"


def test_lengths_in_tokens() -> None:
    def value(name: str, text: str, **extra: Any) -> float:
        return verifier(name).verify(problem("4", **extra), text).value

    overlong = "soft_overlong(max_tokens=100, buffer=20)"
    assert [value(overlong, "", response_tokens=tokens) for tokens in (80, 90, 100, 500)] == [0.0, -0.5, -1.0, -1.0]
    cosine = "cosine(max_tokens=100)"
    rights = [value(cosine, "\\boxed{4}", response_tokens=tokens) for tokens in (0, 50, 100, 900)]
    wrongs = [value(cosine, "\\boxed{5}", response_tokens=tokens) for tokens in (0, 50, 100, 900)]
    assert rights == pytest.approx([1.0, 0.75, 0.5, 0.5]) and wrongs == pytest.approx([-1.0, -0.75, -0.5, -0.5])
    with pytest.raises(ValueError, match="needs the response's length: a column response_tokens"):
        value(cosine, "\\boxed{4}")
    assert value("orz", "<answer>\\boxed{4}</answer>", finish_reason="length") == 0.0


def test_lengths_within_a_group() -> None:
    assert group_lengths([True, True, False, False], [10, 30, 10, 30]) == [0.5, -0.5, 0.0, -0.5]
    assert group_lengths([True, False], [7, 7]) == [0.0, 0.0]


def test_unverifiable_references_are_no_signal_in_any_verifier_of_answers() -> None:
    for name in (
        "acc",
        "base_acc",
        "math_17k_acc",
        "acc_for_dapo",
        "math_verify_reward",
        "math",
        "orz",
        "cosine",
        "numeric",
    ):
        score = verifier(name).verify(problem("see the proof above", response_tokens=3), GOOD)
        assert (score.value, score.verdict) == (0.0, "unverifiable"), name


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("mth", "rewards.verifier_function = 'mth': unknown verifier; did you mean 'math'?"),
        ("cosine(max=3)", "rewards.verifier_function = 'cosine(max=3)': unknown argument 'max'"),
        ("math(x=1)", "rewards.verifier_function = 'math(x=1)': unknown argument 'x'; it takes none"),
        ("cosine(max_tokens=open('x'))", "arguments are written like cosine(max_tokens=4096)"),
        ("nowhere.py:mine", "rewards.verifier_function = 'nowhere.py:mine': no such file"),
    ],
)
def test_names_that_do_not_exist(name: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        verifier(name)
    assert message in str(caught.value)


def test_one_of_your_own(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(
        "from r1zero.rewards.catalog import verifier_function\n"
        "from r1zero.types import Problem, Score\n\n"
        "@verifier_function(measures='format')\n"
        "def polite(problem: Problem, text: str, *, word: str = 'please') -> Score:\n"
        "    return Score(value=float(word in text))\n"
    )
    try:
        with ScorerPool(workers=1, timeout_seconds=10, memory_mib=1024) as pool:
            name = f"{file}:polite"
            assert pool.submit(name, problem("4"), "4, please").result() == Score(value=1.0)
            assert pool.submit(f"{name}(word='thanks')", problem("4"), "please").result() == Score(value=0.0)
        with pytest.raises(UsageError, match="unknown verifier; did you mean 'polite'"):
            verifier(f"{file}:polit")
    finally:
        VERIFIERS.pop("polite", None)


def test_a_verifier_may_compare_the_responses_of_a_prompt() -> None:
    verifiers = Verifiers({"acc": 1.0}, {"code.jsonl": {"boxed": 0.5, "length": 1.0}})
    with ScorerPool(workers=1, timeout_seconds=10, memory_mib=1024) as pool:
        own = Problem(id="p", question="?", answer="4", source="code.jsonl")
        texts = ("\\boxed{4}", "\\boxed{4} indeed", "4")
        scores = [combine.combined(verifiers, own, combine.submit(pool, verifiers, own, text)) for text in texts]
        assert [score.parts for score in scores] == [
            {"boxed": 1.0, "length": 1.0},
            {"boxed": 1.0, "length": 1.0},
            {"boxed": 0.0, "length": 1.0},
        ]
        grouped = combine.in_group(verifiers, own, scores, [10, 20, 10])
        assert [score.value for score in grouped] == [0.5 + 0.5, 0.5 - 0.5, 0.5]
