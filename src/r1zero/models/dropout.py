"""A model's own random numbers in training: switched off.

Reinforcement learning compares the probability that a token has in training with the one it was sampled with. Dropout,
skipped layers or jitter in a router would make them differ with the very same weights, and ratios would be clipped for
nothing. Adapters keep a dropout of their own, which the recipe names.
"""

from __future__ import annotations

import re
from typing import Any

from torch import nn
from torch.nn.modules.dropout import _DropoutNd

from r1zero.base.log import log
from r1zero.models.configs import nested

_RATE = re.compile("drop|jitter")  # attn_pdrop, hidden_dropout_prob, layerdrop, router_jitter_noise, ...


def switch_off(config: Any, key: str) -> None:
    """Set every such rate of a transformers config to 0, before a model is made of it, and say so."""
    found: dict[str, float] = {}
    for part in nested(config):
        for name, value in list(vars(part).items()):
            if _RATE.search(name) and isinstance(value, float) and value > 0:
                found[name] = value
                setattr(part, name, 0.0)
    if found:
        rates = ", ".join(f"{name} {value:g}" for name, value in sorted(found.items()))
        log.info(f"{key}: {config.model_type}'s own dropout ({rates}) is off, in training too")


def switch_off_layers(model: nn.Module) -> None:
    """The same for layers whose rate no config gives."""
    for module in model.modules():
        if isinstance(module, _DropoutNd):
            module.p = 0.0
