"""The grader farm: verifiers run in killable processes, and no text can stop the run.

`ScorerPool` is what others see of it, `supervisor.py` the one thread that runs it, `fork_server.py` the process that
forks workers, `worker.py` what they do. Scoring overlaps generation: a group's texts are submitted when the engine is
done with them, and the verdicts are futures.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterable
from concurrent.futures import Future
from typing import Any

from r1zero.base.device import usable_cores
from r1zero.config import Rewards
from r1zero.grading import contained, wire
from r1zero.grading.contained import Place
from r1zero.grading.supervisor import Job, Supervisor
from r1zero.rewards.catalog import file_of, foreign, verifier
from r1zero.types import Problem, Score

_OWN, _FOREIGN = Place("contained"), Place("contained", apart="other projects' scorers")
_PLAIN = Place("plain")


class ScorerPool:
    """Grades in worker processes. Usable from any thread; close it (or use `with`) to end the workers.

    A verdict that takes more than `timeout_seconds` of wall-clock time or `cpu_seconds` of processor time (0: the same)
    is `timeout`; one that needs more than `memory_mib` of address space is `error`. A worker that was killed from
    outside or crashed is replaced and its item tried again, up to 20 times and 3 times.

    Workers are contained (`contained.py`), those of each file of verifiers apart from all others; what `uncontained`
    names runs outside, with the environment of this process.
    """

    def __init__(
        self,
        *,
        workers: int,
        timeout_seconds: float,
        memory_mib: int,
        cpu_seconds: float = 0.0,
        uncontained: Iterable[str] = (),
    ) -> None:
        self._seconds, self._cpu_seconds = timeout_seconds, cpu_seconds
        self._workers, self._memory_mib, self._uncontained = workers, memory_mib, frozenset(uncontained)
        self._lock = threading.Lock()
        self._closed = False
        self._farms: dict[Place, tuple[Supervisor, threading.Thread]] = {}
        self._farm(self._own())  # most runs need it, and its start takes a second

    @classmethod
    def of(cls, rewards: Rewards) -> ScorerPool:
        return cls(
            workers=rewards.workers or min(8, usable_cores()),
            timeout_seconds=rewards.timeout_seconds,
            memory_mib=rewards.memory_mib,
            cpu_seconds=rewards.cpu_seconds,
            uncontained=rewards.uncontained,
        )

    def submit(self, name: str, problem: Problem, text: str) -> Future[Score]:
        """One verdict of one verifier, later; it cannot be cancelled. Raises UsageError for a verifier that does not
        exist or that nothing contains here, RuntimeError after `close`."""
        own = verifier(name).seconds
        seconds = own or self._seconds
        message = {"verifier": name, "problem": wire.problem_fields(problem), "text": text}
        body = json.dumps(message, default=str).encode()
        job = Job(name, body, seconds, own or self._cpu_seconds or seconds, Future())
        job.future.set_running_or_notify_cancel()
        self._farm(self._place(name)).take(job)
        return job.future

    def close(self, *, abandon: bool = False) -> None:
        """See `Scorer`. Ends the workers."""
        with self._lock:
            self._closed = True
        for supervisor, _ in self._farms.values():
            supervisor.stop(abandon=abandon)
        for _, thread in self._farms.values():
            thread.join()

    def _place(self, name: str) -> Place:
        """Where a verifier runs."""
        if name in self._uncontained:
            return Place("trusted", apart=file_of(name))
        if verifier(name).contains_itself:
            return _PLAIN
        if not foreign(name):
            return self._own()
        contained.refuse_uncontained([name], ())
        if not (file := file_of(name)):
            return _FOREIGN
        return Place("contained", (os.path.dirname(os.path.abspath(os.path.expanduser(file))),))

    @staticmethod
    def _own() -> Place:
        """Of verifiers that run nothing they read: contained where that is possible."""
        return _PLAIN if contained.unavailable() else _OWN

    def _farm(self, place: Place) -> Supervisor:
        with self._lock:
            if place not in self._farms:
                if self._closed:
                    raise RuntimeError("the grading farm is closed")
                supervisor = Supervisor(workers=self._workers, memory_mib=self._memory_mib, place=place)
                thread = threading.Thread(target=supervisor.run, name="grader farm", daemon=True)
                self._farms[place] = supervisor, thread
                thread.start()
            return self._farms[place][0]

    def __enter__(self) -> ScorerPool:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: Any) -> None:
        self.close(abandon=kind is not None)
