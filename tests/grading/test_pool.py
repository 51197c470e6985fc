"""The pool: whatever the text, every item gets a verdict, within its limits, and the run goes on."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import replace

import psutil
import pytest

from r1zero.base.errors import UsageError
from r1zero.grading import combine
from r1zero.grading.combine import Verifiers
from r1zero.grading.pool import ScorerPool
from r1zero.types import Message, Problem, Score

from .contract import POWER_TOWER, STUCK, farm_of

PROBLEM = Problem(id="p", question="?", answer="4", source="test")


@pytest.fixture(scope="module")
def pool() -> Iterator[ScorerPool]:
    with ScorerPool(workers=2, timeout_seconds=2.0, memory_mib=1024) as pool:
        pool.submit("acc", PROBLEM, "\\boxed{4}").result()
        yield pool


def test_verdicts_come_back_to_their_own_items(pool: ScorerPool) -> None:
    futures = [
        (
            number,
            pool.submit("acc", Problem(id="p", question="?", answer=str(number), source="t"), f"\\boxed{{{answer}}}"),
        )
        for number in range(100)
        for answer in (number, number + 1)
    ]
    values = [future.result().value for _, future in futures]
    assert values == [1.0, -0.5] * 100


def test_hostile_power_times_out_within_its_limit_and_alone(pool: ScorerPool) -> None:
    start = time.monotonic()
    hostile = pool.submit(STUCK, PROBLEM, POWER_TOWER)
    others = [pool.submit("acc", PROBLEM, "\\boxed{4}") for _ in range(20)]
    assert all(future.result() == Score(value=1.0) for future in others)
    assert hostile.result() == Score(value=0.0, verdict="timeout", detail="no verdict within 2 s")
    assert time.monotonic() - start < 6


@pytest.mark.parametrize(
    "text",
    [
        "\\boxed{" + "(" * 50_000 + "}",
        "\\boxed{10^{10^{9}}}",
        "\\boxed{" + "1+" * 30_000 + "1}",
        "\\boxed{\x00\ud800}",
        "x" * 1_000_000 + "\\boxed{4}",
        "\\boxed{__import__('os').system('echo')}",
    ],
    ids=["brackets", "tower", "long sum", "surrogate", "a million characters", "code"],
)
def test_hostile_texts_get_a_verdict(pool: ScorerPool, text: str) -> None:
    score = pool.submit("acc", PROBLEM, text).result(timeout=10)
    assert score.verdict in ("graded", "error", "timeout")
    assert (score.value == 1.0) == text.startswith("xx")


def test_memory_limit_is_a_verdict() -> None:
    with ScorerPool(workers=1, timeout_seconds=20.0, memory_mib=400) as pool:
        score = pool.submit("acc", PROBLEM, "\\boxed{4" + "0" * 100_000_000 + "}").result()
        assert score.verdict == "error"
        assert pool.submit("acc", PROBLEM, "\\boxed{4}").result().value == 1.0


def test_usable_from_threads_and_with_chat_problems(pool: ScorerPool) -> None:
    chat = Problem(id="p", question=(Message("user", "?"),), answer="4", source="t", extra={"when": object()})
    results: list[Score] = []
    threads = [
        threading.Thread(target=lambda: results.append(pool.submit("strict_format", chat, "x").result()))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
    assert results == [Score(value=-0.5)] * 8


def test_no_worker_outlives_its_pool() -> None:
    pool = ScorerPool(workers=2, timeout_seconds=1.0, memory_mib=1024)
    pool.submit(STUCK, PROBLEM, POWER_TOWER).result()
    pool.submit("acc", PROBLEM, "").result()
    found = [farm_of(pool, name) for name in ("acc", STUCK)]
    family = [process for fork_server, workers in found for process in (fork_server, *workers)]
    assert len(family) == 3, "the worker that was stuck has been killed and not needed again"
    pool.close()
    assert not psutil.wait_procs(family, timeout=5)[1]


def test_unknown_verifier(pool: ScorerPool) -> None:
    with pytest.raises(UsageError) as caught:
        pool.submit("strict_fromat", PROBLEM, "")
    assert str(caught.value) == (
        "rewards.verifier_function = 'strict_fromat': unknown verifier; did you mean 'strict_format'?"
    )


def test_weighted_sum_and_worst_verdict(pool: ScorerPool) -> None:
    verifiers = Verifiers({STUCK: 1.0, "strict_format": 0.5})
    good = "<think></think><answer>\\boxed{4}</answer>"
    score = combine.combined(verifiers, PROBLEM, combine.submit(pool, verifiers, PROBLEM, good))
    assert score == Score(value=1.5, parts={STUCK: 1.0, "strict_format": 1.0})
    hostile = combine.combined(verifiers, PROBLEM, combine.submit(pool, verifiers, PROBLEM, POWER_TOWER))
    assert (hostile.value, hostile.parts, hostile.verdict) == (-0.25, {STUCK: 0.0, "strict_format": -0.5}, "timeout")
    assert hostile.detail == f"{STUCK}: no verdict within 2 s"
    assert combine.full_marks(score, "accuracy") == combine.full_marks(score, "format") == 1.0


def test_a_source_may_have_verifiers_of_its_own(pool: ScorerPool) -> None:
    verifiers = Verifiers({"acc": 1.0, "strict_format": 0.5}, {"other.jsonl": {"boxed": 2.0}})
    other = replace(PROBLEM, source="other.jsonl")
    score = combine.combined(verifiers, other, combine.submit(pool, verifiers, other, "It is \\boxed{5}."))
    assert score == Score(value=2.0, parts={"boxed": 1.0})
    assert combine.full_marks(score, "accuracy") is None
    assert combine.full_marks(score, "format") == 1.0
    assert verifiers.first(PROBLEM, "accuracy") == "acc" and verifiers.first(other, "accuracy") is None
    assert verifiers.names() == ["acc", "strict_format", "boxed"]
