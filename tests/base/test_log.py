"""Progress lines."""

from __future__ import annotations

import logging

import pytest

from r1zero.base.log import Progress, duration


def test_progress_says_what_is_done_and_left(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="r1zero"):
        progress = Progress("reading", 100, "MB", every=0.0)
        progress.advance(0, "; 15 rows")  # a slow machine has not finished a unit of work yet
        progress.advance(50)
        progress.advance(50)
    first, second = caplog.messages
    assert first == "reading: 0/100 MB, 0.0/s, none done yet; 15 rows"
    assert second.startswith("reading: 50/100 MB, ") and second.endswith(" left")


def test_the_first_of_many_that_end_together_are_no_estimate(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: clock[0])
    progress = Progress("evaluating", 800, "answers")
    with caplog.at_level(logging.INFO, logger="r1zero"):
        for seconds, count in ((40, 4), (10, 36), (10, 360), (10, 0), (10, 399)):
            clock[0] += seconds
            progress.advance(count)
    assert [line.rpartition(", ")[2] for line in caplog.messages] == [
        "no estimate yet",
        "3:31 left",
        "0:11 left",
        "1:10 left",
        "0:00 left",
    ]


def test_durations() -> None:
    assert [duration(seconds) for seconds in (0, 59.6, 3725)] == ["0:00", "1:00", "1:02:05"]
