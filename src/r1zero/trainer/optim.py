"""Master weights, AdamW and the learning-rate schedule."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn

from r1zero.config import Optimization


def learning_rate(settings: Optimization, update: int, total: int) -> float:
    """Rate of the update with index `update` (from 0) of `total`: linear warm-up, then the schedule's fall to
    `min_lr_ratio`."""
    if update < settings.warmup_steps:
        return settings.lr * (update + 1) / settings.warmup_steps
    done = (update - settings.warmup_steps) / max(1, total - 1 - settings.warmup_steps)
    falling = {"constant": 1.0, "linear": 1 - done, "cosine": 0.5 * (1 + math.cos(math.pi * min(1.0, done)))}
    share = max(0.0, falling[settings.schedule])
    return settings.lr * (settings.min_lr_ratio + (1 - settings.min_lr_ratio) * share)


class MasterWeights:
    """fp32 masters of a model's parameters, with fp32 gradients summed over packs.

    An update of 1e-6 vanishes in a bf16 weight, and so does a small pack's share of a gradient in a bf16 sum. An fp32
    parameter is its own master: nothing is copied.
    """

    def __init__(self, model: nn.Module) -> None:
        self.parameters = dict(model.named_parameters())
        self.masters = {
            name: parameter if parameter.dtype == torch.float32 else nn.Parameter(parameter.detach().float())
            for name, parameter in self.parameters.items()
        }
        for name, parameter in self.parameters.items():
            if self.masters[name] is not parameter:
                parameter.register_post_accumulate_grad_hook(self._accumulate(self.masters[name]))

    @staticmethod
    def _accumulate(master: Tensor):
        def hook(parameter: Tensor) -> None:
            assert parameter.grad is not None
            if master.grad is None:
                master.grad = parameter.grad.float()
            else:
                for total, share in zip(_parts(master.grad), _parts(parameter.grad), strict=True):
                    total += share
            parameter.grad = None

        return hook

    @torch.no_grad()
    def publish(self) -> None:
        """Round the masters into the parameters, in place: whoever shares their storage sees the new weights."""
        for name, parameter in self.parameters.items():
            if self.masters[name] is not parameter:
                parameter.copy_(self.masters[name])

    def gradients(self) -> list[Tensor]:
        return [master.grad for master in self.masters.values() if master.grad is not None]

    def zero_grad(self) -> None:
        for master in self.masters.values():
            master.grad = None


def _parts(tensor: Tensor) -> tuple[Tensor, ...]:
    """Slices small enough that the fp32 copy which `+=` makes of a bf16 one stays in cache."""
    return tensor.split(max(1, 2**19 // max(1, tensor[0].numel()))) if tensor.ndim else (tensor,)


def adamw(masters: dict[str, nn.Parameter], settings: Optimization) -> torch.optim.AdamW:
    """AdamW (arXiv 1711.05101) with decay on matrices only."""
    matrices = [parameter for parameter in masters.values() if parameter.ndim >= 2]
    vectors = [parameter for parameter in masters.values() if parameter.ndim < 2]
    groups = [{"params": matrices, "weight_decay": settings.weight_decay}, {"params": vectors, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=settings.lr, betas=settings.betas, eps=1e-8, fused=True)


def clip_gradients(gradients: Iterable[Tensor], largest: float) -> float:
    """Scale gradients so that their global norm is at most `largest`; returns the norm before."""
    listed = list(gradients)
    norm = torch.linalg.vector_norm(torch.stack([torch.linalg.vector_norm(gradient) for gradient in listed]))
    scale = largest / (norm + 1e-6)
    if scale < 1:
        for gradient in listed:
            gradient.mul_(scale)
    return float(norm)
