"""The keys of `objective`. Formulas and papers are in docs/algorithms.md."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from r1zero.config.section import Section


class Objective(Section):
    name: str
    """docs/algorithms.md has the list."""
    learn: Literal["answers", "last_answer"] = "answers"
    """Of a chat with several turns: learn all of the assistant's, or the last alone."""
    loss: Literal["sigmoid", "hinge", "ipo"] = "sigmoid"
    """Of the difference between chosen and rejected answer."""
    beta: float = Field(default=0.1, gt=0)
    """How strongly the policy is held to the frozen start weights; of ipo, 1 / (2 x the wanted margin)."""
    label_smoothing: float = Field(default=0.0, ge=0, lt=0.5)
    """Share of pairs that are believed to be labelled the wrong way round."""
    length_normalised: bool = False
    """Compare means over an answer's tokens instead of sums."""
    nll_weight: float = Field(default=0.0, ge=0)
    """Weight of the chosen answer's negative log-likelihood per token, added to the loss."""
    step_mark: str = "\n\n"
    """What follows every step; what the model sees there judges the step."""
    good_token: str = ""
    """Next token of a causal model that says a step is good; empty trains a token-classification model."""
    bad_token: str = ""
    teacher: str = ""
    """The frozen model to learn from: a folder, a Hugging Face id, or a name of `r1zero model list`, with the same
    tokenizer."""
    divergence: Literal["reverse_kl", "forward_kl", "jsd"] = "reverse_kl"
    """Between the student's and the teacher's next-token distributions."""
    teacher_share: float = Field(default=0.5, gt=0, lt=1)
    """Share of the teacher in the mixture that `jsd` compares both with."""
    on_policy: bool = True
    """Learn on the student's own samples, by `rollout`; false learns on the answers of the data."""
