"""An average of the weights over the run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from r1zero.trainer.masters import MasterWeights


class Average:
    """The exponential moving average of fp32 masters: a <- decay a + (1 - decay) w after every optimizer step, from the
    first weights on (Polyak and Juditsky 1992, in the form of arXiv 1703.01780)."""

    def __init__(self, masters: MasterWeights, decay: float) -> None:
        self._masters, self._decay = masters, decay
        self.values: dict[str, Tensor] = {
            name: master.detach().clone() for name, master in masters.masters.items()
        }  # by parameter name

    @torch.no_grad()
    def update(self) -> None:
        for name, master in self._masters.masters.items():
            self.values[name].lerp_(master, 1 - self._decay)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """The model computes with the average; afterwards with its weights again, bit for bit."""
        self._exchange()
        try:
            yield
        finally:
            self._exchange()
            self._masters.publish()

    @torch.no_grad()
    def _exchange(self) -> None:
        for name, parameter in self._masters.parameters.items():
            average = self.values[name]
            if self._masters.masters[name] is parameter:
                held = parameter.detach().clone()
                parameter.copy_(average)
                average.copy_(held)
            else:
                parameter.copy_(average)
