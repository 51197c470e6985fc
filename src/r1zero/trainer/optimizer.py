"""Optimizers by name, and their state in a file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import nn

from r1zero.base.errors import UsageError
from r1zero.config import Optimization

Optimizer = torch.optim.Optimizer
_TENSORS, _NUMBERS = "optimizer.safetensors", "optimizer.json"


def build_optimizer(masters: Mapping[str, nn.Parameter], settings: Optimization) -> Optimizer:
    """The recipe's optimizer over fp32 masters, with weight decay on matrices only. In all but sgd decay is decoupled
    from the gradient (AdamW, arXiv 1711.05101). Raises UsageError where its library is not installed."""
    matrices = [parameter for parameter in masters.values() if parameter.ndim >= 2]
    vectors = [parameter for parameter in masters.values() if parameter.ndim < 2]
    groups = [{"params": matrices, "weight_decay": settings.weight_decay}, {"params": vectors, "weight_decay": 0.0}]
    return _KINDS[settings.optimizer]([group for group in groups if group["params"]], settings)


def _adamw(groups: list[dict[str, Any]], settings: Optimization) -> Optimizer:
    return torch.optim.AdamW(groups, lr=settings.lr, betas=settings.betas, eps=1e-8, fused=True)


def _adamw_8bit(groups: list[dict[str, Any]], settings: Optimization) -> Optimizer:
    """AdamW with moments in blocks of 8-bit numbers (arXiv 2110.02861); those of small tensors stay fp32."""
    try:
        from bitsandbytes.optim.adamw import AdamW8bit
    except ImportError:
        raise UsageError(
            "trainer.optimizer = 'adamw_8bit': bitsandbytes is not installed; pip install 'r1zero[lora]'"
        ) from None
    return AdamW8bit(groups, lr=settings.lr, betas=settings.betas, eps=1e-8)


def _nadam(groups: list[dict[str, Any]], settings: Optimization) -> Optimizer:
    return torch.optim.NAdam(groups, lr=settings.lr, betas=settings.betas, decoupled_weight_decay=True)


def _radam(groups: list[dict[str, Any]], settings: Optimization) -> Optimizer:
    return torch.optim.RAdam(groups, lr=settings.lr, betas=settings.betas, decoupled_weight_decay=True)


def _adafactor(groups: list[dict[str, Any]], settings: Optimization) -> Optimizer:
    """arXiv 1804.04235: the second moment of a matrix as a row and a column, no first moment."""
    return torch.optim.Adafactor(groups, lr=settings.lr)


def _sgd(groups: list[dict[str, Any]], settings: Optimization) -> Optimizer:
    return torch.optim.SGD(groups, lr=settings.lr, momentum=settings.betas[0])


_KINDS = {
    "adamw": _adamw,
    "adamw_8bit": _adamw_8bit,
    "nadam": _nadam,
    "radam": _radam,
    "adafactor": _adafactor,
    "sgd": _sgd,
}


def save_state(optimizer: Optimizer, masters: Mapping[str, nn.Parameter], folder: Path) -> None:
    """Every tensor and number that the optimizer remembers of each master, under `key/name`."""
    tensors: dict[str, torch.Tensor] = {}
    numbers: dict[str, float] = {}
    for name, master in masters.items():
        for key, value in optimizer.state[master].items():
            if isinstance(value, torch.Tensor):
                tensors[f"{key}/{name}"] = value.detach().clone().contiguous()  # qmap1 is one table for all
            else:
                numbers[f"{key}/{name}"] = value
    save_file(tensors, folder / _TENSORS)
    (folder / _NUMBERS).write_text(json.dumps({"kind": _kind(optimizer), "numbers": numbers}))


def load_state(optimizer: Optimizer, masters: Mapping[str, nn.Parameter], folder: Path) -> None:
    """Continue exactly where `save_state` left off. Raises UsageError when another optimizer did the saving."""
    said = json.loads((folder / _NUMBERS).read_text())
    if said["kind"] != _kind(optimizer):
        raise UsageError(
            f"trainer.optimizer: the checkpoint holds the state of {said['kind']}, not of {_kind(optimizer)}; "
            f"resume with the optimizer that the run began with"
        )
    found: dict[str, dict[str, Any]] = {name: {} for name in masters}
    for place, value in {**load_file(folder / _TENSORS), **said["numbers"]}.items():
        key, _, name = place.partition("/")
        if name not in found:
            raise UsageError(
                f"{folder}: the optimizer's state holds {name}, which does not train here; resume with the model "
                f"settings that the run began with"
            )
        found[name][key] = value
    for name, master in masters.items():
        optimizer.state[master] = {key: _to_device(value, master, optimizer) for key, value in found[name].items()}


def _to_device(value: Any, master: nn.Parameter, optimizer: Optimizer) -> Any:
    """torch keeps step counts on the CPU unless its kernel is fused."""
    stays = not isinstance(value, torch.Tensor) or (value.ndim == 0 and not optimizer.defaults.get("fused"))
    return value if stays else value.to(master.device)


def _kind(optimizer: Optimizer) -> str:
    return type(optimizer).__name__
