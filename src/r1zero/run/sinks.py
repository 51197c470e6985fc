"""Where metrics go beside `metrics.jsonl`. A sink is an entry of `SINKS`, here or of an installed package."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

from r1zero.base import registry
from r1zero.base.errors import UsageError, suggest


class Sink(Protocol):
    """Made of (run folder, the step after which records of an earlier start are void, or None)."""

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """One record; values may be no number or infinite."""
        ...

    def close(self) -> None: ...


class TensorBoard:
    """Scalars in `tensorboard/`."""

    def __init__(self, folder: Path, resume_step: int | None) -> None:
        from torch.utils.tensorboard import SummaryWriter

        purge = None if resume_step is None else resume_step + 1
        self._board = SummaryWriter(str(folder / "tensorboard"), purge_step=purge)

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """See `Sink`."""
        for name, value in values.items():
            self._board.add_scalar(name, value, step)

    def close(self) -> None:
        """See `Sink`."""
        self._board.close()


SINKS: dict[str, Callable[[Path, int | None], Sink]] = registry.with_installed("sinks", {"tensorboard": TensorBoard})


def check(names: tuple[str, ...]) -> None:
    """Raises UsageError for a name that no sink has."""
    for name in names:
        if name not in SINKS:
            raise UsageError(f"logging.sinks = '{name}': unknown sink{suggest(name, SINKS)}")
