"""Work that is worth doing for several items at once: a queue, and threads that take from it what has gathered."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Generic, TypeVar

from r1zero.types import Score

Item = TypeVar("Item")


class Batches(Generic[Item]):
    """Calls `score` with what has been put meanwhile, at most `size` items, in `threads` threads. Whatever happens in
    there, every item gets a verdict; `name` says whose it is."""

    def __init__(
        self, name: str, score: Callable[[Sequence[Item]], Sequence[Score]], *, size: int, threads: int = 1
    ) -> None:
        self._name, self._score, self._size = name, score, size
        self._jobs: queue.SimpleQueue[tuple[Item, Future[Score]] | None] = queue.SimpleQueue()
        self._closed = self.abandoned = False
        self._lock = threading.Lock()  # nothing may be put behind the last None: it would wait for ever
        self._threads = [threading.Thread(target=self._serve, name=name, daemon=True) for _ in range(threads)]
        for thread in self._threads:
            thread.start()

    def put(self, item: Item) -> Future[Score]:
        """Its verdict, later. Raises RuntimeError after `close`."""
        future: Future[Score] = Future()
        future.set_running_or_notify_cancel()
        with self._lock:
            if self._closed:
                raise RuntimeError(f"{self._name} is closed")
            self._jobs.put((item, future))
        return future

    def close(self, *, abandon: bool, wait: bool) -> None:
        """No more items. With `abandon` those that wait get the verdict `error`; with `wait` all have theirs then."""
        self.abandoned |= abandon
        with self._lock:
            if not self._closed:
                self._closed = True
                for _ in self._threads:
                    self._jobs.put(None)
        for thread in self._threads if wait else ():
            thread.join()

    def _serve(self) -> None:
        while (job := self._jobs.get()) is not None:
            batch, last = self._gather(job)
            self._settle(batch)
            if last:
                return

    def _gather(self, first: tuple[Item, Future[Score]]) -> tuple[list[tuple[Item, Future[Score]]], bool]:
        """What waits, up to a batch's size; and whether this thread was told to end."""
        batch = [first]
        while len(batch) < self._size:
            try:
                job = self._jobs.get_nowait()
            except queue.Empty:
                break
            if job is None:
                return batch, True
            batch.append(job)
        return batch, False

    def _settle(self, batch: Sequence[tuple[Item, Future[Score]]]) -> None:
        try:
            if self.abandoned:
                raise InterruptedError("the run was stopped")
            scores = list(self._score([item for item, _ in batch]))
            assert len(scores) == len(batch)
        except Exception as error:  # a text may be too much for a model, a server away; the run goes on
            detail = f"{self._name}: {type(error).__name__}: {error}"[:300]
            scores = [Score(value=0.0, verdict="error", detail=detail)] * len(batch)
        for (_, future), score in zip(batch, scores, strict=True):
            future.set_result(score)
