"""The verifiers a recipe can name, and what each measures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from r1zero.errors import UsageError, suggest
from r1zero.rewards import format as layout
from r1zero.rewards import math
from r1zero.types import Problem, Score

Verifier = Callable[[Problem, str], Score]


@dataclass(frozen=True, slots=True)
class Entry:
    """A verifier, what its full mark means for the metrics, and that mark."""

    verify: Verifier
    measures: Literal["accuracy", "format"]
    full_mark: float = 1.0


VERIFIERS: dict[str, Entry] = {
    "acc": Entry(math.acc, "accuracy"),
    "base_acc": Entry(math.base_acc, "accuracy"),
    "strict_format": Entry(layout.strict_format, "format"),
    "boxed": Entry(layout.boxed, "format"),
}


def verifier(name: str, key: str = "rewards.verifier_function") -> Entry:
    """Look a verifier up. Raises UsageError for an unknown name, naming the recipe's key that holds it."""
    if name not in VERIFIERS:
        raise UsageError(f"{key} = '{name}': unknown verifier{suggest(name, VERIFIERS)}")
    return VERIFIERS[name]
