"""Rotary tables that depend on a sequence's length: one table for all sequences of a run.

With longrope (Phi-3.5 mini, Phi-4 mini) and dynamic NTK, transformers takes other angles as soon as the longest
sequence of a call passes a limit. A token's probability would then depend on its neighbours in the pack or in the
engine's batch, and its cached keys would have been turned by another table. So a run decides once, by the longest
sequence it allows, as vLLM does by `max_model_len`.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from r1zero.base.log import log


def fix_length(model: nn.Module, longest: int, key: str) -> None:
    """From now on every table of `model` that goes by length is that of a sequence of `longest` tokens."""
    kinds: set[str] = set()
    for module in model.modules():
        if found := _kinds_by_length(module):
            kinds |= found
            vars(module)["forward"] = partial(_as_of_longest, module, longest - 1)
    if kinds:
        log.info(
            f"{key}: {' and '.join(sorted(kinds))} rotary angles go by length: this run has those of {longest} tokens, "
            f"its longest sequence, for all"
        )


def stretched(rope: Any) -> float:
    """How many times its `max_position_embeddings` a model reaches by dynamic NTK, by its config's rope_parameters."""
    return float(rope["factor"]) if rope and rope.get("rope_type") == "dynamic" else 1.0


def _kinds_by_length(module: nn.Module) -> set[str]:
    kinds = getattr(module, "rope_type", None)
    named = kinds.values() if isinstance(kinds, dict) else [kinds]
    return {kind for kind in named if isinstance(kind, str) and (kind == "longrope" or "dynamic" in kind)}


def _as_of_longest(module: nn.Module, last: int, hidden: Any, position_ids: Tensor, *rest: Any, **options: Any) -> Any:
    """Cosines and sines [..., T, D] (or complex numbers, one tensor) of positions [..., T]. The module is asked for one
    position more, the last of the longest sequence."""
    more = torch.cat((position_ids, position_ids.new_full((*position_ids.shape[:-1], 1), last)), dim=-1)
    tables = type(module).forward(module, hidden, more, *rest, **options)
    return tuple(table[..., :-1, :] for table in tables) if isinstance(tables, tuple) else tables[..., :-1, :]
