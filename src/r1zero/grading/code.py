"""The code reward: the last fenced program of a response, run against the tests of its row in a sandbox.

A row brings its tests in one of these columns, as JSON text or as objects:

    verification_info  {"language": "python", "test_cases": [{"input": "2 3\\n", "output": "5\\n"},
                        {"type": "function_call", "fn_name": "add", "input": [2, 3], "output": 5}]}     (Open-R1)
    tests              the list above alone, the language in a column `language`
    input_output       {"inputs": ["2 3\\n"], "outputs": ["5\\n"]}                                       (APPS, TACO)

Columns `time_limit` (seconds) and `memory_limit` (MiB) replace the defaults for one test. Every test runs in a
container of its own and is compared out here, so a test that hangs, crashes or cheats costs itself and no other.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from r1zero.grading import sandbox
from r1zero.rewards.catalog import VERIFIERS, Entry, Verifier
from r1zero.types import Problem, Score

SAMPLE_SECONDS = 120.0  # all tests of one response; what has not run by then has not passed
_FENCE = re.compile(r"^[ \t]*```[ \t]*([A-Za-z0-9+#._-]*)[^\n]*\n(.*?)^[ \t]*```[ \t]*$", re.DOTALL | re.MULTILINE)
_PROGRAM_NAME = re.compile(r"[A-Za-z][A-Za-z0-9+._-]*")
_FENCE_NAMES = {  # what models call a language whose interpreter is called otherwise
    "python": ("python", "py", "python3"),
    "bash": ("bash", "sh", "shell"),
    "node": ("node", "javascript", "js"),
    "Rscript": ("r",),
}
# Calls a function of the program: arguments from stdin, the result as the last line of the true stdout.
_CALL = """

def _call():
    import json, os, sys
    sys.stdout.flush()
    out, sys.stdout = os.fdopen(os.dup(1), "w"), sys.stderr
    name = {name!r}
    function = globals()[name] if name in globals() else getattr(globals()["Solution"](), name)
    result = function(*json.loads(sys.stdin.read()))
    out.write("\\n" + json.dumps(result, default=list))
    out.close()

_call()
"""


@dataclass(frozen=True, slots=True)
class Case:
    """One test: what the program reads and must write; with `function`, its arguments and its result as JSON."""

    stdin: str
    expected: str
    function: str = ""


@dataclass(frozen=True, slots=True)
class Tests:
    """A row's tests. `language` is python or the name of an interpreter on this machine."""

    language: str
    cases: tuple[Case, ...]
    limits: sandbox.Limits


def code(problem: Problem, text: str) -> Score:
    """The fraction of tests passed; 0 for a response without a program. `unverifiable` for a row without usable tests,
    `error` where programs cannot be contained or the interpreter is missing."""
    try:
        tests = read_tests(problem)
    except (ValueError, KeyError, TypeError) as wrong:
        return Score(value=0.0, verdict="unverifiable", detail=f"no usable tests: {type(wrong).__name__}: {wrong}")
    program = last_program(text, tests.language)
    if program is None:
        return Score(value=0.0, detail=f"no fenced {tests.language} program")
    try:
        failures = _failures(program, tests)
    except (sandbox.SandboxUnavailable, FileNotFoundError) as missing:
        return Score(value=0.0, verdict="error", detail=str(missing))
    passed = len(tests.cases) - len(failures)
    shown = "; ".join(failures[:3])
    detail = f"{passed}/{len(tests.cases)} tests passed" + (f"; {shown}" if shown else "")
    return Score(value=passed / len(tests.cases), detail=detail)


def binary_code(problem: Problem, text: str) -> Score:
    """1 if every test passes, 0 otherwise."""
    score = code(problem, text)
    return Score(value=float(score.value == 1.0), verdict=score.verdict, detail=score.detail)


def read_tests(problem: Problem) -> Tests:
    """The tests of a row. Raises ValueError, KeyError or TypeError if it has none that can be used."""
    columns = problem.extra
    language = str(columns.get("language", "python"))
    if "verification_info" in columns:
        described = _parsed(columns["verification_info"])
        language, found = str(described.get("language", language)), described["test_cases"]
    elif "tests" in columns:
        found = _parsed(columns["tests"])
    elif "input_output" in columns:
        pairs = _parsed(columns["input_output"])
        found = [{"input": a, "output": b} for a, b in zip(pairs["inputs"], pairs["outputs"], strict=True)]
    else:
        raise ValueError("the row has none of the columns verification_info, tests, input_output")
    if not found:
        raise ValueError("the list of tests is empty")
    if not _PROGRAM_NAME.fullmatch(language):
        raise ValueError(f"language = {language!r} is not the name of a program")
    return Tests(_interpreter_name(language), tuple(_case(case) for case in found), _limits(columns))


def last_program(text: str, language: str) -> str | None:
    """The last block fenced as `language` behind the last `</think>`; without one, the last that names no language."""
    blocks = _FENCE.findall(text.rpartition("</think>")[2])
    names = {language.lower(), *(name.lower() for name in _FENCE_NAMES.get(language, ()))}
    for wanted in (names, {""}):
        programs = [program for name, program in blocks if name.lower() in wanted]
        if programs:
            return programs[-1]
    return None


def same_output(expected: str, written: str) -> bool:
    """Every line the same, and as many; blanks at the ends of lines and of the text do not count."""
    return _lines(expected) == _lines(written)


def _lines(text: str) -> list[str]:
    return [line.rstrip() for line in text.replace("\r\n", "\n").rstrip().split("\n")]


def _failures(program: str, tests: Tests) -> list[str]:
    """What went wrong, test by test. Raises SandboxUnavailable, or FileNotFoundError for a missing interpreter."""
    command, folders = _interpreter(tests.language)
    deadline = time.monotonic() + SAMPLE_SECONDS
    failures = []
    for number, case in enumerate(tests.cases, start=1):
        if time.monotonic() > deadline:
            failures.append(f"test {number}: not run, {SAMPLE_SECONDS:.0f} s were over")
            continue
        source = program + (_CALL.format(name=case.function) if case.function else "")
        outcome = sandbox.run(
            [*command, "/code/program"],
            stdin=case.stdin.encode(errors="replace"),
            limits=tests.limits,
            files={"program": source.encode(errors="replace")},
            folders=folders,
        )
        if wrong := _wrong(case, outcome, tests.limits):
            failures.append(f"test {number}: {wrong}")
    return failures


def _wrong(case: Case, outcome: sandbox.Outcome, limits: sandbox.Limits) -> str:
    """Why a test failed; empty if it passed."""
    if outcome.ending == "timeout":
        return f"timeout after {outcome.seconds:.1f} s"
    if outcome.ending == "memory":
        return f"more than {limits.memory_mib} MiB of memory"
    if outcome.ending == "output":
        return f"more than {limits.output_kib} KiB of output"
    if outcome.status != 0:
        said = outcome.stderr.decode(errors="replace").strip().rpartition("\n")[2]
        return f"exit status {outcome.status}: {said[:80]}"
    written = outcome.stdout.decode(errors="replace")
    if case.function:
        return "" if _same_result(case.expected, written) else "wrong result"
    return "" if same_output(case.expected, written) else "wrong output"


def _same_result(expected: str, written: str) -> bool:
    with contextlib.suppress(ValueError, RecursionError):
        return json.loads(expected) == json.loads(written.rpartition("\n")[2])
    return False


def _interpreter_name(language: str) -> str:
    return next((name for name, names in _FENCE_NAMES.items() if language.lower() in names), language)


def _interpreter(name: str) -> tuple[list[str], Sequence[str]]:
    """The command and the folders it needs beside /usr. Raises FileNotFoundError."""
    if name == "python":  # ours without what is installed beside it, and without the user's settings
        path = os.path.realpath(sys.executable)
        return [path, "-I", "-S", "-B"], () if path.startswith("/usr/") else (os.path.realpath(sys.base_prefix),)
    found = shutil.which(name, path="/usr/local/bin:/usr/bin:/bin")
    if found is None:
        raise FileNotFoundError(f"interpreter '{name}' is not in /usr/local/bin, /usr/bin or /bin")
    return [found], ()


def _case(fields: Mapping[str, Any]) -> Case:
    if fields.get("type", "stdin_stdout") == "function_call":
        return Case(_as_json(fields["input"]), _as_json(fields["output"]), str(fields["fn_name"]))
    return Case(_as_text(fields["input"]), _as_text(fields["output"]))


def _limits(columns: Mapping[str, Any]) -> sandbox.Limits:
    default = sandbox.Limits()
    seconds = float(columns.get("time_limit") or default.cpu_seconds)
    memory = int(columns.get("memory_limit") or default.memory_mib)
    if not (0 < seconds <= SAMPLE_SECONDS and 16 <= memory <= 2**16):
        raise ValueError(f"time_limit = {seconds:g} s or memory_limit = {memory} MiB is out of range")
    return sandbox.Limits(cpu_seconds=seconds, wall_seconds=min(3 * seconds, SAMPLE_SECONDS), memory_mib=memory)


def _parsed(value: Any) -> Any:
    return json.loads(value) if isinstance(value, str) else value


def _as_text(value: Any) -> str:
    """Some sets keep a list of lines."""
    return "\n".join(str(line) for line in value) if isinstance(value, list) else str(value)


def _as_json(value: Any) -> str:
    """Some sets keep arguments as JSON, some as values."""
    if isinstance(value, str):
        with contextlib.suppress(ValueError):
            json.loads(value)
            return value
    return json.dumps(value)


def _entry(verify: Verifier) -> Entry:
    """A verifier that runs the response's program in a sandbox."""
    return Entry(verify, "accuracy", right="", takes_numbers=False, seconds=2 * SAMPLE_SECONDS, contains_itself=True)


VERIFIERS.update(code=_entry(code), binary_code=_entry(binary_code))
