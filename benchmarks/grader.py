"""How many answers a second does a core grade, through the pool with its limits?

python benchmarks/grader.py [--answers 2000]
"""

from __future__ import annotations

import argparse
import json
import random
import time
from pathlib import Path

from r1zero import device
from r1zero.rewards.pool import ScorerPool
from r1zero.types import Problem

OUT = Path(__file__).parent / "out" / "grader.json"
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--answers", type=int, default=2000)
    parser.add_argument("--workers", type=int, default=device.usable_cores())
    arguments = parser.parse_args()
    flat: dict[str, float] = {"workers": arguments.workers}
    print("| verifier | answers | graded/s per worker |\n|---|---|--:|")
    with ScorerPool(workers=arguments.workers, timeout_seconds=10, memory_mib=1024) as pool:
        for verifier in ("acc", "base_acc"):
            for kind in ANSWERS:
                per_worker = rate(pool, verifier, kind, arguments.answers) / arguments.workers
                print(f"| {verifier} | {kind} | {per_worker:,.0f} |")
                flat[f"{verifier}/{kind}"] = per_worker
    OUT.parent.mkdir(exist_ok=True)
    OUT.write_text(json.dumps(flat, indent=1) + "\n")


if __name__ == "__main__":
    main()
