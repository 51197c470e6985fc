"""The code reward, and every way out of the sandbox that we could think of."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
import threading
import time
from dataclasses import replace
from typing import Any

import psutil
import pytest

from r1zero.grading import cgroup, code, sandbox
from r1zero.grading.pool import ScorerPool
from r1zero.types import Problem, Score

from .contract import farm_of

try:
    sandbox.check()
except sandbox.SandboxUnavailable as missing:
    pytestmark = pytest.mark.skip(reason=str(missing))

SUM = "a, b = map(int, input().split())\nprint(a + b)"
SUMS = [{"input": f"{a} 3\n", "output": f"{a + 3}\n"} for a in range(4)]
SMALL = sandbox.Limits(cpu_seconds=1, wall_seconds=2.5, memory_mib=128, processes=16, output_kib=64, files_mib=8)


def _problem(**columns: Any) -> Problem:
    return Problem(id="p", question="?", answer="-", source="test", extra=columns)


def _fenced(program: str, language: str = "python") -> str:
    return f"<think>\n```{language}\nraise Wrong\n```\n</think>\nSo:\n```{language}\n{program}\n```\n"


def _run(program: str, limits: sandbox.Limits = SMALL) -> sandbox.Outcome:
    command, folders = code._interpreter("python")
    files = {"program": program.encode()}
    return sandbox.run([*command, "/code/program"], stdin=b"", limits=limits, files=files, folders=folders)


@pytest.mark.parametrize(
    "columns",
    [
        {"tests": SUMS},
        {"tests": json.dumps(SUMS), "language": "python"},
        {"verification_info": json.dumps({"language": "python", "test_cases": SUMS})},
        {"input_output": {"inputs": [["0 3", ""], "1 3"], "outputs": [["3"], "4"]}},
    ],
    ids=["objects", "text", "open-r1", "apps"],
)
def test_a_right_program_passes_in_every_format(columns: dict[str, Any]) -> None:
    number = 2 if "input_output" in columns else 4
    expected = Score(value=1.0, detail=f"{number}/{number} tests passed")
    assert code.code(_problem(**columns), _fenced(SUM)) == expected


def test_functions_are_called_and_what_they_print_is_not_their_result() -> None:
    cases = [
        {"type": "function_call", "fn_name": "add", "input": [2, [3]], "output": [2, 3]},
        {"type": "function_call", "fn_name": "add", "input": "[5, [1]]", "output": "[5, 1]"},
        {"type": "function_call", "fn_name": "add", "input": [2, [4]], "output": [2, 5]},
    ]
    program = "print('loaded')\nclass Solution:\n    def add(self, a, b):\n        print(a)\n        return (a, *b)"
    score = code.code(_problem(tests=cases), _fenced(program))
    assert score == Score(value=2 / 3, detail="2/3 tests passed; test 3: wrong result")


def test_a_hanging_test_voids_itself_only() -> None:
    program = f"{SUM}\nwhile a == 2: pass"
    start = time.monotonic()
    score = code.code(_problem(tests=SUMS, time_limit=1), _fenced(program))
    assert score.value == 0.75 and score.detail.startswith("3/4 tests passed; test 3: timeout after ")
    assert time.monotonic() - start < 6
    assert code.binary_code(_problem(tests=SUMS), _fenced(SUM)).value == 1.0
    assert code.binary_code(_problem(tests=SUMS), _fenced("print(3)")).value == 0.0


def test_tests_beyond_the_time_of_a_response_do_not_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(code, "SAMPLE_SECONDS", 1.0)
    score = code.code(_problem(tests=SUMS, time_limit=1), _fenced("import time; time.sleep(60)"))
    assert score.value == 0.0
    assert score.detail.endswith("; test 2: not run, 1 s were over; test 3: not run, 1 s were over")


@pytest.mark.parametrize(
    ("expected", "written", "same"),
    [
        ("1\n2\n", "1\n2", True),
        ("1 \r\n2", "1\n2 \n\n", True),
        ("1\n2\n", "1\n", False),  # Open-R1 compares through zip: the shorter output passes there
        ("1\n", "1\n2\n", False),
        ("1 2", "1  2", False),
        ("", "\n", True),
        ("1.0", "1", False),
        ("Yes", "yes", False),
        ("\n1", "1", False),
    ],
)
def test_outputs_are_compared_exactly(expected: str, written: str, same: bool) -> None:
    assert code.same_output(expected, written) is same


@pytest.mark.parametrize(
    ("text", "program"),
    [
        ("```python\na\n```\n```py\nb\n```\n", "b\n"),
        ("```python\na\n```\nOutput:\n```\n5\n```\n", "a\n"),
        ("```\na\n```", "a\n"),
        ("```cpp\na\n```", None),
        ("<think>```python\na\n```</think> I cannot.", None),
        ("```python\na", None),
        ("", None),
    ],
)
def test_the_last_program_behind_the_reasoning(text: str, program: str | None) -> None:
    assert code.last_program(text, "python") == program


def test_any_interpreter_by_its_name() -> None:
    problem = _problem(tests=SUMS, language="bash")
    assert code.code(problem, _fenced("read a b; echo $((a + b))", "sh")).value == 1.0
    missing = code.code(_problem(tests=SUMS, language="no-such-program"), _fenced("x", "no-such-program"))
    detail = "interpreter 'no-such-program' is not in /usr/local/bin, /usr/bin or /bin"
    assert missing == Score(value=0.0, verdict="error", detail=detail)


@pytest.mark.parametrize(
    ("columns", "reason"),
    [
        ({}, "ValueError: the row has none of the columns verification_info, tests, input_output"),
        ({"tests": "["}, "JSONDecodeError: Expecting value: line 1 column 2 (char 1)"),
        ({"tests": []}, "ValueError: the list of tests is empty"),
        ({"tests": [{"input": ""}]}, "KeyError: 'output'"),
        (
            {"tests": SUMS, "language": "../../bin/sh"},
            "ValueError: language = '../../bin/sh' is not the name of a program",
        ),
        (
            {"tests": SUMS, "time_limit": 1e9},
            "ValueError: time_limit = 1e+09 s or memory_limit = 512 MiB is out of range",
        ),
    ],
)
def test_rows_without_usable_tests_are_unverifiable(columns: dict[str, Any], reason: str) -> None:
    expected = Score(value=0.0, verdict="unverifiable", detail=f"no usable tests: {reason}")
    assert code.code(_problem(**columns), _fenced(SUM)) == expected


def test_through_the_farm_with_the_limits_of_its_own() -> None:
    with ScorerPool(workers=1, timeout_seconds=1.0, memory_mib=512) as pool:
        program = "import time\ntime.sleep(1.5)\nx = bytearray(300 * 2**20)\n" + SUM
        score = pool.submit("code", _problem(tests=SUMS[:1]), _fenced(program)).result()
        assert score == Score(value=1.0, detail="1/1 tests passed")


def test_an_ended_worker_takes_its_programs_along() -> None:
    with ScorerPool(workers=1, timeout_seconds=1.0, memory_mib=512) as pool:
        future = pool.submit("code", _problem(tests=SUMS[:1], time_limit=5), _fenced("import time\ntime.sleep(3)"))
        programs: list[psutil.Process] = []
        fork_server, _ = farm_of(pool, "code")
        while not any("/code/program" in process.cmdline()[-1:] for process in programs):
            assert not future.done()
            time.sleep(0.05)
            programs = [child for child in fork_server.children(recursive=True) if child.status() != "zombie"]
        worker = fork_server.children()[0]
        worker.kill()
        assert not psutil.wait_procs([process for process in programs if process.pid != worker.pid], timeout=5)[1]
        assert future.result(timeout=60) == Score(value=0.0, detail="0/1 tests passed; test 1: wrong output")


# ---- ways out; each is contained, and what is said about it is true


def test_fork_bomb() -> None:
    outcome = _run(
        "import os, time\n"
        "count = 0\n"
        "try:\n"
        "    for _ in range(10_000):\n"
        "        if os.fork() == 0: time.sleep(60)\n"
        "        count += 1\n"
        "except OSError as error: print(count, error.strerror, flush=True)\n"
        "while True:\n"
        "    try: os.fork()\n"
        "    except OSError: pass\n"
    )
    assert outcome.ending == "timeout"
    count, _, reason = outcome.stdout.decode().partition(" ")
    assert 0 < int(count) < SMALL.processes and reason.startswith("Resource temporarily unavailable")
    _nothing_left()


@pytest.mark.parametrize(
    ("program", "said"),
    [
        ("x = bytearray(10 * 2**30)", "MemoryError"),
        ("x = []\nwhile True: x.append(bytearray(2**20))", "MemoryError"),
        ("import mmap\nx = mmap.mmap(-1, 10 * 2**30)\nwhile True: x.write(bytes(2**20))", "more than 128 MiB"),
        (
            "import os, time\nfor _ in range(8):\n    if os.fork() == 0:\n        x = b'x' * (100 * 2**20)\n"
            "        time.sleep(60)\ntime.sleep(60)",
            "more than 128 MiB",
        ),
        ("f = open('/tmp/f', 'wb')\nwhile True: f.write(bytes(2**20))", "File too large"),
        ("import itertools\nfor n in itertools.count(): open(f'/tmp/{n}', 'wb').write(bytes(2**20))", "No space left"),
        (
            "import itertools\nfor n in itertools.count(): open(f'/dev/shm/{n}', 'wb').write(bytes(2**20))",
            "No space left",
        ),
    ],
    ids=["at once", "bit by bit", "shared memory", "many processes", "one file", "many files", "dev/shm"],
)
def test_ten_gigabytes(program: str, said: str) -> None:
    problem = _problem(tests=[{"input": "", "output": ""}], time_limit=5, memory_limit=128)
    score = code.code(problem, _fenced(program))
    assert score.value == 0.0 and score.verdict == "graded" and said in score.detail
    _nothing_left()


HIDDEN = {  # memory that no process maps
    "files in memory": "import os\nheld = []\nfor n in range(200):\n    f = os.memfd_create('x')\n    held.append(f)\n"
    "    for _ in range(8): os.write(f, bytes(2**20))\n",
    "small files": "for n in range(10**7): open(f'/tmp/{n}', 'w').close()\n",
    "links": "import os\nfor n in range(10**7): os.symlink('x' * 200, f'/dev/shm/{n}')\n",
    "pipes": "import fcntl, os\nfor _ in range(120):\n    r, w = os.pipe()\n    os.set_blocking(w, False)\n"
    "    try: fcntl.fcntl(w, 1031, 2**20)\n    except OSError: pass\n"
    "    try:\n        while True: os.write(w, bytes(65536))\n    except BlockingIOError: pass\n",
    "sockets": "import os, socket\nfor _ in range(9):\n    if os.fork() == 0: break\nheld = []\n"
    "for _ in range(120):\n    a, b = socket.socketpair()\n    held.append((a, b))\n    a.setblocking(False)\n"
    "    try:\n        while True: a.send(bytes(4096))\n    except BlockingIOError: pass\n",
}


@pytest.mark.parametrize("filtered", [True, False], ids=["filtered", "without seccomp"])
@pytest.mark.parametrize("name", HIDDEN)
def test_memory_that_no_process_maps(name: str, filtered: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Held for two seconds, or refused; the machine never has much less than before. Other programs use memory too:
    half a gigabyte is theirs."""
    if "cgroup" not in sandbox.layers():
        pytest.skip("no control group can be made here")
    if not filtered:
        monkeypatch.setattr(sandbox, "seccomp", lambda: b"")
    before, lowest = psutil.virtual_memory().available, []
    done = threading.Event()

    def watch() -> None:
        while not done.wait(0.02):
            lowest.append(psutil.virtual_memory().available)

    watcher = threading.Thread(target=watch)
    watcher.start()
    limits = replace(SMALL, cpu_seconds=3, wall_seconds=6)
    outcome = _run(HIDDEN[name] + "import time\ntime.sleep(2)\nprint('held')\n", limits)
    done.set()
    watcher.join()
    assert before - min(lowest) < 800 * 2**20
    refused = outcome.ending == "exit" and outcome.status != 0
    small = name == "pipes" and outcome.ending == "exit"  # of one user the kernel gives pipes little memory
    assert outcome.ending in ("memory", "timeout") or refused or small, outcome
    _nothing_left()


def test_a_group_ends_with_its_processes() -> None:
    group = cgroup.make(memory=64 * 2**20, processes=4)
    if group is None:
        pytest.skip("no control group can be made here")
    with subprocess.Popen(group.entering(["/bin/sh", "-c", "sleep 60 & sleep 60"])) as process:
        time.sleep(0.2)
        assert len((group.folders[0] / "cgroup.procs").read_text().split()) >= 2
        group.remove()
        assert process.wait(timeout=5) == -9
    assert not any(folder.exists() for folder in group.folders)


def test_groups_of_dead_runs_are_removed() -> None:
    parents = cgroup._parents()
    if not parents:
        pytest.skip("no control group can be made here")
    code = (
        "import os; from r1zero.grading import cgroup\n"
        "print(cgroup.make(memory=2**24, processes=2).folders[0], flush=True); os._exit(1)"
    )
    left = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False).stdout.strip()
    assert os.path.isdir(left)
    for parent in parents:
        cgroup._forget_dead(parent)
    assert not os.path.isdir(left)


def test_python_programs_have_the_standard_library_only() -> None:
    for name in ("numpy", "pip", "r1zero", "setuptools"):
        outcome = _run(f"import {name}")
        assert outcome.status == 1 and b"ModuleNotFoundError" in outcome.stderr
    assert _run("import math, json, ctypes, zlib, decimal, unicodedata").status == 0


@pytest.mark.parametrize(
    "path", ["/x", "/usr/x", "/code/program", "/etc/x", "/dev/x", "/proc/sys/kernel/core_pattern", __file__]
)
def test_writing_outside(path: str) -> None:
    outcome = _run(f"open({path!r}, 'r+' if {path!r}.endswith('program') else 'w')")
    assert outcome.status == 1
    assert any(reason in outcome.stderr for reason in (b"Read-only", b"Permission denied", b"No such file"))


@pytest.mark.parametrize(
    "path",
    [
        "/etc/passwd",
        "/etc/shadow",
        "/root",
        "/home",
        "/var",
        "/sys",
        "/run",
        "/proc/1/root",
        __file__,
        "/tmp/.X11-unix",
    ],
)
def test_reading_outside(path: str) -> None:
    outcome = _run(f"import os\nprint(os.listdir({path!r}) if os.path.isdir({path!r}) else open({path!r}).read())")
    assert outcome.status == 1 or path in ("/root", "/home")  # the way to our own interpreter may lie there
    if outcome.status == 0:
        assert set(ast.literal_eval(outcome.stdout.decode())) <= set(sys.base_prefix.split("/"))


def test_reading_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_KEY", "secret-of-the-run")
    outcome = _run(
        "import os, glob\n"
        "print(sorted(os.environ))\n"
        "for path in glob.glob('/proc/[0-9]*/environ') + glob.glob('/proc/[0-9]*/cmdline'):\n"
        "    try: print(open(path).read())\n"
        "    except OSError: print('refused')\n"
    )
    names = set(ast.literal_eval(outcome.stdout.decode().splitlines()[0]))
    assert names <= {"HOME", "LANG", "LC_CTYPE", "PATH", "PWD"}
    assert b"secret" not in outcome.stdout and b"API_KEY" not in outcome.stdout


@pytest.mark.parametrize("family", ["AF_INET", "AF_INET6", "AF_NETLINK", "AF_PACKET"])
def test_opening_sockets(family: str) -> None:
    outcome = _run(
        "import socket\n"
        "try:\n"
        f"    s = socket.socket(socket.{family}, socket.SOCK_DGRAM)\n"
        "    s.connect(('127.0.0.1', 53) if s.family == socket.AF_INET else ('::1', 53))\n"
        "    s.send(b'x')\n"
        "    print('sent')\n"
        "except (OSError, TypeError) as error: print('refused')\n"
    )
    assert outcome.stdout == b"refused\n"


@pytest.mark.parametrize(
    "program",
    [
        "while True: print('x' * 1000)",
        "import sys\nwhile True: sys.stderr.write('x' * 1000)",
        "import os\nwhile True: os.write(1, b'\\x00' * 65536)",
    ],
    ids=["stdout", "stderr", "zeros"],
)
def test_endless_output(program: str) -> None:
    outcome = _run(program)
    assert outcome.ending == "output" and outcome.seconds < 2
    assert max(len(outcome.stdout), len(outcome.stderr)) == SMALL.output_kib * 1024


@pytest.mark.parametrize(
    "program",
    [
        "import time; time.sleep(60)",
        "import os, time\nos.close(0); os.close(1); os.close(2)\ntime.sleep(60)",
        "while True: pass",
        "import signal\nsignal.signal(signal.SIGXCPU, signal.SIG_IGN)\nwhile True: pass",
        "import signal, time\nfor n in set(range(1, 32)) - {9, 19}: signal.signal(n, signal.SIG_IGN)\ntime.sleep(60)",
        "import os, time\nif os.fork() == 0:\n    os.setsid()\n    if os.fork() == 0: time.sleep(60)\ntime.sleep(60)",
    ],
    ids=["sleep", "closed streams", "busy", "deaf to SIGXCPU", "deaf to all", "daemon"],
)
def test_going_on_for_ever(program: str) -> None:
    outcome = _run(program)
    assert outcome.ending == "timeout" and outcome.seconds < 4
    _nothing_left()


def test_a_daemon_does_not_outlive_its_program() -> None:
    program = "import os, time\nif os.fork() == 0:\n    os.setsid()\n    os.close(1); os.close(2)\n    time.sleep(60)\n"
    outcome = _run(program + "else: print('done')")
    assert (outcome.ending, outcome.status, outcome.stdout) == ("exit", 0, b"done\n")
    _nothing_left()


@pytest.mark.parametrize(
    "call", ["unshare(0x10000000)", "mount(b'a', b'/tmp', b'tmpfs', 0, 0)", "setns(0, 0)", "ptrace(0, 0, 0, 0)"]
)
def test_kernel_doors_are_shut(call: str) -> None:
    outcome = _run(f"import ctypes\nlibc = ctypes.CDLL(None, use_errno=True)\nprint(libc.{call}, ctypes.get_errno())")
    assert outcome.stdout.startswith(b"-1 ") or outcome.status != 0


def test_killing_everybody_and_other_verdicts() -> None:
    outcome = _run("import os\nos.kill(-1, 9)\nprint('alive')")
    assert outcome.ending == "exit"
    assert outcome.stdout == b"alive\n" or outcome.status == 137 or b"No such process" in outcome.stderr
    assert _run("import os\nos.kill(os.getpid(), 11)").status == 128 + 11
    assert code.code(_problem(tests=SUMS[:1]), _fenced("import sys\nprint(3)\nsys.exit(3)")).detail == (
        "0/1 tests passed; test 1: exit status 3: "
    )


def test_a_machine_without_bubblewrap_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> str:
        raise sandbox.SandboxUnavailable("bubblewrap is missing")

    monkeypatch.setattr(sandbox, "bubblewrap", missing)
    expected = Score(value=0.0, verdict="error", detail="bubblewrap is missing")
    assert code.code(_problem(tests=SUMS), _fenced(SUM)) == expected


def _nothing_left() -> None:
    """No process of ours has the sandbox's program on its command line."""
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        left = [p for p in psutil.Process().children(recursive=True) if p.status() != psutil.STATUS_ZOMBIE]
        left = [p for p in left if any("/code/program" in argument for argument in p.cmdline())]
        if not left:
            return
        time.sleep(0.05)
    raise AssertionError(left)
