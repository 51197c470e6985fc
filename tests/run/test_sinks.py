"""Metrics go on when a place that shows them fails."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path

import pytest

from r1zero.run import sinks
from r1zero.run.metrics import MetricsSink, read_metrics


class Broken:
    """Takes one record."""

    def __init__(self, folder: Path, resume_step: int | None) -> None:
        self.taken: list[int] = []

    def write(self, step: int, values: Mapping[str, float]) -> None:
        if self.taken:
            raise ConnectionError("the server is gone")
        self.taken.append(step)

    def close(self) -> None:
        raise ConnectionError("still gone")


def test_a_failing_sink_is_named_and_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sinks.SINKS, "broken", Broken)
    with caplog.at_level(logging.WARNING, logger="r1zero"):
        sink = MetricsSink(tmp_path, ["broken"])
        for step in range(1, 5):
            sink.write(step, {"reward": float(step)})
        sink.close()
        MetricsSink(tmp_path, ["broken"]).close()
    assert [record["step"] for record in read_metrics(tmp_path / "metrics.jsonl")] == [1, 2, 3, 4]
    said = "logging: sink 'broken' failed at step 2 and gets no more: ConnectionError: the server is gone"
    assert caplog.text.count(said) == 1
    assert "sink 'broken' could not be closed: ConnectionError: still gone" in caplog.text
