"""Distillation from a teacher that says of every token how likely it is: on the student's own samples (on-policy, GKD,
arXiv 2306.13649; MiniLLM, arXiv 2306.08543) or on the answers of the data."""

from __future__ import annotations

from r1zero import config
from r1zero.base.errors import UsageError
from r1zero.tuning.objectives.base import Objective
from r1zero.tuning.objectives.sft import answers
from r1zero.types import Batch, TokenDivergence, TokenLoss


def divergence(predicted: TokenDivergence, _: Batch) -> TokenLoss:
    """The divergence between student and teacher before each token; the samples themselves get no gradient."""
    return TokenLoss(predicted.divergence, {"entropy": predicted.entropy, "agreement": predicted.agreement})


def distillation(settings: config.Objective) -> Objective:
    """Token mean over the step. Raises UsageError without a teacher."""
    if not settings.teacher:
        raise UsageError("objective.teacher: missing; name the model to learn from")
    uses = {"teacher", "divergence", "on_policy", "learn"}
    return Objective(
        settings=settings,
        rows="answers",
        to_samples=answers,
        loss=divergence,
        head="teacher",
        samples_itself=settings.on_policy,
        shown=("loss", "agreement"),
        uses=frozenset(uses | {"teacher_share"} if settings.divergence == "jsd" else uses),
    )


OBJECTIVES = {"distillation": distillation}
