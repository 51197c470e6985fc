"""A scorer whose work is worth doing for several items at once: a model's forward pass, a request."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any

from r1zero.rewards.catalog import verifier
from r1zero.types import Problem, Score

Item = tuple[Problem, str]


class BatchScorer:
    """Calls `score` with what has been submitted meanwhile, at most `size` items, in one thread of its own."""

    def __init__(self, name: str, score: Callable[[Sequence[Item]], Sequence[Score]], size: int) -> None:
        self._name, self._score, self._size = name, score, size
        self._jobs: queue.SimpleQueue[tuple[Item, Future[Score]] | None] = queue.SimpleQueue()
        self._closed = self._abandoned = False
        self._lock = threading.Lock()  # nothing may be submitted behind the last None: it would wait for ever
        self._thread = threading.Thread(target=self._serve, name=name, daemon=True)
        self._thread.start()

    def submit(self, name: str, problem: Problem, text: str) -> Future[Score]:
        """See `Scorer`."""
        verifier(name)
        future: Future[Score] = Future()
        future.set_running_or_notify_cancel()
        with self._lock:
            if self._closed:
                raise RuntimeError(f"the scorer of {self._name} is closed")
            self._jobs.put(((problem, text), future))
        return future

    def close(self, *, abandon: bool = False) -> None:
        """See `Scorer`. The batch under way is finished in any case."""
        self._abandoned |= abandon
        with self._lock:
            if not self._closed:
                self._closed = True
                self._jobs.put(None)
        self._thread.join()

    def __enter__(self) -> BatchScorer:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: Any) -> None:
        self.close(abandon=kind is not None)

    def _serve(self) -> None:
        while (job := self._jobs.get()) is not None:
            batch, last = [job], False
            while len(batch) < self._size and not self._jobs.empty():
                if (job := self._jobs.get()) is None:
                    last = True
                    break
                batch.append(job)
            self._settle(batch)
            if last:
                return

    def _settle(self, batch: Sequence[tuple[Item, Future[Score]]]) -> None:
        try:
            if self._abandoned:
                raise InterruptedError("the run was stopped")
            scores = list(self._score([item for item, _ in batch]))
            assert len(scores) == len(batch)
        except Exception as error:  # a text may be too much for a model; the run goes on
            detail = f"{self._name}: {type(error).__name__}: {error}"[:300]
            scores = [Score(value=0.0, verdict="error", detail=detail)] * len(batch)
        for (_, future), score in zip(batch, scores, strict=True):
            future.set_result(score)
