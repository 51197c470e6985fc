"""Supervised fine-tuning: the next token of every answer, given everything before it."""

from __future__ import annotations

import numpy as np

from r1zero import config
from r1zero.algorithms.losses import negative_log_likelihood
from r1zero.data.handlers import IGNORED, Fields
from r1zero.data.read.cells import BadRow
from r1zero.tuning.objectives.base import Objective, sample
from r1zero.types import Batch, Sample, TokenLogprobs, TokenLoss


def answers(fields: Fields) -> tuple[Sample, ...]:
    """Everything before the first learned token is the prompt. Raises BadRow where nothing is learned."""
    ids, labels = fields["input_ids"], fields["labels"]
    learned = labels != IGNORED
    learned[:1] = False  # nothing predicts the first token
    if not learned.any():
        raise BadRow("the row has no token to learn")
    prompt = int(learned.argmax())
    mask, wanted = learned[prompt:], labels[prompt:]
    other = bool((wanted != ids[prompt:])[mask].any())  # some formats teach an end that they do not write
    return (sample(ids, prompt, mask, targets=np.where(mask, wanted, 0) if other else None),)


def next_token(policy: TokenLogprobs, _: Batch) -> TokenLoss:
    """-log p of each learned token."""
    return TokenLoss(negative_log_likelihood(policy.logprobs), {"entropy": policy.entropy.detach()})


def sft(settings: config.Objective) -> Objective:
    """Token mean over the step."""
    return Objective(settings=settings, rows="answers", to_samples=answers, loss=next_token, uses=frozenset({"learn"}))


OBJECTIVES = {"sft": sft}
