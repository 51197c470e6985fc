"""A scorer whose work is worth doing for several items at once: a model's forward pass."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any

from r1zero.grading.batches import Batches
from r1zero.rewards.catalog import verifier
from r1zero.types import Problem, Score

Item = tuple[Problem, str]


class BatchScorer:
    """Calls `score` with what has been submitted meanwhile, at most `size` items, in one thread of its own."""

    def __init__(self, name: str, score: Callable[[Sequence[Item]], Sequence[Score]], size: int) -> None:
        self._batches = Batches(name, score, size=size)

    def submit(self, name: str, problem: Problem, text: str) -> Future[Score]:
        """See `Scorer`."""
        verifier(name)
        return self._batches.put((problem, text))

    def close(self, *, abandon: bool = False) -> None:
        """See `Scorer`. The batch under way is finished in any case."""
        self._batches.close(abandon=abandon, wait=True)

    def __enter__(self) -> BatchScorer:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: Any) -> None:
        self.close(abandon=kind is not None)
