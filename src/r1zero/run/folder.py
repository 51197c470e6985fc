"""The run folder: the whole truth of a run.

config.yaml        the resolved recipe          rollouts/       every rollout of every step
environment.json   versions, commit, hardware   checkpoints/    complete or absent
metrics.jsonl      one record per step          evaluations/    every graded answer
tensorboard/       the same                     quarantine.jsonl  rows that were not used, and why
data.json          fingerprints of the rows        run.lock        which process writes here
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

from r1zero.base.device import Device
from r1zero.base.errors import UsageError
from r1zero.base.files import write_text
from r1zero.base.log import log
from r1zero.config import dump
from r1zero.config.section import Section
from r1zero.data.problems import Rejected
from r1zero.run import store
from r1zero.run.lock import Lock

_DATA = "data.json"
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
    """Paths inside a run folder, and the small files written once.

    One made by `create` is locked for this process until `close` (or the end of `with`), and nothing that a run left
    changes before `begin`: events and the quarantine of a start wait until then.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.checkpoints = path / "checkpoints"
        self.rollouts = path / "rollouts"
        self.evaluations = path / "evaluations"
        self.quarantine = path / "quarantine.jsonl"
        self.metrics = path / "metrics.jsonl"
        self.log = path / "run.log"
        self._events = path / "events.jsonl"
        self._lock: Lock | None = None
        self._waiting: list[str] | None = None  # events until `begin`
        self.newest: Path | None = None  # the checkpoint to resume from
        self.damaged: list[str] = []  # what is wrong with those passed over

    @classmethod
    def create(cls, path: Path, *, resume: bool) -> RunFolder:
        """Make the folder, or enter an existing one to resume, and lock it. Raises UsageError if it holds a run already
        or none to resume, if another process has it, if it cannot be written, or if there are checkpoints and none is
        intact. A start that fails before the first step does not make it a run: `begin` does."""
        folder = cls(path)
        if path.exists() and not path.is_dir():
            raise UsageError(f"run.dir = '{path}': is a file; choose another folder")
        if resume and not folder.begun:
            raise UsageError(f"run.dir = '{path}': there is no run to resume; start it without --resume")
        try:
            path.mkdir(parents=True, exist_ok=True)
            if not os.access(path, os.W_OK):
                raise PermissionError(13, "Permission denied")
            folder._lock = Lock(path)
            folder._enter(resume)
        except OSError as error:
            folder.close()
            raise UsageError(
                f"run.dir = '{path}': cannot be written: {error.strerror}; choose another folder"
            ) from None
        except UsageError:
            folder.close()
            raise
        return folder

    def _enter(self, resume: bool) -> None:
        if self.begun and not resume:  # looked at under the lock: of two starts at once one is the first
            raise UsageError(
                f"run.dir = '{self.path}': holds a run already; continue it with --resume or choose another folder"
            )
        self._waiting = []
        if not resume:
            self.quarantine.unlink(missing_ok=True)
            return
        self.recorded()
        self.quarantine = self.path / ".tmp-quarantine.jsonl"
        self.quarantine.unlink(missing_ok=True)
        self.newest = store.newest_intact(self.checkpoints, self.damaged.append)
        for what in self.damaged:
            log.warning(f"damaged checkpoint passed over: {what}")
        if self.newest is None and self.damaged:
            raise UsageError(
                f"run.dir = '{self.path}': none of its {len(self.damaged)} checkpoints is intact, and nothing was "
                f"changed; bring one back, or start anew in another folder"
            )
        if self.newest is None:
            log.warning("there is no checkpoint yet: the run starts from the beginning")

    def recorded(self) -> dict[str, Any]:
        """The recipe that the run began with, or went on with last; {} before that. Raises UsageError if it cannot be
        read."""
        file = self.path / "config.yaml"
        if not self.begun:
            return {}
        try:
            settings = yaml.safe_load(file.read_text(encoding="utf-8"))
            if not isinstance(settings, dict):
                raise ValueError("it is no recipe")
        except (OSError, ValueError, yaml.YAMLError) as error:
            reason = " ".join(str(error).split())[:120]
            raise UsageError(
                f"{file}: cannot be read: {reason}; put the run's recipe there and resume once more"
            ) from None
        return settings

    def close(self) -> None:
        """Let other processes have the folder."""
        if self._lock is not None:
            self._lock.release()

    def __enter__(self) -> RunFolder:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def checkpoint(self, step: int) -> Path:
        return self.checkpoints / f"step_{step:06d}"

    def event(self, name: str, **details: Any) -> None:
        line = json.dumps({"time": time.strftime("%Y-%m-%dT%H:%M:%S"), "event": name, **details}) + "\n"
        if self._waiting is not None:
            self._waiting.append(line)
        else:
            self._append([line])

    def _append(self, lines: Sequence[str]) -> None:
        with self._events.open("a+", encoding="utf-8") as file:
            file.seek(0)
            text = file.read()
            if text and not text.endswith("\n"):  # a kill tore the last line
                file.truncate(len(text[: text.rfind("\n") + 1].encode()))
            file.write("".join(lines))

    @property
    def begun(self) -> bool:
        return (self.path / "config.yaml").exists()

    def begin(self, recipe: Section, device: Device, data: Mapping[str, str]) -> None:
        """The run goes on from here: save the resolved recipe, the environment of this start and the fingerprints of
        its data, and write what has waited."""
        if self.begun:
            self._note_changes(recipe)
        for inner in (self.checkpoints, self.rollouts, self.evaluations):
            inner.mkdir(exist_ok=True)
        environment = {
            "command": sys.argv,
            "device": device.describe(),
            "platform": platform.platform(),
            "python": platform.python_version(),
            "packages": {name: importlib.metadata.version(name) for name in _PACKAGES},
            "commit": _commit(),
        }
        write_text(self.path / "environment.json", json.dumps(environment, indent=1))
        write_text(self.path / _DATA, json.dumps(data, indent=1))
        final = self.path / "quarantine.jsonl"
        if self.quarantine != final:
            self.quarantine.replace(final) if self.quarantine.exists() else final.unlink(missing_ok=True)
            self.quarantine = final
        write_text(self.path / "config.yaml", dump(recipe))  # last: from here on it is a run
        waiting, self._waiting = self._waiting or [], None
        self._append(waiting)
        for what in self.damaged:
            self.event("damaged checkpoint", what=what)

    def refuse_other_data(self, data: Mapping[str, str]) -> None:
        """Raises UsageError unless the fingerprints of the data, by source, are those the run began with."""
        file = self.path / _DATA
        if not file.exists():
            return
        before = json.loads(file.read_text(encoding="utf-8"))
        for source, digest in data.items():
            if source in before and before[source] != digest:
                raise UsageError(
                    f"data: '{source}' holds other rows than the run began with, so its position means nothing; bring "
                    f"the old ones back, or accept these with run.accept_changed_data=true"
                )

    def quarantine_rows(self, rejected: Sequence[Rejected]) -> None:
        """Keep rows that are not used, with line and reason, and say how many."""
        if not rejected:
            return
        self.path.mkdir(parents=True, exist_ok=True)
        with self.quarantine.open("a", encoding="utf-8", errors="backslashreplace") as out:
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
        before = _flat(self.recorded())
        now = _flat(recipe.model_dump(mode="json"))
        for key in sorted(before.keys() | now.keys()):
            if before.get(key) != now.get(key):
                log.warning(f"resuming with {key} = {now.get(key)!r}; the run began with {before.get(key)!r}")
                self.event("setting changed", key=key, before=before.get(key), now=now.get(key))


def _write_lines(file: Path, records: Iterable[Mapping[str, Any]]) -> None:
    """A JSONL file that appears complete or not at all."""
    file.parent.mkdir(parents=True, exist_ok=True)
    write_text(file, "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records))


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
