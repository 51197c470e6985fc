"""Problems for tests, one per text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from r1zero.data.curation.removal import Outcome
from r1zero.types import Problem


def problems(*texts: str, answer: str = "1", source: str = "train", **extra: Any) -> list[Problem]:
    return [
        Problem(id=f"{source}:{line}", question=text, answer=answer, source=source, line=line, extra=extra)
        for line, text in enumerate(texts, start=1)
    ]


def lines(found: Sequence[Problem]) -> list[int]:
    return [problem.line for problem in found]


def removed(outcome: Outcome) -> dict[int, str]:
    """Line -> reason."""
    return {removal.problem.line: removal.reason for removal in outcome.removed}
