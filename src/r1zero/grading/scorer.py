"""The seam between the loop and whatever scores: the farm on this machine, a server, a model, or one before the other.

`tests/grading/contract.py` says what each scorer must do.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any, Protocol

from r1zero.config import Rewards
from r1zero.types import Problem, Score

# questions to a model, and for each its reply or what failed
Ask = Callable[[Sequence[str]], Sequence[str | Exception]]


class Scorer(Protocol):
    """Usable from any thread; with `with`, closed at the end."""

    def submit(self, name: str, problem: Problem, text: str) -> Future[Score]:
        """One verdict of one verifier, later. Whatever happens the future gets a Score, never an exception. Raises
        UsageError for a verifier that does not exist, RuntimeError after `close`."""
        ...

    def close(self, *, abandon: bool = False) -> None:
        """Wait until everything submitted has its verdict, then release everything. With `abandon` what is still out
        gets the verdict `error` at once; so it is when an exception leaves `with`."""
        ...

    def __enter__(self) -> Scorer: ...

    def __exit__(self, *_: Any) -> None: ...


def rule_scorer(rewards: Rewards) -> Scorer:
    """What runs a recipe's verifiers: the server named in `rewards.remote`, or a farm here."""
    if rewards.remote:
        from r1zero.grading.remote import RemoteScorer

        return RemoteScorer.of(rewards)
    from r1zero.grading.pool import ScorerPool

    return ScorerPool.of(rewards)
