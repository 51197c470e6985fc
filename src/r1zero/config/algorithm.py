"""The keys of `algorithm`. Formulas and papers are in docs/algorithms.md."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from r1zero.config.section import Section


class Correction(Section):
    level: Literal["none", "token", "sequence", "geometric"] = "none"
    """Multiply the loss by p(trainer, before the step) / p(sampled): of each token, of the whole response (product over
    its tokens), or their geometric mean. Corrects for an engine that computes otherwise and for rollouts of earlier
    policies, also where several sampled one response."""
    mode: Literal["truncate", "mask"] = "truncate"
    """A weight outside low..high becomes the nearest bound, or 0."""
    low: float = Field(default=0.0, ge=0)
    high: float = Field(default=2.0, gt=0)


class Algorithm(Section):
    name: str
    """docs/algorithms.md has the list."""
    group_size: int = Field(ge=1)
    """Rollouts per prompt."""
    kl: float | None = Field(default=None, ge=0)
    """Coefficient of the KL to the frozen start weights; 0 only measures it; null loads no reference."""
    kl_estimator: Literal["k1", "k2", "k3"] = "k3"
    kl_in: Literal["loss", "reward"] = "loss"
    """Add the KL to the loss, or subtract each token's from its reward."""
    kl_target: float | None = Field(default=None, gt=0)
    """Adapt the coefficient so that the measured KL per token stays here; null keeps it fixed."""
    kl_horizon: int = Field(default=10_000, ge=1)
    """Rollouts in which the adaptive coefficient may change by a fifth."""
    clip_low: float = Field(default=0.2, ge=0, le=1)
    clip_high: float = Field(default=0.2, ge=0)
    entropy: float = 0.0
    """Coefficient of the entropy bonus."""
    loss_mean: Literal["token", "sequence", "constant"] | None = None
    """What the loss is a mean over, always over the whole optimizer step: its tokens; its sequences, each the mean of
    its tokens; or its sequences, each the sum of its tokens over rollout.max_new_tokens. null: the algorithm's own."""
    gamma: float = Field(default=1.0, gt=0, le=1)
    """Discount per token."""
    gae_lambda: float = Field(default=1.0, ge=0, le=1)
    whiten: bool = True
    """Give the advantages of a step's tokens mean 0 and standard deviation 1."""
    filter_by: str = "reward"
    """Sample on until enough groups differ in this: a verifier's value, or `reward`, their weighted sum."""
    max_rounds: int = Field(default=10, ge=1)
    """Batches of prompts that may be sampled for one step."""
    correction: Correction = Correction()
