"""Difficulty buckets: which share of the problems a policy solves, or a level that the data brings, cut at edges."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import replace

from r1zero.base.errors import UsageError, suggest
from r1zero.data.curation.removal import Outcome, Removal
from r1zero.types import Problem

BUCKET = "bucket"


def bucketed(problems: Sequence[Problem], *, column: str, edges: Sequence[float], names: Sequence[str]) -> Outcome:
    """Give every problem the bucket of its value in `column`: names[i] for edges[i-1] <= value < edges[i].

    Problems without a number there are removed. Raises UsageError when no problem has the column.
    """
    assert len(names) == len(edges) + 1
    kept, removed = [], []
    for problem in problems:
        value = _value(problem.extra.get(column))
        if value is None:
            detail = f"column '{column}' holds {problem.extra.get(column)!r}"
            removed.append(Removal(problem=problem, reason="no difficulty", detail=detail[:120]))
            continue
        bucket = names[bisect_right(edges, value)]
        kept.append(replace(problem, extra={**problem.extra, BUCKET: bucket}))
    if problems and not any(column in problem.extra for problem in problems):
        known = {name for problem in problems for name in problem.extra}
        raise UsageError(f"column = '{column}': no problem has it{suggest(column, known) if known else ''}")
    counts = {name: sum(problem.extra[BUCKET] == name for problem in kept) for name in names}
    return Outcome(kept=kept, removed=removed, notes=dict(counts))


def _value(cell: object) -> float | None:
    """A number in a cell. Example: `4.0`, `"4"` and `"Level 4"` are 4."""
    if isinstance(cell, bool) or not isinstance(cell, int | float | str):
        return None
    try:
        value = float(cell.removeprefix("Level ") if isinstance(cell, str) else cell)
    except ValueError:
        return None
    return value if math.isfinite(value) else None
