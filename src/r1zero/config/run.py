"""The keys of `run` and `logging`, which every training program has."""

from __future__ import annotations

from pydantic import Field

from r1zero.base.device import DeviceKind
from r1zero.config.section import Filled, FilledLocation, Section


class Run(Section):
    dir: FilledLocation
    """Run folder: everything the run leaves behind."""
    steps: int = Field(ge=0)
    """Training steps; an RL step is one batch of rollouts and its updates."""
    seed: int = Field(default=0, ge=0, le=2**63 - 1)
    save_every: int = Field(default=0, ge=0)
    """Steps between checkpoints; 0 saves only at the end (and on Ctrl-C)."""
    keep_checkpoints: int = Field(default=2, ge=1)
    evaluate_every: int = Field(default=0, ge=0)
    """Steps between evaluations; 0 evaluates only before the first and after the last step."""
    deterministic: bool = False
    """Same bits for the same seed, also across a kill and --resume; slower kernels on accelerators."""
    device: DeviceKind = "auto"
    accept_changed_data: bool = False
    """Resume although the rows are not those that the run began with."""
    threads: int = Field(default=0, ge=0, le=4096)
    """CPU threads of this process; 0 is one per usable physical core."""


class Logging(Section):
    tensorboard: bool = True
    sinks: tuple[Filled, ...] = ()
    """Further sinks of metrics, by the names that installed packages give them."""

    def named(self) -> tuple[str, ...]:
        """Every sink of the run but `metrics.jsonl`, which is always there."""
        return tuple(dict.fromkeys([*(("tensorboard",) if self.tensorboard else ()), *self.sinks]))
