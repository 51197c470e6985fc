"""Ctrl-C, SIGTERM and SIGHUP: the first asks the run to stop where nothing is lost, the second stops it at once."""

from __future__ import annotations

import signal
from collections.abc import Iterable
from concurrent.futures import Future, wait
from types import FrameType
from typing import Any, ClassVar

from r1zero.base.errors import Interrupted
from r1zero.base.log import log

_SLICE_SECONDS = 0.1  # between two looks while something else is waited for


class Stop:
    """Use with `with`. `requested` turns true at the first signal; `check` raises Interrupted from then on."""

    current: ClassVar[Stop | None] = None

    def __init__(self) -> None:
        self.requested = False
        self._before: dict[int, Any] = {}

    def check(self) -> None:
        if self.requested:
            raise Interrupted

    def __enter__(self) -> Stop:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            self._before[number] = signal.signal(number, self._ask)
        Stop.current = self
        return self

    def __exit__(self, *_: Any) -> None:
        Stop.current = None
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True
        log.info("stopping: a checkpoint will be saved first (once more to stop at once)")


def check() -> None:
    """Raises Interrupted if a stop was asked for: in long work that may be given up, wherever it is."""
    if Stop.current is not None:
        Stop.current.check()


def settled(futures: Iterable[Future[Any]]) -> None:
    """Wait until all are done, or raise Interrupted."""
    waiting = set(futures)
    while waiting:
        check()
        waiting = wait(waiting, timeout=_SLICE_SECONDS).not_done
