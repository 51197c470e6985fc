"""Ctrl-C and SIGTERM: the first asks the run to stop where nothing is lost, the second stops it at once."""

from __future__ import annotations

import signal
from types import FrameType
from typing import Any

from r1zero.errors import Interrupted
from r1zero.log import log


class Stop:
    """Use with `with`. `requested` turns true at the first signal; `check` raises Interrupted from then on."""

    def __init__(self) -> None:
        self.requested = False
        self._before: dict[int, Any] = {}

    def check(self) -> None:
        if self.requested:
            raise Interrupted

    def __enter__(self) -> Stop:
        for number in (signal.SIGINT, signal.SIGTERM):
            self._before[number] = signal.signal(number, self._ask)
        return self

    def __exit__(self, *_: Any) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True
        log.info("stopping: a checkpoint will be saved first (once more to stop at once)")
