"""What TRL's losses ask of accelerate, in a world of one process."""

from __future__ import annotations

from torch import Tensor


class Accelerator:
    device, num_processes, sync_gradients = "cpu", 1, True

    def reduce(self, values: Tensor, reduction: str) -> Tensor:
        return values

    def gather(self, values: Tensor) -> Tensor:
        return values

    gather_for_metrics = gather
