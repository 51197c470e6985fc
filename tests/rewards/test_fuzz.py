"""Hostile texts in bulk through the pool: every one gets a verdict, and no process is left."""

from __future__ import annotations

import random
from collections import Counter, deque

import psutil
import pytest

from r1zero.grading.pool import ScorerPool
from r1zero.types import Problem

from .adversarial import negatives
from .test_judgement import PIECES

SCRAPS = [*PIECES, " ", "\n", "\x00", "\ud800", "is", "0", "7", "\\sum_{k=1}^{9}", "\\int", "\\lim_{x\\to0}"]


def scrap(numbers: random.Random, most: int) -> str:
    return "".join(numbers.choice(SCRAPS) for _ in range(numbers.randrange(most)))


def graded(count: int, seed: int, verifiers: tuple[str, ...]) -> Counter[str]:
    """Verdicts of so many random texts, at most 2,000 of them under way at once."""
    numbers = random.Random(seed)
    verdicts: Counter[str] = Counter()
    with ScorerPool(workers=2, timeout_seconds=10, memory_mib=1024) as pool:
        pending = deque()
        for index in range(count):
            gold = scrap(numbers, 8) if index % 3 else str(numbers.randrange(100))
            problem = Problem(id="p", question="?", answer=gold, source="t", extra={"response_tokens": index % 99})
            text = gold + scrap(numbers, 9) if index % 4 == 0 else scrap(numbers, 15)
            pending.append(pool.submit(verifiers[index % len(verifiers)], problem, text))
            if len(pending) > 2000:
                verdicts[pending.popleft().result(timeout=60).verdict] += 1
        verdicts.update(future.result(timeout=60).verdict for future in pending)
    return verdicts


def farms() -> list[psutil.Process]:
    """Nurseries and workers: a fork keeps its parent's command line."""
    family = psutil.Process().children(recursive=True)
    return [child for child in family if "r1zero.grading.fork_server" in " ".join(child.cmdline())]


VERIFIERS = ("math", "acc", "base_acc", "acc_for_dapo", "orz", "multiple_choice", "numeric", "cosine", "exact_match")


def test_random_texts() -> None:
    before = len(farms())
    verdicts = graded(2000, seed=1, verifiers=VERIFIERS)
    assert set(verdicts) <= {"graded", "unverifiable"} and verdicts.total() == 2000
    assert len(farms()) == before


@pytest.mark.slow
def test_a_hundred_thousand_random_texts() -> None:
    before = len(farms())
    verdicts = graded(100_000, seed=2, verifiers=VERIFIERS)
    assert verdicts["error"] == 0 and verdicts["timeout"] <= 5 and verdicts.total() == 100_000
    assert len(farms()) == before


def test_generated_negatives_within_their_limits() -> None:
    """Also those that need the pool: sums of 10^12 terms and integrals without a closed form."""
    with ScorerPool(workers=2, timeout_seconds=10, memory_mib=1024) as pool:
        jobs = [
            item for item in negatives(3) if item.kind in ("sums", "integrals", "tower", "factorials", "long", "roots")
        ]
        futures = [
            pool.submit("math", Problem(id="p", question="?", answer=item.gold, source="t"), item.response)
            for item in jobs
        ]
        scores = [future.result(timeout=120) for future in futures]
    assert [job.kind for job, score in zip(jobs, scores, strict=True) if score.value != 0.0] == []
    assert {score.verdict for score in scores} == {"graded"}
