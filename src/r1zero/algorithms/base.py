"""What the loop asks of an algorithm. No function here or in a sibling touches a device, a file or a process group."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from r1zero.types import Batch, Group, TokenLogprobs, TokenLoss

Loss = Callable[[TokenLogprobs, Batch], TokenLoss]


@dataclass(frozen=True, slots=True, kw_only=True)
class Algorithm:
    """A frozen value of pure functions.

    advantages        rewards [n] of one group -> advantages [n], the same on every token of a response
    loss              the policy's log-probabilities of a batch -> loss and metrics per token
    keep              whether a group is trained on
    needs_reference   whether `loss` reads `batch.reference_logprobs`
    advantage_alone   whether a token's gradient has its advantage as a factor
    """

    name: str
    advantages: Callable[[np.ndarray], np.ndarray]
    loss: Loss
    keep: Callable[[Group], bool]
    needs_reference: bool = False
    advantage_alone: bool = False

    def learns_from(self, batch: Batch) -> bool:
        """Whether the batch can have a gradient; one that cannot needs no backward pass."""
        return not self.advantage_alone or bool(batch.advantages.any())
