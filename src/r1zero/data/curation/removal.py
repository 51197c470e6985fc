"""What a step hands back."""

from __future__ import annotations

from dataclasses import dataclass, field

from r1zero.types import Problem


@dataclass(frozen=True, slots=True, kw_only=True)
class Removal:
    """A problem that a step takes out. `reason` is one of a few, to be counted; `detail` is the evidence, and `like`
    the problem it was compared with."""

    problem: Problem
    reason: str
    detail: str = ""
    like: Problem | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a step leaves, in the order it came, and what it takes out. `notes` are numbers for the report."""

    kept: list[Problem]
    removed: list[Removal]
    notes: dict[str, int | float] = field(default_factory=dict)
