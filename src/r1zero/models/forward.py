"""A pack through a model: log-probabilities of its targets."""

from __future__ import annotations

from typing import Any

from r1zero.models.attention import PackPlan
from r1zero.models.head import lm_head, target_logprobs
from r1zero.models.load import hidden_states
from r1zero.types import Batch, TokenLogprobs


def token_logprobs(model: Any, batch: Batch, temperature: float = 1.0) -> TokenLogprobs:
    """Log-probabilities and entropies [N] of a pack's targets under softmax(logits / temperature).

    The output layer runs only where a response token is predicted.
    """
    hidden = hidden_states(model, batch.token_ids, batch.positions, PackPlan(batch.segments))
    return target_logprobs(hidden[batch.predictors], lm_head(model), batch.targets, temperature)
