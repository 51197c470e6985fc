"""`metrics.jsonl`, and all other sinks of a run behind the same `write`."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from r1zero.base.log import log
from r1zero.run.sinks import SINKS


class MetricsSink:
    """Appends one JSON object per step, and gives every sink of `sinks` the same.

    On resume, records after the checkpoint's step are dropped from all: the run writes them again.
    """

    def __init__(self, folder: Path, sinks: Sequence[str] = (), *, resume_step: int | None = None) -> None:
        self.path = folder / "metrics.jsonl"
        if resume_step is not None:
            self._drop_after(resume_step)
        self._file = self.path.open("a", encoding="utf-8")
        self._sinks = {name: SINKS[name](folder, resume_step) for name in sinks}

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Not-a-number and infinities are written as null: JSON has no word for them."""
        clean = {name: value if math.isfinite(value) else None for name, value in values.items()}
        self._file.write(json.dumps({"step": step, **clean}) + "\n")
        self._file.flush()
        for name, sink in [*self._sinks.items()]:
            try:
                sink.write(step, values)
            except Exception as error:  # a run is not lost with a place that shows it
                log.warning(f"logging: sink '{name}' failed at step {step} and gets no more: {_said(error)}")
                del self._sinks[name]

    def close(self) -> None:
        self._file.close()
        for name, sink in self._sinks.items():
            try:
                sink.close()
            except Exception as error:
                log.warning(f"logging: sink '{name}' could not be closed: {_said(error)}")

    def _drop_after(self, step: int) -> None:
        if not self.path.exists():
            return
        kept = [record for record in read_metrics(self.path) if record["step"] <= step]
        replacement = self.path.with_suffix(".tmp")
        replacement.write_text("".join(json.dumps(record) + "\n" for record in kept), encoding="utf-8")
        replacement.replace(self.path)


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


def read_metrics(path: Path) -> list[dict[str, float]]:
    """All complete records; a last line torn by a kill is skipped."""
    records = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            records.append(json.loads(line))
        except json.JSONDecodeError:
            continue
    return records
