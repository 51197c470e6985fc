"""The trainer of one process: forward and backward over packs, optimizer step, log-probabilities, save and load.

It knows no algorithm and no task: a loss is a function it is given, and the batch's weights make the mean.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, Generic

import torch
from torch import Tensor

from r1zero.base.errors import UsageError
from r1zero.base.log import log
from r1zero.config import Optimization
from r1zero.data.packing import to_device
from r1zero.models import adapters
from r1zero.models.forward import token_logprobs
from r1zero.trainer.average import Average
from r1zero.trainer.base import Prediction, Update
from r1zero.trainer.masters import MasterWeights, clip_gradients
from r1zero.trainer.optimizer import build_optimizer, load_state, save_state
from r1zero.trainer.saved import load_weights, save_weights
from r1zero.trainer.schedule import learning_rate
from r1zero.types import Batch, TokenLoss

_AVERAGE = "ema"  # folder of a checkpoint


class LocalTrainer(Generic[Prediction]):
    """Trains the parameters of a transformers model that require a gradient: all of them, or its adapters. The methods
    are those of `base.Trainer`.

    `predict` is the model's forward pass over a batch; losses are functions of what it returns. Raises UsageError when
    there is nothing to train.
    """

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        settings: Optimization,
        *,
        total_updates: int,
        predict: Callable[[Any, Batch], Prediction] = token_logprobs,  # pyright: ignore[reportArgumentType]
        gradient_checkpointing: bool = False,
    ) -> None:
        self.model, self.tokenizer, self.settings = model, tokenizer, settings
        self.total_updates = total_updates
        self.masters = MasterWeights(model)
        if not self.masters.parameters:
            raise UsageError("model.path: adapters do not train further; merge them first: r1zero model merge")
        self.optimizer = build_optimizer(self.masters.masters, settings)
        self.average = None if settings.ema is None else Average(self.masters, settings.ema)
        self.updates = 0
        self._predict = predict
        if gradient_checkpointing:
            model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})

    def forward_backward(self, batch: Batch, loss: Callable[[Prediction, Batch], TokenLoss]) -> dict[str, float]:
        """Add one pack's gradient. Returns its share of the loss and of the loss's metrics; the shares of all packs of
        a step add up to the step's means."""
        self.model.train()
        total, shares = self._shares(batch, loss)
        total.backward()
        return shares

    @torch.no_grad()
    def forward(self, batch: Batch, loss: Callable[[Prediction, Batch], TokenLoss]) -> dict[str, float]:
        """The same shares without the gradient: for a pack that has none."""
        self.model.train()
        return self._shares(batch, loss)[1]

    @torch.no_grad()
    def evaluate(self, batch: Batch, loss: Callable[[Prediction, Batch], TokenLoss]) -> dict[str, float]:
        """The same shares of a pack that is not trained on."""
        self.model.eval()
        return self._shares(batch, loss)[1]

    def _shares(self, batch: Batch, loss: Callable[[Prediction, Batch], TokenLoss]) -> tuple[Tensor, dict[str, float]]:
        batch = to_device(batch, self.model.device)
        result = loss(self._predict(self.model, batch), batch)
        total = (result.value * batch.weight).sum()
        shares = {name: float((value * batch.weight).sum()) for name, value in result.metrics.items()}
        return total, {"loss": float(total.detach()), **shares}

    def step(self) -> Update:
        """Apply the summed gradients and publish the new weights."""
        lr = learning_rate(self.settings, self.updates, self.total_updates)
        norm = clip_gradients(self.masters.gradients(), self.settings.clip_grad)
        skipped = not math.isfinite(norm)
        if skipped:
            log.warning(f"update {self.updates + 1}: the gradient's norm is {norm}: skipped, weights unchanged")
        else:
            for group in self.optimizer.param_groups:
                group["lr"] = lr
            self.optimizer.step()
            self.masters.publish()
            if self.average is not None:
                self.average.update()
        self.masters.zero_grad()
        self.updates += 1
        return Update(norm, lr, skipped)

    def pass_over(self) -> Update:
        """An update whose gradient is zero everywhere: the schedule goes on, the weights stay. An optimizer would move
        them all the same, by the momentum of earlier updates."""
        lr = learning_rate(self.settings, self.updates, self.total_updates)
        self.updates += 1
        return Update(0.0, lr, skipped=False)

    @torch.no_grad()
    def predict(self, batch: Batch) -> Prediction:
        """What the current weights say of a pack's targets."""
        self.model.eval()
        return self._predict(self.model, to_device(batch, self.model.device))

    def weights(self) -> Iterator[tuple[str, Tensor]]:
        """The compute weights by their Hugging Face names, adapters merged into them: for an engine with a model of its
        own."""
        if adapters.adapted(self.model):
            return adapters.merged_weights(self.model)
        return self.own_weights()

    def own_weights(self) -> Iterator[tuple[str, Tensor]]:
        """The very tensors that train, by their names in the model: for an engine that samples from this model."""
        return ((name, parameter.detach()) for name, parameter in self.masters.parameters.items())

    def averaged(self) -> AbstractContextManager[None]:
        """Inside, the model computes with the average of its weights, if `settings.ema` keeps one."""
        return nullcontext() if self.average is None else self.average.in_place()

    def discard_gradients(self) -> None:
        """Forget an update that was begun."""
        self.masters.zero_grad()

    def save(self, folder: Path) -> None:
        """A Hugging Face model folder with fp32 weights, or a peft folder where adapters train; the optimizer's state
        beside it, and in `ema/` the same of the average."""
        self._save_model(folder, self.masters.masters)
        if self.average is not None:
            self._save_model(folder / _AVERAGE, self.average.values)
        save_state(self.optimizer, self.masters.masters, folder)
        (folder / "trainer.json").write_text(json.dumps({"updates": self.updates}))

    def _save_model(self, folder: Path, values: Mapping[str, Tensor]) -> None:
        save_weights(self.model, values, folder)
        self.tokenizer.save_pretrained(folder)

    def load(self, folder: Path) -> None:
        """Continue exactly where `save` left off. Raises UsageError when the checkpoint is of another model or kind of
        training: with adapters or without, with other adapters, with another optimizer."""
        load_weights(self.model, self.masters.masters, folder)
        self.masters.publish()
        if self.average is not None:
            kept = (folder / _AVERAGE).is_dir()
            if not kept:
                log.warning("trainer.ema: the checkpoint holds no average; it begins with the checkpoint's weights")
            load_weights(self.model, self.average.values, folder / _AVERAGE if kept else folder)
        load_state(self.optimizer, self.masters.masters, folder)
        self.updates = json.loads((folder / "trainer.json").read_text())["updates"]
