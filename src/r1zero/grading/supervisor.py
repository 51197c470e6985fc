"""The farm's one thread: hands jobs to workers, watches their limits, and gives every job exactly one verdict.

All state lives in this thread; others only leave jobs in `_arrivals`, the one thing under a lock. A job is in one of
three places: arriving, waiting, or with one worker. A worker that dies gives back what it had not judged.

A message costs more than most judgements. So while there is plenty to do, jobs are sent ahead to every worker in one
message, and verdicts are collected every millisecond and not one by one.
"""

from __future__ import annotations

import contextlib
import json
import selectors
import signal
import socket
import threading
import time
from collections import deque
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from r1zero.base.log import log
from r1zero.grading import wire
from r1zero.grading.contained import Place
from r1zero.grading.fork_server import ForkServer
from r1zero.types import Score

_MOST_AHEAD = 256  # jobs sent ahead to one worker, so that it does not wait for the farm after each ...
_SECONDS_AHEAD = 0.02  # ... as many as it judges in this time ...
_BYTES_AHEAD = 1 << 20  # ... unless they are long
_PATIENCE = 0.1  # a worker that sits over one job for so long loses those sent ahead to others
_GATHERING = 0.001  # seconds between two looks at the workers while there is plenty to do
_JOBS_PER_WORKER = 5000  # then it is replaced: caches of libraries grow
_LONGEST_VERDICT = 1 << 20  # bytes
_CRASHES = 3  # a job whose worker crashed is tried again, so many times in all ...
_KILLS = 20  # ... and one whose worker was killed from outside, which is hardly its fault, more often


@dataclass(slots=True, eq=False)
class Job:
    """One question to one verifier; `body` is its message but for number and limits."""

    verifier: str
    body: bytes
    seconds: float
    cpu_seconds: float
    future: Future[Score]
    deaths: int = 0  # of workers that were at it

    def line(self, number: int) -> bytes:
        limits = b'{"job": %d, "seconds": %.6f, "cpu_seconds": %.6f, ' % (number, self.seconds, self.cpu_seconds)
        return limits + self.body[1:] + b"\n"


@dataclass(slots=True, eq=False)
class _Sent:
    """A job with a worker. One that was given to another worker as well is not `wanted` from this one."""

    number: int
    job: Job
    wanted: bool = True


@dataclass(slots=True, eq=False)
class _Worker:
    pid: int
    socket: socket.socket
    jobs: deque[_Sent] = field(default_factory=deque)  # the first one is being judged
    since: float = 0.0  # when the first one was begun, or a little later: this thread has to hear of it
    outgoing: bytearray = field(default_factory=bytearray)
    incoming: bytearray = field(default_factory=bytearray)
    taken: int = 0

    def deadline(self) -> float:
        return self.since + self.jobs[0].job.seconds if self.jobs else float("inf")

    def patience(self) -> float:
        """When to take back what was sent ahead."""
        behind = len(self.jobs) > 1 and self.jobs[-1].wanted
        return self.since + _PATIENCE if behind else float("inf")

    def ready(self, now: float) -> bool:
        """Whether it may get more: not if it sits over a job or has not read what was sent."""
        stuck = bool(self.jobs) and now >= self.since + _PATIENCE
        return not stuck and len(self.outgoing) < _BYTES_AHEAD


class Supervisor:
    """`run` is the thread; `take` and `stop` are for others."""

    def __init__(self, *, workers: int, memory_mib: int, place: Place) -> None:
        self._lock = threading.Lock()
        self._arrivals: list[Job] = []
        self._open, self._asleep, self._abandoned = True, False, False
        self._size, self._memory_mib = workers, memory_mib
        self._waiting: deque[Job] = deque()
        self._workers: list[_Worker] = []
        self._number = 0
        self._average: dict[str, float] = {}  # verifier -> seconds of a verdict, lately
        self._bell, self._ear = socket.socketpair()
        self._bell.setblocking(False)
        self._ear.setblocking(False)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._ear, selectors.EVENT_READ, None)
        self._place = place

    def take(self, job: Job) -> None:
        """Its future will get a verdict. Raises RuntimeError after `stop`."""
        with self._lock:
            if not self._open:
                raise RuntimeError("the grading farm is closed")
            self._arrivals.append(job)
            self._ring()

    def stop(self, *, abandon: bool) -> None:
        """Finish what there is, or give it up, and end."""
        with self._lock:
            self._open = False
            self._abandoned |= abandon
            self._ring()

    def _busy(self) -> bool:
        return bool(self._arrivals or self._waiting or any(worker.jobs for worker in self._workers))

    def _ring(self) -> None:
        if self._asleep:  # once is enough, and it is no small part of the cost of a job
            self._asleep = False
            with contextlib.suppress(OSError):  # the thread has ended
                self._bell.send(b"!")

    def run(self) -> None:
        try:
            self._server = ForkServer(
                self._memory_mib, self._place, self._size
            )  # a container ends with the thread that made it
            try:
                while not self._abandoned and (self._open or self._busy()):
                    self._turn()
            finally:
                self._server.close()
        except Exception as error:  # a defect of the farm: nobody may wait for ever
            log.exception("the grading farm failed")
            with self._lock:
                self._open = False
            self._fail_everything(f"the grading farm failed: {type(error).__name__}: {error}")
        finally:
            self._fail_everything("the run was stopped")
            for worker in self._workers:
                worker.socket.close()
            self._selector.close()
            self._bell.close()
            self._ear.close()

    def _turn(self) -> None:
        self._hand_out()
        if self._waiting:  # everybody is busy for a while
            time.sleep(_GATHERING)
        for key, events in self._selector.select(self._patience()):
            if key.data is None:
                self._ear.recv(4096)
            elif key.data in self._workers:
                self._attend(key.data, events)
        with self._lock:
            self._asleep = False
            arrived, self._arrivals = self._arrivals, []
        self._waiting += arrived
        now = time.monotonic()
        for worker in [worker for worker in self._workers if worker.deadline() <= now]:
            # its verdict may have come while this thread was kept from running
            self._attend(worker, selectors.EVENT_READ)
            if worker in self._workers and worker.deadline() <= now:
                seconds = worker.jobs[0].job.seconds
                late = Score(value=0.0, verdict="timeout", detail=f"no verdict within {seconds:g} s")
                self._replace(worker, late)
        for worker in self._workers:
            if worker.patience() <= now:
                self._take_back(worker)

    def _patience(self) -> float | None:
        """How long this thread may sleep, in seconds; None: until somebody wakes it."""
        with self._lock:
            if self._arrivals or not (self._open or any(worker.jobs for worker in self._workers)):
                return 0.0
            self._asleep = True
        nearest = min((min(worker.deadline(), worker.patience()) for worker in self._workers), default=float("inf"))
        return None if nearest == float("inf") else max(0.0, nearest - time.monotonic())

    def _hand_out(self) -> None:
        """Waiting jobs to the workers with the fewest, ahead of time only while there is plenty for all."""
        while self._waiting:
            try:
                worker = self._free_worker()
            except OSError as error:
                self._without_server(str(error))
                continue
            if worker is None or len(worker.jobs) > self._ahead():
                return
            self._give(worker)

    def _free_worker(self) -> _Worker | None:
        """The one with the fewest jobs, or a new one. Raises OSError when none can be made."""
        now = time.monotonic()
        staying = [worker for worker in self._workers if worker.taken < _JOBS_PER_WORKER]
        ready = [worker for worker in staying if worker.ready(now)]
        worker = min(ready, key=lambda worker: len(worker.jobs), default=None)
        if (worker is None or worker.jobs) and len(staying) < self._size:
            return self._spawn()
        return worker

    def _ahead(self) -> int:
        """How many jobs a worker may have besides the one that it is at, if the next waiting one comes to them."""
        seconds = self._average.get(self._waiting[0].verifier, 1.0)
        return min(_MOST_AHEAD, int(_SECONDS_AHEAD / max(seconds, 1e-6)), len(self._waiting) // (2 * self._size))

    def _give(self, worker: _Worker) -> None:
        if not worker.jobs:
            worker.since = time.monotonic()
        while self._waiting and len(worker.jobs) <= self._ahead() and len(worker.outgoing) < _BYTES_AHEAD:
            job = self._waiting.popleft()
            self._number += 1
            worker.jobs.append(_Sent(self._number, job))
            worker.taken += 1
            worker.outgoing += job.line(self._number)
        self._send(worker)

    def _send(self, worker: _Worker) -> None:
        """As much as the socket takes now; the rest when it is writable. A dead worker shows itself when read."""
        with contextlib.suppress(BlockingIOError, BrokenPipeError, ConnectionResetError):
            while worker.outgoing:
                del worker.outgoing[: worker.socket.send(worker.outgoing)]
        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if worker.outgoing else 0)
        self._selector.modify(worker.socket, events, worker)

    def _attend(self, worker: _Worker, events: int) -> None:
        if events & selectors.EVENT_WRITE:
            self._send(worker)
        if not events & selectors.EVENT_READ:
            return
        try:
            received = worker.socket.recv(1 << 16)
        except BlockingIOError:
            return
        except ConnectionResetError:
            received = b""
        worker.incoming += received
        *lines, rest = worker.incoming.split(b"\n")
        worker.incoming = rest
        try:
            for line in lines:
                self._accept(worker, json.loads(line))
            if len(rest) > _LONGEST_VERDICT:
                raise ValueError(f"a line of {len(rest)} bytes")
        except (ValueError, KeyError, TypeError, IndexError, RecursionError) as error:
            said = f"its worker gave no verdict but {type(error).__name__}: {error}"[:300]
            self._replace(worker, Score(value=0.0, verdict="error", detail=said))
            return
        if not received or (worker.taken >= _JOBS_PER_WORKER and not worker.jobs):
            self._replace(worker, None)

    def _accept(self, worker: _Worker, verdict: dict[str, Any]) -> None:
        sent = worker.jobs[0]
        if sent.number != verdict["job"]:
            raise ValueError(f"an answer to job {verdict['job']} where {sent.number} was next")
        score, seconds = wire.read_score(verdict), float(verdict["seconds"])
        worker.jobs.popleft()
        worker.since = time.monotonic()
        before = self._average.get(sent.job.verifier, seconds)
        self._average[sent.job.verifier] = 0.9 * before + 0.1 * seconds
        if sent.wanted:
            sent.job.future.set_result(score)

    def _take_back(self, worker: _Worker) -> None:
        """What was sent ahead goes to others. The worker will judge it too, and nobody will listen."""
        behind = [sent for sent in list(worker.jobs)[1:] if sent.wanted]
        for sent in behind:
            sent.wanted = False
        self._waiting.extendleft(sent.job for sent in reversed(behind))

    def _spawn(self) -> _Worker:
        pid, connection = self._server.spawn()
        connection.setblocking(False)
        worker = _Worker(pid, connection)
        self._workers.append(worker)
        self._selector.register(connection, selectors.EVENT_READ, worker)
        return worker

    def _replace(self, worker: _Worker, score: Score | None) -> None:
        """End a worker. The job it was at gets `score`, or what the worker's end says; the others go back in line."""
        self._forget(worker)
        self._workers.remove(worker)
        try:
            status = self._server.end(worker.pid)
        except OSError as error:
            status = -signal.SIGKILL
            self._without_server(str(error))
        if worker.jobs and worker.jobs[0].wanted:
            score = score or _explained(status, worker.jobs[0].job)
            if score is not None:
                worker.jobs.popleft().job.future.set_result(score)
        self._reclaim(worker)

    def _reclaim(self, worker: _Worker) -> None:
        """What a worker that is gone has not judged is next in line."""
        self._waiting.extendleft(sent.job for sent in reversed(worker.jobs) if sent.wanted)
        worker.jobs.clear()

    def _forget(self, worker: _Worker) -> None:
        self._selector.unregister(worker.socket)
        worker.socket.close()

    def _without_server(self, reason: str) -> None:
        """The fork_server is gone: start anew, unless it could not start at all.

        Nobody may kill its workers by number now. They end when their sockets close, or by their alarm.
        """
        started = self._server.started
        self._server.close()
        for worker in self._workers:
            self._forget(worker)
            self._reclaim(worker)
        self._workers.clear()
        if not started:
            self._fail_everything(reason)
        self._server = ForkServer(self._memory_mib, self._place, self._size)

    def _fail_everything(self, reason: str) -> None:
        with self._lock:
            arrived, self._arrivals = self._arrivals, []
        self._waiting += arrived
        for worker in self._workers:
            self._reclaim(worker)
        for job in self._waiting:
            job.future.set_result(Score(value=0.0, verdict="error", detail=reason))
        self._waiting.clear()


def _explained(status: int, job: Job) -> Score | None:
    """The verdict of a job whose worker ended by itself; None if it deserves another attempt."""
    if status == -signal.SIGPROF:
        return Score(value=0.0, verdict="timeout", detail=f"more than {job.cpu_seconds:g} s of processor time")
    if status == -signal.SIGALRM:
        return Score(value=0.0, verdict="timeout", detail=f"no verdict within {job.seconds:g} s")
    job.deaths += 1
    if job.deaths < (_KILLS if status in (-signal.SIGKILL, -signal.SIGTERM) else _CRASHES):
        return None
    how = f"signal {-status}" if status < 0 else f"exit status {status}"
    return Score(value=0.0, verdict="error", detail=f"its worker died {job.deaths} times, the last by {how}")
