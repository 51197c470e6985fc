"""The run folder: the whole truth of a run.

config.yaml        the resolved recipe          rollouts/       every rollout of every step
environment.json   versions, commit, hardware   checkpoints/    complete or absent
metrics.jsonl      one record per step          evaluations/    every graded answer
tensorboard/       the same                     quarantine.jsonl  rows that were not used, and why
events.jsonl       what happened when           run.log         what was printed
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from r1zero.config import dump
from r1zero.config.schema import Section
from r1zero.data.problems import Rejected
from r1zero.device import Device
from r1zero.errors import UsageError
from r1zero.log import log

_PACKAGES = (
    "r1zero",
    "torch",
    "transformers",
    "tokenizers",
    "safetensors",
    "numpy",
    "math-verify",
    "sympy",
    "datasets",
)


class RunFolder:
    """Paths inside a run folder, and the small files written once."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.checkpoints = path / "checkpoints"
        self.rollouts = path / "rollouts"
        self.evaluations = path / "evaluations"
        self.quarantine = path / "quarantine.jsonl"
        self.metrics = path / "metrics.jsonl"
        self.log = path / "run.log"
        self._events = path / "events.jsonl"

    @classmethod
    def create(cls, path: Path, *, resume: bool) -> RunFolder:
        """Make the folder, or enter an existing one to resume. Raises UsageError if it holds a run already or cannot be
        written. A start that fails before the first step does not make it a run: `begin` does."""
        folder = cls(path)
        if folder.begun and not resume:
            raise UsageError(
                f"run.dir = '{path}': holds a run already; continue it with --resume or choose another folder"
            )
        if path.exists() and not path.is_dir():
            raise UsageError(f"run.dir = '{path}': is a file; choose another folder")
        try:
            for inner in (folder.checkpoints, folder.rollouts, folder.evaluations):
                inner.mkdir(parents=True, exist_ok=True)
            if not os.access(path, os.W_OK):
                raise PermissionError(13, "Permission denied")
            folder.quarantine.unlink(missing_ok=True)  # written anew by every start
        except OSError as error:
            raise UsageError(
                f"run.dir = '{path}': cannot be written: {error.strerror}; choose another folder"
            ) from None
        return folder

    def checkpoint(self, step: int) -> Path:
        return self.checkpoints / f"step_{step:06d}"

    def event(self, name: str, **details: Any) -> None:
        with self._events.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"time": time.strftime("%Y-%m-%dT%H:%M:%S"), "event": name, **details}) + "\n")

    @property
    def begun(self) -> bool:
        return (self.path / "config.yaml").exists()

    def begin(self, recipe: Section, device: Device) -> None:
        """Save the resolved recipe and the environment of this start."""
        if self.begun:
            self._note_changes(recipe)
        (self.path / "config.yaml").write_text(dump(recipe), encoding="utf-8")
        environment = {
            "command": sys.argv,
            "device": device.describe(),
            "platform": platform.platform(),
            "python": platform.python_version(),
            "packages": {name: importlib.metadata.version(name) for name in _PACKAGES},
            "commit": _commit(),
        }
        (self.path / "environment.json").write_text(json.dumps(environment, indent=1))

    def quarantine_rows(self, rejected: Sequence[Rejected]) -> None:
        """Keep rows that are not used, with line and reason, and say how many."""
        if not rejected:
            return
        self.path.mkdir(parents=True, exist_ok=True)
        with self.quarantine.open("a", encoding="utf-8") as out:
            for row in rejected:
                entry = {"source": row.source, "line": row.line, "reason": row.reason, "row": row.columns}
                out.write(json.dumps(entry, ensure_ascii=False, default=str) + "\n")
        self.event("rows not used", count=len(rejected))
        log.warning(f"{len(rejected)} rows are not used, the first because {rejected[0].reason}; see {self.quarantine}")

    def write_rollouts(self, step: int, records: Iterable[Mapping[str, Any]]) -> None:
        _write_lines(self.rollouts / f"step_{step:06d}.jsonl", records)

    def write_evaluation(
        self,
        step: int,
        metrics: Mapping[str, float],
        sampled: Iterable[Mapping[str, Any]],
        greedy: Iterable[Mapping[str, Any]],
    ) -> None:
        """Answers first, numbers last: an evaluation counts once its numbers are there."""
        answers = [{"kind": kind, **record} for kind, of in (("sampled", sampled), ("greedy", greedy)) for record in of]
        _write_lines(self.evaluations / f"step_{step:06d}.jsonl", answers)
        _write_lines(self.evaluations / f"step_{step:06d}.json", [metrics])

    def evaluated(self, step: int) -> bool:
        return (self.evaluations / f"step_{step:06d}.json").exists()

    def forget_after(self, step: int) -> None:
        """Delete rollouts and evaluations later than a step: a resumed run makes them again."""
        for folder in (self.rollouts, self.evaluations):
            for file in folder.glob("step_*.json*"):
                if int(file.stem.removeprefix("step_")) > step:
                    file.unlink()

    def _note_changes(self, recipe: Section) -> None:
        """A resumed run may use changed settings (more steps, say), but never silently."""
        before = _flat(yaml.safe_load((self.path / "config.yaml").read_text(encoding="utf-8")))
        now = _flat(recipe.model_dump(mode="json"))
        for key in sorted(before.keys() | now.keys()):
            if before.get(key) != now.get(key):
                log.warning(f"resuming with {key} = {now.get(key)!r}; the run began with {before.get(key)!r}")
                self.event("setting changed", key=key, before=before.get(key), now=now.get(key))


def _write_lines(file: Path, records: Iterable[Mapping[str, Any]]) -> None:
    """A JSONL file that appears complete or not at all."""
    file.parent.mkdir(parents=True, exist_ok=True)
    temporary = file.with_suffix(".tmp")
    with temporary.open("w", encoding="utf-8") as out:
        for record in records:
            out.write(json.dumps(record, ensure_ascii=False) + "\n")
    temporary.replace(file)


def _flat(tree: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(tree, dict):
        return {prefix.rstrip("."): tree}
    return {key: leaf for name, value in tree.items() for key, leaf in _flat(value, f"{prefix}{name}.").items()}


def _commit() -> str | None:
    """Git commit of the code that runs, with a mark if it was changed; None outside a checkout."""
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty", "--abbrev=40"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None
