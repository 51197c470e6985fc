"""A grading process: reads one job per line on stdin, writes one verdict per line on stdout.

Started by `pool.py` as `python -m r1zero.rewards.worker MEMORY_MIB`. Jobs and verdicts are JSON: nothing a model wrote
is ever unpickled. Each job carries its wall-clock limit, after which the kernel ends this process even if nobody
watches.
"""

from __future__ import annotations

import json
import logging
import os
import resource
import signal
import sys
from typing import Any

from r1zero.rewards.catalog import verifier
from r1zero.types import Message, Problem, Score

_GRACE_SECONDS = 2.0  # the pool kills first and knows why; this alarm is for a worker whose pool is gone


def main() -> None:
    _limit_memory(int(sys.argv[1]))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the run, which closes its workers in order
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    logging.disable(logging.WARNING)
    import math_verify  # noqa: F401 (sympy takes half a second: pay before saying ready)

    verdicts = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # whatever a library prints must not look like a verdict
    _say(verdicts, {"ready": True})
    for line in sys.stdin:
        job = json.loads(line)
        signal.setitimer(signal.ITIMER_REAL, job["seconds"] + _GRACE_SECONDS)
        verdict = _judge(job)
        signal.setitimer(signal.ITIMER_REAL, 0)
        _say(verdicts, verdict)


def _judge(job: dict[str, Any]) -> dict[str, Any]:
    try:
        score = verifier(job["verifier"]).verify(_problem(job["problem"]), job["text"])
    except MemoryError:
        score = Score(value=0.0, verdict="error", detail="out of memory")
    except BaseException as error:  # math-verify raises from BaseException too; a verifier's failure is a verdict
        score = Score(value=0.0, verdict="error", detail=f"{type(error).__name__}: {error}"[:300])
    return {"value": score.value, "verdict": score.verdict, "detail": score.detail}


def _problem(fields: dict[str, Any]) -> Problem:
    question = fields["question"]
    if isinstance(question, list):
        question = tuple(Message(role, content) for role, content in question)
    return Problem(**{**fields, "question": question})


def _limit_memory(mib: int) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (mib * 2**20, mib * 2**20))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _say(stream: Any, message: dict[str, Any]) -> None:
    stream.write(json.dumps(message) + "\n")
    stream.flush()


if __name__ == "__main__":
    main()
