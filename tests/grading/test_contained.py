"""What reaches a grading process through a text reaches nothing else."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from r1zero.base.errors import UsageError
from r1zero.grading import contained
from r1zero.grading.pool import ScorerPool
from r1zero.rewards import gym, unevaluated
from r1zero.rewards.catalog import VERIFIERS
from r1zero.types import Problem, Score

from ..recipes import r1zero, write_recipe

PROBE = f"{Path(__file__).parent / 'probe.py'}:probe"
PROBLEM = Problem(id="p", question="?", answer="4", source="test")
SLOW_TO_MAKE = ("arc_agi", "rearc")
needs_containers = pytest.mark.skipif(bool(contained.unavailable()), reason=contained.unavailable())


def payloads(marker: Path) -> list[str]:
    """Texts that would make a file if they were run: as an expression, inside a literal, as sympy's input, as code."""
    touch = f"__import__('os').system('touch {marker}')"
    return [
        touch,
        f"[{touch}]",
        f"({touch}, 1)[1]",
        f"open('{marker}', 'w')",
        f"exec(\"open('{marker}', 'w')\")",
        f"(lambda: {touch})()",
        f"Symbol('x').subs(x, {touch})",
        f"().__class__.__base__.__subclasses__() or {touch}",
        f"x*{touch}",
        f"\\boxed{{{touch}}}",
        f"{{{touch}: 1}}",
        f"!!python/object/apply:os.system ['touch {marker}']",
        f"$(touch {marker})",
        f"';touch {marker};'",
    ]


@pytest.fixture(scope="module")
def entries() -> Iterator[dict[str, Problem]]:
    """One problem of each of reasoning-gym's tasks."""
    library = pytest.importorskip("reasoning_gym")
    from reasoning_gym.factory import DATASETS

    found = {}
    for task in sorted(set(DATASETS) - {"composite", *SLOW_TO_MAKE}):  # a composite is made of others
        entry = library.create_dataset(task, size=1, seed=3)[0]
        extra = {"metadata": entry["metadata"]}
        found[task] = Problem(
            id=task, question=entry["question"], answer=str(entry["answer"]), source="gym", extra=extra
        )
    yield found


@needs_containers
def test_nothing_is_reached_from_a_grading_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Among it a server that listens on this machine, and a token in the environment."""
    monkeypatch.setenv("R1ZERO_REWARDS_TOKEN", "SECRET")
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with ScorerPool(workers=1, timeout_seconds=30.0, memory_mib=1024) as pool:
            score = pool.submit(PROBE, PROBLEM, str(port)).result(timeout=60)
    assert (score.verdict, score.detail) == ("graded", "")
    assert score.value >= 9, "that many attempts were refused by an error"


def test_every_grading_process_has_a_clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("R1ZERO_REWARDS_TOKEN", "SECRET")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "SECRET")
    monkeypatch.setenv("LANG", "C.UTF-8")
    for kind in ("contained", "plain"):
        if kind == "contained" and contained.unavailable():
            continue
        with contained.command(contained.Place(kind), []) as (command, environment, _):  # pyright: ignore[reportArgumentType]
            assert "SECRET" not in " ".join(command) + " ".join(environment.values())
    assert contained.environment()["LANG"] == "C.UTF-8"
    with contained.command(contained.Place("trusted"), []) as (_, environment, _):
        assert environment["AWS_SECRET_ACCESS_KEY"] == "SECRET", "what the recipe accepts by name may need it"


def test_foreign_verifiers_are_refused_where_nothing_contains_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contained, "unavailable", lambda: "bubblewrap is missing")
    with ScorerPool(workers=1, timeout_seconds=10.0, memory_mib=1024) as pool:
        for name in (PROBE, "reasoning_gym"):
            with pytest.raises(UsageError) as caught:
                pool.submit(name, PROBLEM, "")
            assert str(caught.value) == (
                f"rewards.verifier_function = '{name}': code that is not r1zero's would judge a model's text, and "
                f"nothing contains it here (bubblewrap is missing); name it in rewards.uncontained to run it all "
                "the same"
            )
        assert pool.submit("acc", PROBLEM, "\\boxed{4}").result(timeout=60) == Score(value=1.0)
    limits: Any = {"workers": 1, "timeout_seconds": 10.0, "memory_mib": 1024}
    with ScorerPool(**limits, uncontained=["reasoning_gym"]) as pool:
        assert pool.submit("reasoning_gym", PROBLEM, "4").result(timeout=60).verdict == "unverifiable"


@needs_containers
@pytest.mark.parametrize("name", sorted(set(VERIFIERS) - {"reward_model", "process_reward"}))
def test_no_verifier_runs_a_text(name: str, tmp_path: Path) -> None:
    """In this process, so that the container is not what stops it. `code` runs programs, in a container of its own."""
    marker = tmp_path / "ran"
    extra = {"response_tokens": 3, "finish_reason": "stop", "metadata": {"source_dataset": "countdown"}}
    extra["verification_info"] = {"language": "python", "test_cases": [{"input": "", "output": "x"}]}
    verify = VERIFIERS[name].verify
    for text in payloads(marker):
        for answer in ("4", text):
            problem = Problem(id="p", question="?", answer=answer, source="test", extra=extra)
            for shown in (text, f"<think></think><answer>\\boxed{{{text}}}</answer>", f"```python\n{text}\n```"):
                try:
                    verify(problem, shown)
                except Exception as error:
                    assert type(error) is not unevaluated.Refused
                assert not marker.exists(), (name, shown)


def test_no_task_of_reasoning_gym_runs_a_text(entries: dict[str, Problem], tmp_path: Path) -> None:
    """In this process too. The row may be hostile as well: a server's clients send it."""
    marker = tmp_path / "ran"
    for task, problem in entries.items():
        for text in payloads(marker):
            gym.reasoning_gym(problem, f"<answer>{text}</answer>")
            hostile = {**problem.extra["metadata"], "integrand": text, "variable": text, "problem": text}
            row = Problem(id="p", question=text, answer=text, source="s", extra={"metadata": hostile})
            gym.reasoning_gym(row, "<answer>x</answer>")
            assert not marker.exists(), (task, text)


def test_right_answers_are_scored_as_reasoning_gym_scores_them(entries: dict[str, Problem]) -> None:
    from reasoning_gym.factory import get_score_answer_fn

    for task, problem in entries.items():
        scorer: Any = get_score_answer_fn(task)
        entry = {"question": problem.question, "answer": problem.answer, "metadata": problem.extra["metadata"]}
        assert gym.reasoning_gym(problem, f"<answer>{problem.answer}</answer>").value == scorer(
            answer=problem.answer, entry=entry
        ), task


def test_no_task_pays_any_text(entries: dict[str, Problem]) -> None:
    """As reasoning-gym's own scorer of game_of_life_halting does."""
    for task, problem in entries.items():
        for text in ("zzz qqq", "", "[]", "{}"):
            assert gym.reasoning_gym(problem, f"<answer>{text}</answer>").value < 1, (task, text)


def test_an_expression_is_not_paid_as_its_value(entries: dict[str, Problem]) -> None:
    """These tasks take a Python list for the text they want; none takes a program that makes the list."""
    problem = entries["spiral_matrix"]
    right = problem.answer.split()
    listed = gym.reasoning_gym(problem, f"<answer>[{', '.join(right)}]</answer>")
    computed = gym.reasoning_gym(problem, f"<answer>[int(x) for x in {problem.answer!r}.split()]</answer>")
    assert listed.value > computed.value == 0


@needs_containers
def test_reasoning_gym_through_the_farm(entries: dict[str, Problem], tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    with ScorerPool(workers=1, timeout_seconds=60.0, memory_mib=2048) as pool:
        problem = entries["countdown"]
        expression = problem.answer
        right = pool.submit("reasoning_gym", problem, f"<answer>{expression}</answer>")
        hostile = [pool.submit("reasoning_gym", problem, f"<answer>{text}</answer>") for text in payloads(marker)]
        assert right.result(timeout=120).value == 1.0
        assert all(future.result(timeout=120).value < 1 for future in hostile)
    assert not marker.exists()


@pytest.mark.parametrize(
    ("text", "value"),
    [("[1, [2, 'a']]", [1, [2, "a"]]), ("0x1f << 2", 0x1F << 2), ("~(3 + 4) & 0xff", ~7 & 0xFF), ("-5", -5)],
)
def test_literals_and_whole_numbers_are_read(text: str, value: object) -> None:
    assert unevaluated.literal(text) == value


@pytest.mark.parametrize(
    "text",
    [
        "list(range(10))",
        "[x for x in (1, 2)]",
        "1 << 10**9",
        "2**9**9",
        "(lambda: 1)()",
        "a",
        "'a' * 10**9",
        "1 +",
        "[" * 5000,
        "(" * 200 + "1" + ")" * 200 + "+" * 9000,
        "f'{1}'",
        "x" * 20_000,
    ],
)
def test_what_is_no_literal_is_refused(text: str) -> None:
    for read in (unevaluated.literal, unevaluated.formula) if "a" not in text else (unevaluated.literal,):
        if read is unevaluated.formula and "x" in text:
            continue
        with pytest.raises((ValueError, SyntaxError, ZeroDivisionError)):
            read(text)


@pytest.mark.parametrize(
    "text",
    ["x**2 + 2*x*y - 3", "7*(2 + 3) - 8/4", "sin(x)*exp(2*x) + C", "-x**3/3", "sqrt(x**2 + 1)", "12/5 - 1.5", "7//2"],
)
def test_formulas_are_read_as_sympy_reads_them(text: str) -> None:
    import sympy

    assert unevaluated.formula(text) == sympy.parse_expr(text)


@pytest.mark.parametrize("text", ["9**9**9", "2**100000", "x.subs(1, 2)", "lambda x: x", "foo(3)", "1 if x else 2"])
def test_what_is_no_formula_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        unevaluated.formula(text)


def test_any_other_way_from_text_to_code_is_refused() -> None:
    """A scorer of a version that we have not seen. What it catches is remembered."""
    with unevaluated.without_evaluation("reasoning_gym") as guard:
        for attempt in (lambda: exec("1"), lambda: os.system("true"), lambda: eval("1"), Path("x").touch):
            with pytest.raises(unevaluated.Refused):
                attempt()
        assert guard.refused
    assert eval("1") == 1


def test_schemas_are_not_fetched() -> None:
    """A server that hears of nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.2)
        address = f"http://127.0.0.1:{server.getsockname()[1]}/schema"
        problem = Problem(id="p", question="?", answer=f'{{"$ref": "{address}"}}', source="test")
        assert VERIFIERS["json_schema"].verify(problem, "{}").verdict == "unverifiable"
        with pytest.raises(TimeoutError):
            server.accept()
    inside = '{"$defs": {"n": {"type": "integer"}}, "properties": {"a": {"$ref": "#/$defs/n"}}}'
    own = Problem(id="p", question="?", answer=inside, source="test")
    assert [VERIFIERS["json_schema"].verify(own, text).value for text in ('{"a": 1}', '{"a": "x"}')] == [1.0, 0.0]


def test_a_run_that_could_not_contain_its_verifiers_does_not_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = write_recipe(tmp_path)
    names = f"rewards.verifier_function=[base_acc, {PROBE}]"
    monkeypatch.setattr(contained, "unavailable", lambda: "bubblewrap is missing")
    with pytest.raises(UsageError, match=r"probe': code that is not r1zero's would judge a model's text"):
        r1zero("train", recipe, names)
    assert not (tmp_path / "run" / "config.yaml").exists()
    with pytest.raises(UsageError, match=r"rewards.uncontained = 'x.py:y': no verifier of this recipe"):
        r1zero("train", recipe, "rewards.uncontained=['x.py:y']")
