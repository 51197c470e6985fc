"""A grading process: reads one job per line, writes one verdict per line, until its socket is closed.

Forked by `fork_server.py`. Each job carries its limits. The kernel enforces them too, so that a worker whose farm is
gone still ends: processor time by ITIMER_PROF (SIGPROF), wall-clock time by ITIMER_REAL (SIGALRM) a little after the
farm would have killed it.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import socket
import time
import traceback
from typing import Any

from r1zero.grading import wire
from r1zero.rewards.catalog import file_of, verifier
from r1zero.types import Score

_GRACE_SECONDS = 2.0  # the farm kills first and knows why


def serve(connection: socket.socket, memory_mib: int) -> None:
    """Judge until the other side closes the connection."""
    # only the soft limit: a verifier that starts a program of its own gives it limits of its own
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    resource.setrlimit(resource.RLIMIT_AS, (memory_mib * 2**20, hard))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for number in (signal.SIGALRM, signal.SIGPROF, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    with connection.makefile("rb") as jobs, connection.makefile("wb") as verdicts:
        for line in jobs:
            job = json.loads(line)
            signal.setitimer(signal.ITIMER_REAL, job["seconds"] + _GRACE_SECONDS)
            signal.setitimer(signal.ITIMER_PROF, job["cpu_seconds"])
            start = time.perf_counter()
            score = _judge(job)
            seconds = time.perf_counter() - start
            signal.setitimer(signal.ITIMER_PROF, 0)
            signal.setitimer(signal.ITIMER_REAL, 0)
            verdicts.write(json.dumps({"job": job["job"], "seconds": seconds, **score}).encode() + b"\n")
            verdicts.flush()


def _judge(job: dict[str, Any]) -> dict[str, Any]:
    try:
        score = verifier(job["verifier"]).verify(wire.read_problem(job["problem"]), job["text"])
        return wire.score_fields(score)
    except MemoryError:
        return wire.score_fields(Score(value=0.0, verdict="error", detail="out of memory"))
    except BaseException as error:  # math-verify raises from BaseException too; a verifier's failure is a verdict
        detail = f"{type(error).__name__}: {error}{_where(error, job['verifier'])}"
        return wire.score_fields(Score(value=0.0, verdict="error", detail=detail))


def _where(error: BaseException, name: str) -> str:
    """The line of a user's own file that failed. Example: ` (line 12 of my_rewards.py)`."""
    file = os.path.realpath(os.path.expanduser(file_of(name)))
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == file]
    return f" (line {frames[-1].lineno} of {os.path.basename(file)})" if frames else ""


def close_everything_but(descriptor: int) -> None:
    """Standard streams to /dev/null, all else closed: a fork must not hold another worker's socket."""
    null = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(null, stream)
    os.closerange(3, descriptor)
    os.closerange(descriptor + 1, 1 << 16)
