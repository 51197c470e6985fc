"""The grader farm: verifiers run in killable processes, and no text can stop the run.

`ScorerPool` is what others see of it, `foreman.py` the one thread that runs it, `nursery.py` the process that forks
workers, `worker.py` what they do. Scoring overlaps generation: a group's texts are submitted as soon as the engine is
done with them, and the verdicts are futures.
"""

from __future__ import annotations

import json
import threading
from concurrent.futures import Future
from typing import Any

from r1zero.config import Rewards
from r1zero.device import usable_cores
from r1zero.rewards import wire
from r1zero.rewards.catalog import verifier
from r1zero.rewards.foreman import Foreman, Job
from r1zero.types import Problem, Score


class ScorerPool:
    """Grades in worker processes. Usable from any thread; close it (or use `with`) to end the workers.

    A verdict that takes more than `timeout_seconds` of wall-clock time or `cpu_seconds` of processor time (0: the same)
    is `timeout`; one that needs more than `memory_mib` of address space is `error`. A worker that was killed from
    outside or crashed is replaced and its item tried again, up to 20 times and 3 times.
    """

    def __init__(self, *, workers: int, timeout_seconds: float, memory_mib: int, cpu_seconds: float = 0.0) -> None:
        self._seconds, self._cpu_seconds = timeout_seconds, cpu_seconds
        self._foreman = Foreman(workers=workers, memory_mib=memory_mib)
        self._thread = threading.Thread(target=self._foreman.run, name="grader farm", daemon=True)
        self._thread.start()

    @classmethod
    def of(cls, rewards: Rewards) -> ScorerPool:
        return cls(
            workers=rewards.workers or min(8, usable_cores()),
            timeout_seconds=rewards.timeout_seconds,
            memory_mib=rewards.memory_mib,
            cpu_seconds=rewards.cpu_seconds,
        )

    def submit(self, name: str, problem: Problem, text: str) -> Future[Score]:
        """One verdict of one verifier, later; it cannot be cancelled. Raises UsageError for a verifier that does not
        exist, RuntimeError after `close`."""
        own = verifier(name).seconds
        seconds = own or self._seconds
        message = {"verifier": name, "problem": wire.problem_fields(problem), "text": text}
        body = json.dumps(message, default=str).encode()
        job = Job(name, body, seconds, own or self._cpu_seconds or seconds, Future())
        job.future.set_running_or_notify_cancel()
        self._foreman.take(job)
        return job.future

    def close(self) -> None:
        """Wait until everything submitted has its verdict, then end the workers."""
        self._foreman.stop()
        self._thread.join()

    def __enter__(self) -> ScorerPool:
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()
