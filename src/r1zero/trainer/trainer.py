"""The trainer: forward and backward over packs, optimizer step, log-probabilities, save and load.

It knows no algorithm and no task: a loss is a function it is given, and the batch's weights make the mean.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from r1zero.config import Optimization
from r1zero.data.packing import to_device
from r1zero.log import log
from r1zero.models.forward import token_logprobs
from r1zero.trainer.optim import MasterWeights, adamw, clip_gradients, learning_rate
from r1zero.types import Batch, TokenLoss

Prediction = TypeVar("Prediction")  # what a model says of a batch's targets


@dataclass(frozen=True, slots=True)
class Update:
    """What one optimizer step did. A step whose gradient is not finite changes nothing and says so."""

    grad_norm: float
    lr: float
    skipped: bool


class Trainer(Generic[Prediction]):
    """Trains a transformers model in place. `predict` is the model's forward pass over a batch; losses are functions of
    what it returns."""

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
        self.optimizer = adamw(self.masters.masters, settings)
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
        self.masters.zero_grad()
        self.updates += 1
        return Update(norm, lr, skipped)

    @torch.no_grad()
    def predict(self, batch: Batch) -> Prediction:
        """What the current weights say of a pack's targets."""
        self.model.eval()
        return self._predict(self.model, to_device(batch, self.model.device))

    def weights(self) -> Iterator[tuple[str, Tensor]]:
        """The compute weights, by their Hugging Face names."""
        return ((name, parameter.detach()) for name, parameter in self.masters.parameters.items())

    def discard_gradients(self) -> None:
        """Forget an update that was begun."""
        self.masters.zero_grad()

    def save(self, folder: Path) -> None:
        """A Hugging Face model folder with fp32 weights, and the optimizer's state beside it."""
        masters = {name: master.detach() for name, master in self.masters.masters.items()}
        self.model.save_pretrained(folder, state_dict=masters)
        self.tokenizer.save_pretrained(folder)
        moments = {}
        for name, master in self.masters.masters.items():
            for key, value in self.optimizer.state[master].items():
                moments[f"{key}/{name}"] = value.detach().contiguous()
        save_file(moments, folder / "optimizer.safetensors")
        (folder / "trainer.json").write_text(json.dumps({"updates": self.updates}))

    def load(self, folder: Path) -> None:
        """Continue exactly where `save` left off."""
        with torch.no_grad():
            for name, value in _model_tensors(folder):
                if name in self.masters.masters:
                    self.masters.masters[name].copy_(value)
        self.masters.publish()
        moments = load_file(folder / "optimizer.safetensors")
        for name, master in self.masters.masters.items():
            keys = [key for key in ("step", "exp_avg", "exp_avg_sq") if f"{key}/{name}" in moments]
            self.optimizer.state[master] = {key: moments[f"{key}/{name}"].to(master.device) for key in keys}
        self.updates = json.loads((folder / "trainer.json").read_text())["updates"]


def _model_tensors(folder: Path) -> Iterator[tuple[str, Tensor]]:
    for file in sorted(folder.glob("model*.safetensors")):
        with safe_open(file, framework="pt") as tensors:
            for name in tensors.keys():  # noqa: SIM118 (not a dict)
                yield name, tensors.get_tensor(name)


def frozen_logprobs(model: Any, batch: Batch, temperature: float) -> Tensor:
    """Log-probabilities [N] under a frozen model: the reference."""
    with torch.no_grad():
        return token_logprobs(model, to_device(batch, model.device), temperature).logprobs
