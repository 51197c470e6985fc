"""The one logger, and progress lines with rate and time left."""

from __future__ import annotations

import logging
import os
import sys
import time
from pathlib import Path

log = logging.getLogger("r1zero")


def to_console() -> None:
    """Messages go to stderr, plain: the same in a terminal, a file and a CI log."""
    if not log.handlers:
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(logging.Formatter("%(message)s"))
        log.addHandler(handler)
    log.setLevel(logging.INFO)
    log.propagate = False
    # progress bars of libraries would tear the lines; both are read when the library is first imported
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TQDM_DISABLE", "1")


def to_file(path: Path) -> logging.Handler:
    """Also keep every message, with its time, in `path`. The caller removes the handler when the run ends."""
    handler = logging.FileHandler(path, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    log.addHandler(handler)
    return handler


def duration(seconds: float) -> str:
    """Example: `duration(3725)` is `1:02:05`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


class Progress:
    """Rate and time left of countable work; logs at most one line per `every` seconds.

    The time left is that of the pace since the last line: work that is done side by side, as rollouts are, ends in
    waves, and its first pieces say little of the others. So the first line has an estimate from a tenth on.

    Example line: `evaluating: 412/1024 rollouts, 96.1/s, 0:06 left`.
    """

    def __init__(self, what: str, total: int, unit: str, every: float = 10.0) -> None:
        self.what, self.total, self.unit, self.every = what, total, unit, every
        self.done = self.shown = 0
        self.start = self.last = time.monotonic()

    def advance(self, count: int = 1, note: str = "") -> None:
        self.done += count
        now = time.monotonic()
        if now - self.last >= self.every and self.done < self.total:
            rate = self.done / (now - self.start)
            log.info(f"{self.what}: {self.done}/{self.total} {self.unit}, {rate:.1f}/s, {self._left(now)}{note}")
            self.last, self.shown = now, self.done

    def _left(self, now: float) -> str:
        if not self.done:
            return "none done yet"
        if not self.shown and self.done < self.total / 10:
            return "no estimate yet"
        pace = (
            (self.done - self.shown) / (now - self.last) if self.done > self.shown else self.done / (now - self.start)
        )
        return f"{duration((self.total - self.done) / pace)} left"
