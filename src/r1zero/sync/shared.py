"""One process, one copy of the weights: sending moves a version number and no bytes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from torch import Tensor


class WeightChannel(Protocol):
    """Named tensors (Hugging Face names) with the policy version they belong to."""

    def send(self, weights: Iterable[tuple[str, Tensor]], version: int) -> None: ...

    def receive(self) -> tuple[Iterable[tuple[str, Tensor]], int]:
        """The newest weights. Raises LookupError before the first send."""
        ...


class SharedWeights:
    """Hands the very tensors over. An engine on the same model finds nothing to copy (`NativeEngine.load_weights`)."""

    def __init__(self) -> None:
        self._newest: tuple[Iterable[tuple[str, Tensor]], int] | None = None

    def send(self, weights: Iterable[tuple[str, Tensor]], version: int) -> None:
        self._newest = (tuple(weights), version)

    def receive(self) -> tuple[Iterable[tuple[str, Tensor]], int]:
        if self._newest is None:
            raise LookupError("no weights were sent yet")
        return self._newest
