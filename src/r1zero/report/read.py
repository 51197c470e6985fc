"""A run folder as values."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from r1zero.run.metrics import read_metrics


@dataclass(frozen=True, slots=True)
class Curve:
    """One metric over steps."""

    name: str
    steps: list[int]
    values: list[float]


@dataclass(frozen=True, slots=True)
class Answered:
    """A held-out problem with the responses of one evaluation."""

    question: str
    answer: str
    greedy: str
    sampled: tuple[str, ...]
    right: tuple[bool, ...]  # of the sampled responses

    @property
    def share_right(self) -> float:
        return sum(self.right) / len(self.right)


def curves(run: Path, names: list[str]) -> list[Curve]:
    """The metrics that were recorded, in the order of `names`."""
    records = read_metrics(run / "metrics.jsonl") if (run / "metrics.jsonl").exists() else []
    found = []
    for name in names:
        points = [(int(record["step"]), record[name]) for record in records if record.get(name) is not None]
        if points:
            found.append(Curve(name, [step for step, _ in points], [value for _, value in points]))
    return found


def evaluations(run: Path) -> list[tuple[int, dict[str, float]]]:
    """(step, metrics) of every evaluation, in order."""
    files = sorted((run / "evaluations").glob("step_*.json"))
    return [(int(file.stem.removeprefix("step_")), json.loads(file.read_text())) for file in files]


def answers(run: Path, step: int) -> dict[str, Answered]:
    """What one evaluation answered, by problem id."""
    records = list(_lines(run / "evaluations" / f"step_{step:06d}.jsonl"))
    greedy = {record["problem"]: record["rollouts"][0]["text"] for record in records if record["kind"] == "greedy"}
    return {
        record["problem"]: Answered(
            question=record["question"],
            answer=record["answer"],
            greedy=greedy.get(record["problem"], ""),
            sampled=tuple(rollout["text"] for rollout in record["rollouts"]),
            right=tuple(rollout["accuracy"] == 1 for rollout in record["rollouts"]),
        )
        for record in records
        if record["kind"] == "sampled"
    }


def _lines(file: Path) -> Iterator[dict[str, Any]]:
    with file.open(encoding="utf-8") as lines:
        for line in lines:
            yield json.loads(line)
