"""Process reward models: every step of a solution is judged at its last token (arXiv 2305.20050; Math-Shepherd, arXiv
2312.08935)."""

from __future__ import annotations

import numpy as np
from torch.nn.functional import binary_cross_entropy_with_logits

from r1zero import config
from r1zero.data.handlers import Fields
from r1zero.data.read.cells import BadRow
from r1zero.tuning.objectives.base import Objective, judged
from r1zero.types import Batch, Sample, TokenLoss, TokenValues


def solution(fields: Fields) -> tuple[Sample, ...]:
    """Raises BadRow where no step is judged."""
    ids, judgements = fields["input_ids"], fields["judgements"]
    places = np.flatnonzero(~np.isnan(judgements))
    if not len(places):
        raise BadRow("the row has no judged step")
    prompt = max(1, int(places[0]))
    return (judged(ids, prompt, places, returns=judgements[places]),)


def judge(predicted: TokenValues, batch: Batch) -> TokenLoss:
    """-y log s(v) - (1 - y) log s(-v) with y the probability that the step is good. [N]."""
    assert batch.returns is not None
    value = binary_cross_entropy_with_logits(predicted.values, batch.returns, reduction="none")
    right = (predicted.values > 0) == (batch.returns > 0.5)
    return TokenLoss(value, {"accuracy": right.float(), "good": batch.returns})


def process_reward(settings: config.Objective) -> Objective:
    """A token-classification model with one label; with `good_token` a causal model, whose score is the difference of
    the logits of the two tokens. Mean over steps."""
    return Objective(
        settings=settings,
        rows="judged_steps",
        to_samples=solution,
        loss=judge,
        head="judgement" if settings.good_token else "token_score",
        shown=("loss", "accuracy"),
        uses=frozenset({"step_mark", "good_token", "bad_token"}),
    )


OBJECTIVES = {"process_reward": process_reward}
