"""The seam between the loop and whatever samples."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

from torch import Tensor

from r1zero.types import Completion, Prompt, Sampling


class RolloutEngine(Protocol):
    """Six methods; `tests/engine/contract.py` says what each engine must do."""

    def generate(self, prompts: Sequence[Prompt], sampling: Sampling) -> Iterator[tuple[int, tuple[Completion, ...]]]:
        """Sample `sampling.n` completions per prompt. Yields (index of the prompt, its completions) as groups finish,
        in any order; abandoning the iterator abandons the work."""
        ...

    def check_room(self, longest: int, sampling: Sampling) -> None:
        """Raises UsageError unless one group with a prompt of `longest` tokens fits the engine's memory."""
        ...

    def load_weights(self, weights: Iterable[tuple[str, Tensor]], version: int) -> None:
        """Sample with these weights (Hugging Face names) from now on; completions carry `version`."""
        ...

    def sleep(self) -> None:
        """Give memory back until `wake`."""
        ...

    def wake(self) -> None:
        """Be ready to generate."""
        ...

    def close(self) -> None:
        """Release everything."""
        ...
