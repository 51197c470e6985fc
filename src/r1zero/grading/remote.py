"""A scorer on another machine: `r1zero serve-rewards` answers there, and here is the client.

    POST URL/score  {"items": [{"id": ..., "verifier": "acc", "problem": {...}, "text": "..."}]}
                    {"scores": [{"id": ..., "value": 1.0, "parts": {}, "verdict": "graded", "detail": ""}]}

The id is a digest of verifier, problem and text. A request that is sent again, as its answer was lost, joins the work
already under way or done; nothing changes for having been asked twice.
"""

from __future__ import annotations

import hashlib
import json
import os
import queue
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from typing import Any

import urllib3

from r1zero.base.errors import UsageError
from r1zero.config import Rewards
from r1zero.grading import wire
from r1zero.grading.http import connections
from r1zero.rewards.catalog import verifier
from r1zero.types import Problem, Score

TOKEN_VARIABLE = "R1ZERO_REWARDS_TOKEN"
LARGEST_BATCH = 64  # items of one request
_Job = tuple[dict[str, Any], Future[Score]]


def digest(item: Mapping[str, Any]) -> str:
    """The id of an item: the same for the same verifier, problem and text."""
    content = {name: item[name] for name in ("verifier", "problem", "text")}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:32]


class RemoteScorer:
    """Scores over HTTP. What is submitted while `at_once` requests are under way travels in one.

    A request that fails is sent again (`grading/http.py`), `attempts` times in all. Then its items are `error`.
    """

    def __init__(
        self,
        url: str,
        *,
        token: str = "",
        at_once: int = 4,
        attempts: int = 10,
        answer_seconds: float = 300.0,
        backoff_seconds: float = 0.5,
    ) -> None:
        self._url = url.rstrip("/") + "/score"
        self._http = connections(
            at_once, token=token, attempts=attempts, answer_seconds=answer_seconds, backoff_seconds=backoff_seconds
        )
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._closed = self._abandoned = False
        self._lock = threading.Lock()  # nothing may be submitted behind the last None: it would wait for ever
        self._threads = [threading.Thread(target=self._serve, daemon=True) for _ in range(at_once)]
        for thread in self._threads:
            thread.start()

    @classmethod
    def of(cls, rewards: Rewards) -> RemoteScorer:
        """Raises UsageError when no scoring server answers there."""
        scorer = cls(rewards.remote, token=os.environ.get(TOKEN_VARIABLE, ""))
        try:
            scorer.check()
        except Exception:
            scorer.close()
            raise
        return scorer

    def check(self) -> None:
        """Raises UsageError unless the server is there and lets us in."""
        where = self._url.removesuffix("/score")
        try:
            answer = self._http.request("GET", where + "/health", retries=3)
        except (urllib3.exceptions.HTTPError, ValueError) as error:
            raise UsageError(f"rewards.remote = '{where}': no answer ({error}); start r1zero serve-rewards") from None
        if answer.status == 401:
            raise UsageError(f"rewards.remote = '{where}': refused; set {TOKEN_VARIABLE} to the server's token")
        if answer.status != 200:
            raise UsageError(f"rewards.remote = '{where}': state {answer.status}; is this r1zero serve-rewards?")

    def submit(self, name: str, problem: Problem, text: str) -> Future[Score]:
        """See `Scorer`."""
        verifier(name)
        fields = json.loads(json.dumps(wire.problem_fields(problem), default=str))
        item = {"verifier": name, "problem": fields, "text": text}
        future: Future[Score] = Future()
        future.set_running_or_notify_cancel()
        job = {"id": digest(item), **item}, future
        with self._lock:
            if self._closed:
                raise RuntimeError("the remote scorer is closed")
            self._jobs.put(job)
        return future

    def close(self, *, abandon: bool = False) -> None:
        """See `Scorer`. A request under way is not waited for when abandoned."""
        self._abandoned |= abandon
        with self._lock:
            if not self._closed:
                self._closed = True
                for _ in self._threads:
                    self._jobs.put(None)
        if not self._abandoned:
            for thread in self._threads:
                thread.join()
        self._http.clear()

    def __enter__(self) -> RemoteScorer:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: Any) -> None:
        self.close(abandon=kind is not None)

    def _serve(self) -> None:
        while (job := self._jobs.get()) is not None:
            batch, last = self._gather(job)
            try:
                if self._abandoned:
                    raise InterruptedError("the run was stopped")
                scores = self._ask([item for item, _ in batch])
            except Exception as error:  # whatever happens, the items get a verdict and the thread lives on
                detail = f"{self._url}: {type(error).__name__}: {error}"[:300]
                scores = [Score(value=0.0, verdict="error", detail=detail)] * len(batch)
            for (_, future), score in zip(batch, scores, strict=True):
                future.set_result(score)
            if last:
                return

    def _gather(self, first: _Job) -> tuple[list[_Job], bool]:
        """What waits, up to a request's size; and whether this thread was told to end."""
        batch = [first]
        while len(batch) < LARGEST_BATCH:
            try:
                job = self._jobs.get_nowait()
            except queue.Empty:
                break
            if job is None:
                return batch, True
            batch.append(job)
        return batch, False

    def _ask(self, items: Sequence[Mapping[str, Any]]) -> list[Score]:
        answer = self._http.request("POST", self._url, json={"items": items})
        if answer.status != 200:
            said = answer.data.decode(errors="replace")[:200]
            raise ConnectionError(f"state {answer.status}: {said}")
        scores = {fields["id"]: wire.read_score(fields) for fields in answer.json()["scores"]}
        return [scores[item["id"]] for item in items]
