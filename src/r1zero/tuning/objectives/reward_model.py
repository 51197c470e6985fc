"""Outcome reward models: Bradley-Terry on pairs (InstructGPT, arXiv 2203.02155), with a margin where rows have one
(Llama 2, arXiv 2307.09288)."""

from __future__ import annotations

import numpy as np
from torch.nn.functional import softplus

from r1zero import config
from r1zero.data.handlers import Fields
from r1zero.data.read.cells import BadRow
from r1zero.tuning.objectives.base import Objective, judged, pairs, sums, to_tokens
from r1zero.types import Batch, Sample, TokenLoss, TokenValues


def preference(fields: Fields) -> tuple[Sample, ...]:
    """The last token of the chosen and of the rejected text is scored. What both begin with is their prompt; half the
    margin is what the one should have more than nothing, and the other less. Raises BadRow for two equal texts."""
    texts = fields["chosen_input_ids"], fields["rejected_input_ids"]
    shortest = min(map(len, texts))
    differs = texts[0][:shortest] != texts[1][:shortest]
    prompt = int(differs.argmax()) if differs.any() else shortest
    if len(texts[0]) == len(texts[1]) == prompt:
        raise BadRow("the chosen and the rejected answer are the same")
    if not prompt:
        raise BadRow("the chosen and the rejected answer have different prompts")
    half = fields["margin"][0] / 2
    return tuple(
        judged(ids, prompt, np.array([len(ids) - 1]), returns=np.array([side * half]))
        for ids, side in zip(texts, (1, -1), strict=True)
    )


def bradley_terry(predicted: TokenValues, batch: Batch) -> TokenLoss:
    """-log s(r_chosen - r_rejected - margin), mean over pairs."""
    assert batch.returns is not None
    chosen, rejected = pairs(sums(predicted.values, batch))
    wanted, unwanted = pairs(sums(batch.returns, batch))
    noted = {
        "accuracy": (chosen > rejected).float(),
        "reward/chosen": chosen.detach(),
        "reward/rejected": rejected.detach(),
        "margin": (chosen - rejected).detach(),
    }
    value = softplus(-((chosen - wanted) - (rejected - unwanted)))
    return TokenLoss(to_tokens(value, batch), {name: to_tokens(of, batch) for name, of in noted.items()})


def reward_model(settings: config.Objective) -> Objective:
    """A sequence-classification model with one label."""
    return Objective(
        settings=settings,
        rows="judged_pairs",
        to_samples=preference,
        loss=bradley_terry,
        head="sequence_score",
        loss_mean="sequence",
        together=2,
        shown=("loss", "accuracy", "margin"),
    )


OBJECTIVES = {"reward_model": reward_model}
