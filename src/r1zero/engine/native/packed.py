"""Linear layers in the order that oneDNN's products read them in.

A decode step multiplies few rows by every weight, so it is bound by how fast weights stream in. torch reorders a plain
weight inside each product; kept in blocks, products take a fifth less time at 64 rows and a third less at 8
(docs/LOG.md). The price is a second copy of the bf16 weights, made anew after every update.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from r1zero.engine.native.replaced import replaced
from r1zero.models.head import LMHead


class PackedLinears:
    """The blocked weights of a model's linear layers and of its head; of none where oneDNN does not do the products."""

    def __init__(self, model: nn.Module, head: LMHead, *, layers: bool = True) -> None:
        linears = [layer for layer in model.modules() if type(layer) is nn.Linear and _blockable(layer.weight)]
        self.layers = linears if layers else []
        self.plain_head = self.head = head
        self._blocks: dict[int, tuple[int, Tensor]] = {}  # address of the plain weight -> its version then, blocks

    def refresh(self, rows: int) -> None:
        """Reorder the weights that have changed, for products with about `rows` rows. The old blocks are freed one by
        one, so that the new ones take their place in memory: fresh pages would cost more than the reordering."""
        weights = [layer.weight for layer in self.layers]
        if _blockable(self.plain_head.weight):
            weights.append(self.plain_head.weight)
        for weight in weights:
            address, version = weight.data_ptr(), weight._version
            if address in self._blocks and self._blocks[address][0] == version:
                continue
            self._blocks.pop(address, None)
            with torch.inference_mode():
                self._blocks[address] = version, torch.ops.mkldnn._reorder_linear_weight(weight.detach(), rows)
        if _blockable(self.plain_head.weight):
            self.head = replace(self.plain_head, product=partial(_product, self._of(self.plain_head.weight)))

    def in_use(self) -> AbstractContextManager[None]:
        """The layers multiply by their blocks inside the context; outside nothing has changed."""
        return replaced((layer, partial(_forward, layer, self._of(layer.weight))) for layer in self.layers)

    def _of(self, weight: Tensor) -> Tensor:
        return self._blocks[weight.data_ptr()][1]


def _blockable(weight: Tensor) -> bool:
    return weight.device.type == "cpu" and weight.dtype == torch.bfloat16 and supported()


def supported() -> bool:
    """Whether oneDNN does products in bf16 here: not on a processor with AVX2 alone, where torch has its own."""
    return torch.backends.mkldnn.is_available() and torch.ops.mkldnn._is_mkldnn_bf16_supported()


def _forward(layer: nn.Linear, blocks: Tensor, rows: Tensor) -> Tensor:
    return _product(blocks, rows, layer.weight, layer.bias)


def _product(blocks: Tensor, rows: Tensor, weight: Tensor, bias: Any) -> Tensor:
    """rows [..., in] times the weight [out, in] that is in blocks: [..., out]."""
    return torch.ops.mkldnn._linear_pointwise(rows, blocks, bias, "none", [], "")
