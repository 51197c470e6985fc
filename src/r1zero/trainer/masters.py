"""Master weights and their gradients."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn


class MasterWeights:
    """fp32 masters of the parameters of a model that train, with fp32 gradients summed over packs.

    An update of 1e-6 vanishes in a bf16 weight, and so does a small pack's share of a gradient in a bf16 sum. An fp32
    parameter is its own master: nothing is copied.
    """

    def __init__(self, model: nn.Module) -> None:
        self.parameters = {name: value for name, value in model.named_parameters() if value.requires_grad}
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


def clip_gradients(gradients: Iterable[Tensor], largest: float) -> float:
    """Scale gradients so that their global norm is at most `largest`; returns the norm before."""
    listed = list(gradients)
    norm = torch.linalg.vector_norm(torch.stack([torch.linalg.vector_norm(gradient) for gradient in listed]))
    scale = largest / (norm + 1e-6)
    if scale < 1:
        for gradient in listed:
            gradient.mul_(scale)
    return float(norm)
