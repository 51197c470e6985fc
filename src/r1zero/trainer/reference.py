"""The reference policy: the model as training began."""

from __future__ import annotations

import copy
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor

from r1zero.data.packing import to_device
from r1zero.models import adapters
from r1zero.models.forward import token_logprobs
from r1zero.types import Batch


class Reference:
    """Made from a policy before its first update. Where adapters train, it is the policy's own model with them switched
    off: one copy of the weights. Otherwise it is a frozen copy."""

    def __init__(self, policy: Any) -> None:
        self._shared = adapters.adapted(policy)
        self._model = policy if self._shared else copy.deepcopy(policy).requires_grad_(False)

    @torch.no_grad()
    def logprobs(self, batch: Batch, temperature: float = 1.0) -> Tensor:
        """Log-probabilities [N] of a pack's targets."""
        self._model.eval()
        with adapters.without(self._model) if self._shared else nullcontext():
            return token_logprobs(self._model, to_device(batch, self._model.device), temperature).logprobs
