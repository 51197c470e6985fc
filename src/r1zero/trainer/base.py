"""The seam between a program's loop and whatever trains."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

from torch import Tensor

from r1zero.config import Optimization
from r1zero.types import Batch, TokenLoss

Prediction = TypeVar("Prediction")  # what a model says of a batch's targets
Prediction_co = TypeVar("Prediction_co", covariant=True)


@dataclass(frozen=True, slots=True)
class Update:
    """What one optimizer step did. A step whose gradient is not finite changes nothing and says so."""

    grad_norm: float
    lr: float
    skipped: bool


class Trainer(Protocol[Prediction_co]):
    """What the loops ask of a trainer; `tests/trainer/contract.py` says what each must do. `local.py` trains a model of
    its own process; one that shards it, or hands it to Megatron, has the same methods.

    `Prediction_co` is what the model says of a batch's targets; losses are functions of it.
    """

    @property
    def settings(self) -> Optimization: ...

    @property
    def tokenizer(self) -> Any: ...

    def forward_backward(self, batch: Batch, loss: Callable[[Prediction_co, Batch], TokenLoss]) -> dict[str, float]:
        """Add one pack's gradient. Returns its share of the loss and of the loss's metrics; the shares of all packs of
        a step add up to the step's means."""
        ...

    def forward(self, batch: Batch, loss: Callable[[Prediction_co, Batch], TokenLoss]) -> dict[str, float]:
        """The same shares without the gradient: for a pack that has none."""
        ...

    def evaluate(self, batch: Batch, loss: Callable[[Prediction_co, Batch], TokenLoss]) -> dict[str, float]:
        """The same shares of a pack that is not trained on."""
        ...

    def predict(self, batch: Batch) -> Prediction_co:
        """What the current weights say of a pack's targets."""
        ...

    def step(self) -> Update:
        """Apply the summed gradients and publish the new weights."""
        ...

    def pass_over(self) -> Update:
        """An update whose gradient is zero everywhere: the schedule goes on, the weights stay."""
        ...

    def discard_gradients(self) -> None:
        """Forget an update that was begun."""
        ...

    def weights(self) -> Iterator[tuple[str, Tensor]]:
        """The compute weights by their Hugging Face names, adapters merged into them: for an engine with a model of its
        own."""
        ...

    def own_weights(self) -> Iterator[tuple[str, Tensor]]:
        """The very tensors that train, by their names in the model: for an engine that samples from this model."""
        ...

    def averaged(self) -> AbstractContextManager[None]:
        """Inside, the model computes with the average of its weights, if `settings.ema` keeps one."""
        ...

    def save(self, folder: Path) -> None:
        """A model folder that others can load, and beside it everything that `load` needs."""
        ...

    def load(self, folder: Path) -> None:
        """Continue exactly where `save` left off. Raises UsageError for a checkpoint of another model or training."""
        ...
