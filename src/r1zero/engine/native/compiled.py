"""The model's layers by torch.compile while the engine samples: fewer kernels and launches on an accelerator.

A layer is compiled, not the model: its code is the same for all layers, so one compilation serves them, and attention
stays outside, with its plan. Needs a C++ compiler on CPU and Triton on CUDA.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import nn
from transformers import AttentionInterface

from r1zero.base.errors import UsageError
from r1zero.engine.native.replaced import replaced
from r1zero.models.attention import IMPLEMENTATION, plan_attention


class CompiledLayers:
    """The decoder layers of a model, and what torch.compile makes of them. Shapes are dynamic: rows come and go."""

    def __init__(self, model: Any) -> None:
        AttentionInterface.register(IMPLEMENTATION, torch.compiler.disable(plan_attention))
        self.layers = _decoder_layers(model)
        self._forwards = [torch.compile(layer.forward, dynamic=True) for layer in self.layers]

    def in_use(self) -> AbstractContextManager[None]:
        """The layers are the compiled ones inside the context; outside nothing has changed."""
        return replaced(zip(self.layers, self._forwards, strict=True))


def _decoder_layers(model: Any) -> list[nn.Module]:
    count = model.config.get_text_config().num_hidden_layers
    for module in model.modules():
        if isinstance(module, nn.ModuleList) and len(module) == count:
            return list(module)
    raise UsageError(f"rollout.compile = true: {type(model).__name__} has no list of {count} layers; remove it")
