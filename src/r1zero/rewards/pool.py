"""The grading pool: verifiers run in killable processes, and no text can stop the run.

One thread watches one worker process. A worker that exceeds the wall-clock limit or dies is killed and replaced; only
the item it was at gets the verdict `timeout` or `error`.
"""

from __future__ import annotations

import json
import os
import queue
import select
import subprocess
import sys
import threading
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from r1zero.config import Rewards
from r1zero.device import usable_cores
from r1zero.rewards.catalog import verifier
from r1zero.types import Problem, Score

_START_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class _Job:
    verifier: str
    problem: Problem
    text: str
    future: Future[Score]

    def line(self, seconds: float) -> bytes:
        question = self.problem.question
        problem = {
            "id": self.problem.id,
            "question": question if isinstance(question, str) else [(turn.role, turn.content) for turn in question],
            "answer": self.problem.answer,
            "source": self.problem.source,
            "line": self.problem.line,
            "extra": dict(self.problem.extra),
        }
        message = {"verifier": self.verifier, "problem": problem, "text": self.text, "seconds": seconds}
        return json.dumps(message, default=str).encode() + b"\n"


class ScorerPool:
    """Grades in worker processes. Usable from any thread; close it (or use `with`) to end the workers."""

    def __init__(self, *, workers: int, timeout_seconds: float, memory_mib: int) -> None:
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._threads = [
            threading.Thread(target=self._serve, args=(timeout_seconds, memory_mib), daemon=True)
            for _ in range(workers)
        ]
        for thread in self._threads:
            thread.start()

    @classmethod
    def of(cls, rewards: Rewards) -> ScorerPool:
        workers = rewards.workers or min(8, usable_cores())
        return cls(workers=workers, timeout_seconds=rewards.timeout_seconds, memory_mib=rewards.memory_mib)

    def submit(self, name: str, problem: Problem, text: str) -> Future[Score]:
        """One verdict of one verifier, later. Raises UsageError for a verifier that does not exist."""
        verifier(name)
        job = _Job(name, problem, text, Future())
        self._jobs.put(job)
        return job.future

    def close(self) -> None:
        """Let the queue run empty, then end the workers."""
        for _ in self._threads:
            self._jobs.put(None)
        for thread in self._threads:
            thread.join()

    def __enter__(self) -> ScorerPool:
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    def _serve(self, timeout_seconds: float, memory_mib: int) -> None:
        worker: _Worker | None = None
        while (job := self._jobs.get()) is not None:
            try:
                worker = worker or _Worker(memory_mib)
                score = worker.judge(job, timeout_seconds)
            except Exception as error:  # whatever happens, the item gets a verdict and the thread lives on
                score = Score(value=0.0, verdict="error", detail=f"{type(error).__name__}: {error}")
            if worker is not None and not worker.usable:
                worker.end()
                worker = None
            job.future.set_result(score)
        if worker is not None:
            worker.end()


class _Worker:
    """One process and the line protocol to it."""

    def __init__(self, memory_mib: int) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "r1zero.rewards.worker", str(memory_mib)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
            start_new_session=True,
        )
        self.usable = True
        if self._read(_START_SECONDS) is None:
            self.usable = False
            raise RuntimeError(
                f"a grading worker did not start within {_START_SECONDS:.0f} s (memory_mib = {memory_mib})"
            )

    def judge(self, job: _Job, seconds: float) -> Score:
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(job.line(seconds))
            self.process.stdin.flush()
            verdict = self._read(seconds)
        except BrokenPipeError:
            verdict = {}
        if verdict is None:
            self.usable = False
            return Score(value=0.0, verdict="timeout", detail=f"no verdict within {seconds:g} s")
        if not verdict:
            self.usable = False
            return Score(value=0.0, verdict="error", detail=f"the worker ended ({self.process.wait()})")
        return Score(value=verdict["value"], verdict=verdict["verdict"], detail=verdict["detail"])

    def end(self) -> None:
        self.process.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout):
            assert stream is not None
            try:
                stream.close()
            except BrokenPipeError:
                continue  # bytes that a dead worker will never read

    def _read(self, seconds: float) -> dict[str, Any] | None:
        """The next line; None when it does not come in time, {} when the process has ended."""
        assert self.process.stdout is not None
        if not select.select([self.process.stdout], [], [], seconds)[0]:
            return None
        line = self.process.stdout.readline()
        return json.loads(line) if line else {}
