"""Direct preference optimisation (DPO, arXiv 2305.18290) and its relatives, on h = log p(chosen) / p_ref(chosen) -
log p(rejected) / p_ref(rejected), sums over the answers' tokens or (length_normalised) means."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from r1zero import config
from r1zero.base.errors import UsageError
from r1zero.data.handlers import Fields
from r1zero.data.read.cells import BadRow
from r1zero.tuning.objectives.base import Objective, pairs, sums, to_tokens
from r1zero.tuning.objectives.sft import answers
from r1zero.types import Batch, Sample, TokenLogprobs, TokenLoss


def preference(fields: Fields) -> tuple[Sample, ...]:
    """The chosen and the rejected answer to one prompt. Raises BadRow where they do not make a pair."""
    sides = ({name: fields[f"{side}_{name}"] for name in ("input_ids", "labels")} for side in ("chosen", "rejected"))
    chosen, rejected = (answers(side)[0] for side in sides)
    if not np.array_equal(chosen.prompt_ids, rejected.prompt_ids):
        raise BadRow("the chosen and the rejected answer have different prompts")
    if np.array_equal(chosen.response_ids, rejected.response_ids):
        raise BadRow("the chosen and the rejected answer are the same")
    return chosen, rejected


def pair_loss(h: Tensor, settings: config.Objective) -> Tensor:
    """sigmoid: -(1 - e) log s(beta h) - e log s(-beta h), e the label smoothing (arXiv 2305.18290; conservative DPO);
    hinge: max(0, 1 - beta h) (SLiC, arXiv 2305.10425); ipo: (h - 1 / (2 beta))^2 (arXiv 2310.12036). [P] -> [P]."""
    if settings.loss == "hinge":
        return torch.relu(1 - settings.beta * h)
    if settings.loss == "ipo":
        return (h - 1 / (2 * settings.beta)) ** 2
    e, h = settings.label_smoothing, settings.beta * h
    return -(1 - e) * logsigmoid(h) - e * logsigmoid(-h)


def dpo(settings: config.Objective) -> Objective:
    """Mean over pairs; `nll_weight` adds the chosen answer's -log p per token (RPO, arXiv 2404.19733)."""
    if settings.label_smoothing and settings.loss != "sigmoid":
        raise UsageError(f"objective.label_smoothing = {settings.label_smoothing}: only with loss: sigmoid; remove it")

    def loss(policy: TokenLogprobs, batch: Batch) -> TokenLoss:
        assert batch.reference_logprobs is not None
        ratios = sums(policy.logprobs - batch.reference_logprobs, batch)
        counts = sums(torch.ones_like(policy.logprobs), batch)
        if settings.length_normalised:
            ratios = ratios / counts
        chosen, rejected = pairs(ratios)
        likelihood = pairs(sums(policy.logprobs, batch) / counts)[0]
        value = pair_loss(chosen - rejected, settings) - settings.nll_weight * likelihood
        noted = {
            "accuracy": (chosen > rejected).float(),
            "reward/chosen": settings.beta * chosen.detach(),
            "reward/rejected": settings.beta * rejected.detach(),
            "margin": settings.beta * (chosen - rejected).detach(),
            "nll/chosen": -likelihood.detach(),
        }
        return TokenLoss(to_tokens(value, batch), {name: to_tokens(of, batch) for name, of in noted.items()})

    return Objective(
        settings=settings,
        rows="pairs",
        to_samples=preference,
        loss=loss,
        loss_mean="sequence",
        together=2,
        needs_reference=True,
        shown=("loss", "accuracy", "margin"),
        uses=frozenset({"loss", "beta", "label_smoothing", "length_normalised", "nll_weight"}),
    )


OBJECTIVES = {"dpo": dpo}
