"""What every scorer must do, wherever the verifiers run."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path

import psutil
import pytest

from r1zero.base.errors import UsageError
from r1zero.grading.pool import ScorerPool
from r1zero.grading.scorer import Scorer
from r1zero.types import Message, Problem, Score

PROBLEM = Problem(id="p", question="?", answer="4", source="test", extra={"when": object()})
STUCK = f"{Path(__file__).parent / 'stuck.py'}:stuck"  # a verifier that hangs on POWER_TOWER
SLEEPY = STUCK.removesuffix("stuck") + "sleepy"
POWER_TOWER = "\\boxed{9^{9^{9^{9}}}}"
CHAT = Problem(id="p", question=(Message("user", "?"),), answer="4", source="test")


def farm_of(pool: ScorerPool, name: str = "acc") -> tuple[psutil.Process, list[psutil.Process]]:
    """The fork_server that grades for a verifier, inside its container, and its workers."""
    supervisor, _ = pool._farms[pool._place(name)]
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if hasattr(supervisor, "_server"):  # its thread makes it
            chain = [psutil.Process(supervisor._server.process.pid)]
            while chain and chain[0].name() == "bwrap":
                chain = chain[0].children()
            if chain and "python" in chain[0].name():
                return chain[0], chain[0].children()
        time.sleep(0.01)
    raise AssertionError(f"no fork_server for {name}")


def check_scorer(make: Callable[[], Scorer]) -> None:
    with make() as scorer:
        _keeps_items_apart(scorer)
        _judges_odd_text(scorer)
        _works_from_threads(scorer)
        with pytest.raises(UsageError, match="^rewards.verifier_function = 'ac': unknown verifier"):
            scorer.submit("ac", PROBLEM, "")
        last = [scorer.submit("acc", PROBLEM, "\\boxed{4}") for _ in range(200)]
    assert all(future.done() and future.result() == Score(value=1.0) for future in last)
    scorer.close()  # twice is fine
    with pytest.raises(RuntimeError, match="closed$"):
        scorer.submit("acc", PROBLEM, "")


def _keeps_items_apart(scorer: Scorer) -> None:
    def ask(number: int, answer: int) -> Future[Score]:
        return scorer.submit(
            "acc", Problem(id="p", question="?", answer=str(number), source="t"), f"\\boxed{{{answer}}}"
        )

    futures = [ask(number, number + wrong) for number in range(150) for wrong in (0, 1)]
    assert [future.result(timeout=60).value for future in futures] == [1.0, -0.5] * 150


def _judges_odd_text(scorer: Scorer) -> None:
    texts = ["", "\\boxed{\x00\ud800}", "é" * 100_000 + "\\boxed{4}", "\n\r\u2028", POWER_TOWER]
    verdicts = [scorer.submit(STUCK, PROBLEM, text).result(timeout=60) for text in texts]
    assert [score.value == 1.0 for score in verdicts] == [False, False, True, False, False]
    assert verdicts[-1].verdict == "timeout"


def _works_from_threads(scorer: Scorer) -> None:
    results: list[Score] = []
    threads = [
        threading.Thread(target=lambda: results.append(scorer.submit("strict_format", CHAT, "x").result(timeout=60)))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [Score(value=-0.5)] * 8
