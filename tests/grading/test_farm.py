"""What may happen to the farm's processes must not happen to its verdicts."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path

import psutil
import pytest

from r1zero.grading import supervisor
from r1zero.grading.pool import ScorerPool
from r1zero.types import Problem, Score

from .contract import POWER_TOWER, SLEEPY, STUCK, check_scorer, farm_of


def _problem(number: int) -> Problem:
    return Problem(id=str(number), question="?", answer=str(number), source="test")


def _graders(run: int) -> list[psutil.Process]:
    """Nurseries and workers of a run: one farm for r1zero's own verifiers, one for the file that the test names."""
    family = psutil.Process(run).children(recursive=True)
    return [process for process in family if process.name() != "bwrap"]


@pytest.fixture
def pool() -> Iterator[ScorerPool]:
    with ScorerPool(workers=2, timeout_seconds=5.0, memory_mib=1024) as pool:
        pool.submit("acc", _problem(4), "\\boxed{4}").result()
        yield pool


def test_workers_killed_at_random_lose_and_duplicate_nothing(pool: ScorerPool) -> None:
    """Every third answer is wrong, so a verdict that went to another item, or was made up, would be seen."""
    counts: Counter[int] = Counter()
    futures: dict[Future[Score], int] = {}
    done = threading.Event()
    killed = 0

    def kill() -> None:
        nonlocal killed
        chance = random.Random(0)
        while not done.wait(0.2):
            _, workers = farm_of(pool)
            if workers:
                with contextlib.suppress(psutil.Error):  # the farm was faster
                    chance.choice(workers).kill()
                    killed += 1

    killer = threading.Thread(target=kill)
    killer.start()
    number = 0
    while killed < 8 and number < 200_000:
        number += 1
        future = pool.submit("acc", _problem(number), f"\\boxed{{{number + (number % 3 == 0)}}}")
        futures[future] = number
        future.add_done_callback(lambda future: counts.update([futures[future]]))
        if number % 500 == 0:
            future.result(timeout=60)  # no more waiting than the farm can grade between two kills
    verdicts = {number: future.result(timeout=60) for future, number in futures.items()}
    done.set()
    killer.join()
    assert killed >= 8
    assert counts == Counter(range(1, number + 1))
    wrong = {n: score for n, score in verdicts.items() if score != Score(value=-0.5 if n % 3 == 0 else 1.0)}
    assert not wrong


def test_a_killed_fork_server_is_replaced_and_leaves_no_process(pool: ScorerPool) -> None:
    pool.submit(STUCK, _problem(4), "\\boxed{4}").result()
    fork_server, workers = farm_of(pool, STUCK)
    futures = [pool.submit(STUCK, _problem(number), f"\\boxed{{{number}}}") for number in range(2000)]
    fork_server.kill()
    assert all(future.result(timeout=60) == Score(value=1.0) for future in futures)
    hostile = pool.submit(STUCK, _problem(4), POWER_TOWER)  # forces an `end` order, which the old one cannot hear
    assert hostile.result(timeout=60).verdict == "timeout"
    assert farm_of(pool, STUCK)[0].pid != fork_server.pid
    assert not psutil.wait_procs(workers, timeout=10)[1]


def test_processor_time_is_a_limit_of_its_own() -> None:
    with ScorerPool(workers=1, timeout_seconds=60.0, cpu_seconds=0.5, memory_mib=1024) as pool:
        start = time.monotonic()
        score = pool.submit(STUCK, _problem(4), POWER_TOWER).result(timeout=60)
        assert score == Score(value=0.0, verdict="timeout", detail="more than 0.5 s of processor time")
        assert time.monotonic() - start < 30
        assert pool.submit("acc", _problem(4), "\\boxed{4}").result().value == 1.0


def test_jobs_behind_a_slow_one_are_judged_once_it_is_killed() -> None:
    """With one worker the jobs sent ahead sit in the killed worker's socket."""
    with ScorerPool(workers=1, timeout_seconds=1.0, memory_mib=1024) as pool:
        futures = [pool.submit(STUCK, _problem(n), POWER_TOWER if n == 3 else f"\\boxed{{{n}}}") for n in range(40)]
        verdicts = [future.result(timeout=30).verdict for future in futures]
        assert verdicts == ["timeout" if n == 3 else "graded" for n in range(40)]


def test_the_clock_of_an_item_starts_when_its_worker_begins_it() -> None:
    """Sent ahead or not, no item pays for those before it: all ten together take longer than one may."""
    with ScorerPool(workers=1, timeout_seconds=1.0, memory_mib=1024) as pool:
        fast = [pool.submit(SLEEPY, _problem(n), "0") for n in range(100)]
        slow = [pool.submit(SLEEPY, _problem(n), "0.3") for n in range(10)]
        late = pool.submit(SLEEPY, _problem(0), "30")
        last = [pool.submit(SLEEPY, _problem(n), "0") for n in range(100)]
        assert {future.result(timeout=30).verdict for future in (*fast, *slow, *last)} == {"graded"}
        assert late.result(timeout=30) == Score(value=0.0, verdict="timeout", detail="no verdict within 1 s")


def test_only_the_item_a_killed_worker_was_at_is_marked() -> None:
    """Every worker holds a whole message of jobs when it is killed, and has judged some of them."""
    with ScorerPool(workers=2, timeout_seconds=0.5, memory_mib=1024) as pool:
        for future in [pool.submit(STUCK, _problem(n), f"\\boxed{{{n}}}") for n in range(500)]:
            future.result(timeout=30)
        hostile = {300, 301, 700, 1999}
        futures = [
            pool.submit(STUCK, _problem(n), POWER_TOWER if n in hostile else f"\\boxed{{{n + n % 2}}}")
            for n in range(2000)
        ]
        scores = [future.result(timeout=60) for future in futures]
    assert {n for n, score in enumerate(scores) if score.verdict == "timeout"} == hostile
    assert all(score.value == (-0.5 if n % 2 else 1.0) for n, score in enumerate(scores) if n not in hostile)


def test_submitting_while_the_farm_closes_gives_a_verdict_or_an_error() -> None:
    pool = ScorerPool(workers=2, timeout_seconds=5.0, memory_mib=1024)
    futures: list[Future[Score]] = []
    refused = []

    def submit() -> None:
        try:
            while True:
                futures.append(pool.submit("acc", _problem(4), "\\boxed{4}"))
        except RuntimeError as error:
            refused.append(str(error))

    threads = [threading.Thread(target=submit) for _ in range(4)]
    for thread in threads:
        thread.start()
    time.sleep(0.3)
    pool.close()
    for thread in threads:
        thread.join(timeout=30)
    assert refused == ["the grading farm is closed"] * 4
    assert futures and all(future.result(timeout=0) == Score(value=1.0) for future in futures)


def test_ctrl_c_ends_a_run_and_its_farm_in_order() -> None:
    """The terminal's signal goes to the whole group; verdicts under way still come, and nobody prints a traceback but
    the run."""
    code = (
        "import signal\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # a background shell starts us deaf to it
        "from r1zero.grading.pool import ScorerPool\n"
        "from r1zero.types import Problem\n"
        "problem = Problem(id='p', question='?', answer='4', source='t')\n"
        "with ScorerPool(workers=2, timeout_seconds=60.0, memory_mib=1024) as pool:\n"
        f"    futures = [pool.submit({SLEEPY!r}, problem, '0.1') for _ in range(30)]\n"
        "    futures[0].result()\n"
        "    print('graded', flush=True)\n"
        "    try:\n"
        "        [future.result() for future in futures]\n"
        "    except KeyboardInterrupt:\n"
        "        print('interrupted', flush=True)\n"
        "print({future.result().verdict for future in futures})\n"
    )
    pipe = subprocess.PIPE
    run = subprocess.Popen([sys.executable, "-c", code], stdout=pipe, stderr=pipe, text=True, start_new_session=True)
    assert run.stdout is not None and run.stdout.readline() == "graded\n"
    family = _graders(run.pid)
    os.killpg(run.pid, signal.SIGINT)
    out, errors = run.communicate(timeout=60)
    assert (out, errors, run.returncode) == ("interrupted\n{'graded'}\n", "", 0)
    assert len(family) == 4 and not psutil.wait_procs(family, timeout=10)[1]


def test_a_text_larger_than_any_socket_buffer(pool: ScorerPool) -> None:
    futures = [pool.submit("acc", _problem(4), "x" * 3_000_000 + "\\boxed{4}") for _ in range(8)]
    assert all(future.result(timeout=30) == Score(value=1.0) for future in futures)


def test_nothing_waits_for_the_slowest(pool: ScorerPool) -> None:
    """Not even what was already sent to the worker that is busy with it."""
    for future in [pool.submit(STUCK, _problem(n), f"\\boxed{{{n}}}") for n in range(100)]:
        future.result()  # the farm knows now that this verifier is fast, and sends ahead
    futures = [pool.submit(STUCK, _problem(n), POWER_TOWER if n == 50 else f"\\boxed{{{n}}}") for n in range(1000)]
    slow = futures.pop(50)
    start = time.monotonic()
    assert all(future.result(timeout=30) == Score(value=1.0) for future in futures)
    assert not slow.done() and time.monotonic() - start < 4
    assert slow.result(timeout=30).verdict == "timeout"


def test_memory_too_small_for_any_worker_says_so() -> None:
    with ScorerPool(workers=1, timeout_seconds=5.0, memory_mib=16) as pool:
        for _ in range(2):  # the second is not left waiting either
            score = pool.submit("acc", _problem(4), "\\boxed{4}").result(timeout=60)
            assert score.verdict == "error"
            assert score.detail.startswith("rewards.memory_mib = 16: a worker needs ")


def test_closing_waits_for_verdicts_and_then_refuses() -> None:
    pool = ScorerPool(workers=2, timeout_seconds=5.0, memory_mib=1024)
    futures = [pool.submit("acc", _problem(n), f"\\boxed{{{n}}}") for n in range(200)]
    fork_server, _ = farm_of(pool)
    pool.close()
    pool.close()
    assert all(future.done() for future in futures) and not fork_server.is_running()
    with pytest.raises(RuntimeError, match="^the grading farm is closed$"):
        pool.submit("acc", _problem(4), "")


def test_workers_end_with_a_killed_run() -> None:
    code = (
        "import time\n"
        "from r1zero.grading.pool import ScorerPool\n"
        "from r1zero.types import Problem\n"
        "pool = ScorerPool(workers=2, timeout_seconds=1.0, memory_mib=1024)\n"
        "problem = Problem(id='p', question='?', answer='4', source='t')\n"
        f"futures = [pool.submit({STUCK!r}, problem, text) for text in ({POWER_TOWER!r}, 'x')]\n"
        "futures[1].result()\n"
        "print('graded', flush=True)\n"
        "time.sleep(60)\n"
    )
    run = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert run.stdout is not None and run.stdout.readline() == "graded\n"
    family = _graders(run.pid)
    assert len(family) == 4
    os.kill(run.pid, signal.SIGKILL)
    run.communicate()
    assert not psutil.wait_procs(family, timeout=10)[1]


@pytest.mark.slow
def test_memory_stays_flat(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sympy's caches grow, and workers are replaced before that matters."""
    monkeypatch.setattr(supervisor, "_JOBS_PER_WORKER", 150)
    problem = Problem(id="p", question="?", answer="2 x^2 + x + 1", source="t")
    with ScorerPool(workers=1, timeout_seconds=60.0, memory_mib=1024) as pool:
        sizes, seen = [], set()
        for part in range(6):
            futures = [pool.submit("acc", problem, f"\\boxed{{{n} x^2 + {part} x + 1}}") for n in range(100)]
            assert [future.result().value > 0 for future in futures] == [n == 2 and part == 1 for n in range(100)]
            fork_server, workers = farm_of(pool)
            seen |= {worker.pid for worker in workers}
            sizes.append(sum(process.memory_info().rss for process in (fork_server, *workers)) / 2**20)
    assert len(seen) >= 3
    assert max(sizes) < sizes[0] + 60, sizes


def test_the_farm_keeps_the_contract_of_scorers() -> None:
    check_scorer(lambda: ScorerPool(workers=2, timeout_seconds=2.0, memory_mib=1024))


def test_a_job_that_crashes_its_workers_is_given_up(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A library's crash: SIGSEGV in the worker, whoever judges it."""
    (tmp_path / "sitecustomize.py").write_text(
        "import sys\n"
        "if 'r1zero.grading.fork_server' in ' '.join(sys.orig_argv):\n"
        "    import os, r1zero.rewards.catalog as catalog\n"
        "    crash = lambda problem, text: os.kill(os.getpid(), 11)\n"
        "    catalog.VERIFIERS['boxed'] = catalog.Entry(crash, 'format')\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    with ScorerPool(workers=1, timeout_seconds=5.0, memory_mib=1024) as pool:
        crashing = pool.submit("boxed", _problem(4), "")
        fine = pool.submit("acc", _problem(4), "\\boxed{4}")
        detail = "its worker died 3 times, the last by signal 11"
        assert crashing.result(timeout=60) == Score(value=0.0, verdict="error", detail=detail)
        assert fine.result(timeout=60) == Score(value=1.0)
