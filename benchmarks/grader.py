"""How many answers a second does a core grade, and how much faster is that than math-verify called naively?

python benchmarks/grader.py [--answers 2000] [--solutions ../shared/data/verifier_gsm8k_solutions.jsonl]

The solutions are GSM8K responses with a `gold`, an `answer` and an `expected` column. Three ways to grade them take
turns, so a slow minute of the machine hits all of them: math-verify's `parse` and `verify` as its README shows,
`r1zero.rewards.math`, both in this one process, and the same judgement behind the grading pool. Rates are per second of
wall-clock time and process, and per second of processor time of all processes that take part, which is a core's rate
even while the machine does something else.
"""

from __future__ import annotations

import argparse
import json
import logging
import random
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import psutil
from results import save

from r1zero.base import device
from r1zero.grading.pool import ScorerPool
from r1zero.rewards.math import judge
from r1zero.types import Problem

SOLUTIONS = Path(__file__).parent.parent.parent / "shared" / "data" / "verifier_gsm8k_solutions.jsonl"
TURNS = 5
# reference answer, and a response's way of writing it
ANSWERS = {
    "integers": ("{n}", "{n}"),
    "fractions": ("\\frac{{{n}}}{{7}}", "{n}/7"),
    "expressions": ("x^2+{n}x+1", "1 + {n} x + x^{{2}}"),
}


def rate(pool: ScorerPool, verifier: str, kind: str, count: int) -> float:
    """Answers a second; one in four is wrong."""
    reference, written = ANSWERS[kind]
    numbers = random.Random(0)
    jobs = []
    for index in range(count):
        right = numbers.randrange(2, 10_000)
        said = right + (index % 4 == 0)
        problem = Problem(id=str(index), question="", answer=reference.format(n=right), source="")
        jobs.append((problem, f"<think>so</think><answer>\\boxed{{{written.format(n=said)}}}</answer>"))
    pool.submit(verifier, *jobs[0]).result()  # the worker has started
    start = time.perf_counter()
    scores = [pool.submit(verifier, *job) for job in jobs]
    right = sum(score.result().value > 0 for score in scores)
    seconds = time.perf_counter() - start
    if right != sum(index % 4 != 0 for index in range(count)):
        raise SystemExit(f"{verifier} on {kind}: {right} of {count} judged right: the grader is wrong")
    return count / seconds


def naive(rows: list[dict[str, Any]]) -> list[bool]:
    """math-verify as its README shows it, its own time limits on."""
    from math_verify import parse, verify

    return [bool(verify(parse(row["gold"]), parse(row["answer"]))) for row in rows]


def ours(rows: list[dict[str, Any]]) -> list[bool]:
    return [judge(row["gold"], row["answer"]).outcome == "right" for row in rows]


def pooled(pool: ScorerPool, rows: list[dict[str, Any]]) -> list[bool]:
    problems = [Problem(id=row["id"], question="", answer=row["gold"], source="") for row in rows]
    scores = [pool.submit("math", problem, row["answer"]) for problem, row in zip(problems, rows, strict=True)]
    return [score.result().value == 1.0 for score in scores]


def processor_seconds() -> float:
    """Of this process and all it started, whether they still run or not."""
    servers = psutil.Process().children()
    workers = [worker for server in servers for worker in server.children()]
    ended = sum(server.cpu_times().children_user + server.cpu_times().children_system for server in servers)
    running = sum(process.cpu_times().user + process.cpu_times().system for process in (*servers, *workers))
    return time.process_time() + ended + running


def solutions(path: Path, pool: ScorerPool, workers: int) -> dict[str, float]:
    """Prints rates, their ratios to math-verify's, and shares of right verdicts; one turn to warm up is thrown away."""
    rows = [json.loads(line) for line in path.open()]
    ways: dict[str, Callable[[], list[bool]]] = {
        "math-verify": lambda: naive(rows),
        "r1zero": lambda: ours(rows),
        "r1zero, pool": lambda: pooled(pool, rows),
    }
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    processor: dict[str, float] = dict.fromkeys(ways, 0.0)
    verdicts: dict[str, list[bool]] = {}
    for turn in range(TURNS + 1):
        for name, grade in ways.items():
            start, used = time.perf_counter(), processor_seconds()
            verdicts[name] = grade()
            if turn:
                seconds[name].append(time.perf_counter() - start)
                processor[name] += processor_seconds() - used
    flat: dict[str, float] = {}
    print(f"\n| {len(rows)} solutions | processes | graded/s per process | ratio | graded/s per core | ratio | right |")
    print("|---|--:|--:|--:|--:|--:|--:|")
    for name in ways:
        processes = workers if name == "r1zero, pool" else 1
        per_process = len(rows) / median(seconds[name]) / processes
        per_core = TURNS * len(rows) / processor[name]
        agree = [said == row["expected"] for said, row in zip(verdicts[name], rows, strict=True)]
        right = sum(agree) / len(rows)
        flat[f"solutions/{name}"], flat[f"solutions/{name}/core"] = per_process, per_core
        flat[f"solutions/{name}/right"] = right
        ratio = per_process / flat["solutions/math-verify"]
        core_ratio = flat[f"solutions/{name}/core_ratio"] = per_core / flat["solutions/math-verify/core"]
        print(
            f"| {name} | {processes} | {per_process:,.0f} | {ratio:.1f}x | {per_core:,.0f} | {core_ratio:.1f}x "
            f"| {right:.4f} |"
        )
    flat["solutions/ratio"] = flat["solutions/r1zero"] / flat["solutions/math-verify"]
    return flat


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--answers", type=int, default=2000)
    parser.add_argument("--workers", type=int, default=device.usable_cores())
    parser.add_argument("--solutions", type=Path, default=SOLUTIONS)
    arguments = parser.parse_args()
    logging.disable(logging.WARNING)
    flat: dict[str, float] = {"workers": arguments.workers}
    print("| verifier | answers | graded/s per worker |\n|---|---|--:|")
    with ScorerPool(workers=arguments.workers, timeout_seconds=10, memory_mib=1024) as pool:
        for verifier in ("acc", "base_acc", "math"):
            for kind in ANSWERS:
                per_worker = rate(pool, verifier, kind, arguments.answers) / arguments.workers
                print(f"| {verifier} | {kind} | {per_worker:,.0f} |")
                flat[f"{verifier}/{kind}"] = per_worker
        if arguments.solutions.exists():
            flat |= solutions(arguments.solutions, pool, arguments.workers)
        else:
            print(f"{arguments.solutions} is not here: no comparison with math-verify")
    save(__file__, flat)


if __name__ == "__main__":
    main()
