"""Verifiers as users write them: what they return by mistake is a verdict about their code, and nothing hangs."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from r1zero.base.errors import UsageError
from r1zero.grading import contained
from r1zero.grading.pool import ScorerPool
from r1zero.rewards.catalog import VERIFIERS, verifier
from r1zero.types import Problem, Score

PROBLEM = Problem(id="p", question="?", answer="4", source="test")
MISTAKES = """
from __future__ import annotations
import numpy as np
from r1zero.rewards.catalog import verifier_function
from r1zero.types import Score
@verifier_function()
def none(problem, text): return None
@verifier_function()
def number(problem, text): return 1.0
@verifier_function()
def listed(problem, text): return [1.0]
@verifier_function()
def mapped(problem, text): return {"score": 1.0, "acc": True}
@verifier_function()
def none_value(problem, text): return Score(value=None)
@verifier_function()
def text_value(problem, text): return Score(value="1.0")
@verifier_function()
def nan_value(problem, text): return Score(value=float("nan"))
@verifier_function()
def array_value(problem, text): return Score(value=np.ones(3))
@verifier_function()
def odd_verdict(problem, text): return Score(value=1.0, verdict="correct")
@verifier_function()
def no_verdict(problem, text): return Score(value=1.0, verdict=None)
@verifier_function()
def odd_parts(problem, text): return Score(value=1.0, parts=[1.0])
@verifier_function()
def part_of_text(problem, text): return Score(value=1.0, parts={"a": "1"})
@verifier_function()
def odd_detail(problem, text): return Score(value=1.0, detail=["a"])
@verifier_function()
async def waits(problem, text): return Score(value=1.0)
@verifier_function()
def raises(problem, text):
    raise KeyError("missing")
@verifier_function()
def one_argument(text): return Score(value=1.0)
@verifier_function()
def exits(problem, text): raise SystemExit(3)
@verifier_function()
def true_value(problem, text): return Score(value=True)
@verifier_function()
def numpy_value(problem, text): return Score(value=np.float32(0.5))
@verifier_function()
def no_detail(problem, text): return Score(value=1.0, detail=None)
"""
SAID = {
    "none": "the verifier returned None; it must return a Score",
    "number": "the verifier returned 1.0; it must return a Score",
    "listed": "the verifier returned a list; it must return a Score",
    "mapped": "the verifier returned a dict; it must return a Score",
    "none_value": "the verifier's value is None; it must be a number",
    "text_value": "the verifier's value is '1.0'; it must be a number",
    "nan_value": "the verifier's value is nan",
    "array_value": "the verifier's value is a ndarray; it must be a number",
    "odd_verdict": "the verifier's verdict is 'correct'; it must be one of graded, unverifiable, error, timeout",
    "no_verdict": "the verifier's verdict is None; it must be one of graded, unverifiable, error, timeout",
    "odd_parts": "the verifier's parts are a list; they must be numbers by name",
    "part_of_text": "the verifier's a is '1'; it must be a number",
    "odd_detail": "the verifier's detail is a list; it must be text",
    "waits": "the verifier is an async function; make it a plain one that returns a Score",
    "raises": "KeyError: 'missing' (line 35 of mistakes.py)",
    "one_argument": "TypeError: one_argument() takes 1 positional argument but 2 were given",
    "exits": "SystemExit: 3 (line 39 of mistakes.py)",
}
RIGHT = {"true_value": 1.0, "numpy_value": 0.5, "no_detail": 1.0}
LIMITS = {"workers": 1, "timeout_seconds": 20.0, "memory_mib": 1024}


@pytest.fixture(autouse=True)
def catalog() -> Iterator[None]:
    before = dict(VERIFIERS)
    verifier.cache_clear()
    yield
    VERIFIERS.clear()
    VERIFIERS.update(before)
    verifier.cache_clear()


@pytest.fixture(scope="module", autouse=True)
def containers() -> None:
    if contained.unavailable():
        pytest.skip("foreign verifiers need bubblewrap")


def test_what_is_no_score_is_a_verdict_about_the_verifier(tmp_path: Path) -> None:
    file = tmp_path / "mistakes.py"
    file.write_text(MISTAKES.lstrip("\n"))
    with ScorerPool(**LIMITS) as pool:
        pending = {name: pool.submit(f"{file}:{name}", PROBLEM, "x") for name in (*SAID, *RIGHT)}
        scores = {name: future.result(timeout=60) for name, future in pending.items()}
    for name, said in SAID.items():
        assert scores[name] == Score(value=0.0, verdict="error", detail=said)
    assert {name: scores[name].value for name in RIGHT} == RIGHT
    assert all(scores[name].verdict == "graded" for name in RIGHT)


def test_grading_ends_whatever_a_verifier_returns(tmp_path: Path) -> None:
    (tmp_path / "mistakes.py").write_text(MISTAKES)
    (tmp_path / "in.jsonl").write_text(json.dumps({"gold": "4", "answer": "4"}) + "\n")
    command = ["grade", "in.jsonl", "--verifier", "mistakes.py:odd_verdict", "--json", "out.jsonl"]
    subprocess.run(
        [sys.executable, "-m", "r1zero.cli.main", *command], cwd=tmp_path, check=True, timeout=120, capture_output=True
    )
    assert json.loads((tmp_path / "out.jsonl").read_text())["detail"] == SAID["odd_verdict"]


USUAL = """
from __future__ import annotations
import pickle
from dataclasses import dataclass
from typing import ClassVar
from helpers import bonus
from r1zero.rewards.catalog import verifier_function
from r1zero.types import Score

@dataclass(frozen=True)
class Weights:
    right: float = 1.0
    kind: ClassVar[str] = "x"

@verifier_function()
def usual_NAME(problem, text):
    from helpers import later
    weights = pickle.loads(pickle.dumps(Weights()))
    return Score(value=weights.right + bonus() + later())
"""


def test_a_file_may_have_classes_and_files_beside_it(tmp_path: Path) -> None:
    """Also two files that have different ones of one name beside them."""
    names = []
    for number in (1, 2):
        folder = tmp_path / f"of{number}"
        folder.mkdir()
        (folder / "helpers.py").write_text(f"def bonus(): return {number}\ndef later(): return {10 * number}\n")
        (folder / "mine.py").write_text(USUAL.replace("NAME", str(number)))
        names.append(f"{folder / 'mine.py'}:usual_{number}")
    with ScorerPool(**LIMITS) as pool:
        scores = [pool.submit(name, PROBLEM, "x").result(timeout=60) for name in names]
    assert scores == [Score(value=12.0), Score(value=23.0)]


def test_a_file_that_cannot_be_run_is_one_line(tmp_path: Path) -> None:
    file = tmp_path / "bad.py"
    file.write_text("import nothing_of_this_name\n")
    with pytest.raises(
        UsageError, match=r"bad\.py: cannot be loaded: ModuleNotFoundError: No module named 'nothing_of"
    ):
        verifier(f"{file}:x")


def test_arguments_are_finite() -> None:
    with pytest.raises(UsageError, match="arguments are written like .*, and finite"):
        verifier("cosine(max_tokens=1e999)")


LEAVING = r'''
import subprocess, sys
from r1zero.rewards.catalog import verifier_function
from r1zero.types import Score

OUTER = """
import subprocess, sys, time
inner = "import time; time.sleep(300)"
subprocess.Popen([sys.executable, "-S", "-c", inner, sys.argv[1]], start_new_session=True)
time.sleep(float(sys.argv[2]))
"""

@verifier_function()
def leaves(problem, text):
    children = [
        subprocess.Popen([sys.executable, "-S", "-c", OUTER, text, seconds], start_new_session=True)
        for seconds in ("300", "0")
    ]
    children[1].wait()
    return Score(value=1.0)
'''


@pytest.mark.parametrize("uncontained", [False, True])
def test_what_a_verifier_starts_does_not_survive_the_farm(tmp_path: Path, uncontained: bool) -> None:
    """In sessions of their own, and one whose parent has ended."""
    file = tmp_path / "leaving.py"
    file.write_text(LEAVING)
    name, mark = f"{file}:leaves", f"mark{tmp_path.name}{time.time_ns()}"
    with ScorerPool(**LIMITS, uncontained=[name] if uncontained else []) as pool:
        assert pool.submit(name, PROBLEM, mark).result(timeout=60).value == 1.0
        assert len(_marked(mark)) == 3
    deadline = time.monotonic() + 10
    while _marked(mark) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not _marked(mark)


def _marked(mark: str) -> list[int]:
    found = []
    for process in psutil.process_iter(["cmdline"]):
        if mark in (process.info["cmdline"] or []) and process.status() != psutil.STATUS_ZOMBIE:
            found.append(process.pid)
    return found
