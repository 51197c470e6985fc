"""The verifiers a recipe can name, and what each measures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from r1zero.errors import UsageError, suggest
from r1zero.rewards import code, math
from r1zero.rewards import format as layout
from r1zero.types import Problem, Score

Verifier = Callable[[Problem, str], Score]


@dataclass(frozen=True, slots=True)
class Entry:
    """A verifier, what its full mark means for the metrics, and that mark.

    `seconds` replaces `rewards.timeout_seconds` for a verifier that limits its own work; `answers_pass` says that the
    reference answer, in a box, must earn the full mark, so that rows with unusable answers are found before the run.
    """

    verify: Verifier
    measures: Literal["accuracy", "format", "preference"]
    full_mark: float = 1.0
    seconds: float = 0.0
    answers_pass: bool = True


def _by_a_model(problem: Problem, text: str) -> Score:
    """`scoring/` answers for these names; a worker has no model."""
    raise RuntimeError("reward models score in the training process")


VERIFIERS: dict[str, Entry] = {
    "acc": Entry(math.acc, "accuracy"),
    "base_acc": Entry(math.base_acc, "accuracy"),
    "strict_format": Entry(layout.strict_format, "format"),
    "boxed": Entry(layout.boxed, "format"),
    "code": Entry(code.code, "accuracy", seconds=2 * code.SAMPLE_SECONDS, answers_pass=False),
    "binary_code": Entry(code.binary_code, "accuracy", seconds=2 * code.SAMPLE_SECONDS, answers_pass=False),
    "reward_model": Entry(_by_a_model, "preference", answers_pass=False),
    "process_reward": Entry(_by_a_model, "preference", answers_pass=False),
}


def verifier(name: str) -> Entry:
    """Look a verifier up. Raises UsageError for an unknown name."""
    if name not in VERIFIERS:
        raise UsageError(f"rewards.verifier_function = '{name}': unknown verifier{suggest(name, VERIFIERS)}")
    return VERIFIERS[name]
