"""How a model is trained: optimizer, schedule, batches. Shared by every kind of training."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import Field

from r1zero.config.model import Lora
from r1zero.config.section import Conflicts, Location, Section

Schedule: TypeAlias = Literal["constant", "linear", "cosine", "wsd", "inverse_sqrt"]
DecayShape: TypeAlias = Literal["linear", "cosine", "1-sqrt"]
Momentum: TypeAlias = Annotated[float, Field(ge=0, lt=1)]
OptimizerName: TypeAlias = Literal["adamw", "adamw_8bit", "nadam", "radam", "adafactor", "sgd"]


class Optimization(Section):
    tokens_per_pack: int = Field(default=4096, ge=2)
    """Tokens of one forward-backward pass, per device; an optimizer step adds up the gradients of all its packs."""
    optimizer: OptimizerName = "adamw"
    """adamw_8bit keeps its moments in 8 bits, adafactor the second one by rows and columns."""
    lr: float = Field(gt=0)
    schedule: Schedule = "constant"
    """After warm-up: hold; fall to min_lr_ratio at the last step; wsd holds, and falls in the last decay_steps;
    inverse_sqrt falls as 1 / sqrt(step)."""
    warmup_steps: int = Field(default=0, ge=0)
    """Optimizer steps of linear warm-up."""
    decay_steps: int = Field(default=0, ge=0)
    """Optimizer steps of the fall at the end of schedule wsd."""
    decay_shape: DecayShape = "linear"
    """How schedule wsd falls."""
    min_lr_ratio: float = Field(default=0.0, ge=0, le=1)
    weight_decay: float = Field(default=0.0, ge=0)
    """On matrices only."""
    betas: tuple[Momentum, Momentum] = (0.9, 0.999)
    """Of the moments of the Adam family; of sgd, the first is the momentum."""
    clip_grad: float = Field(default=1.0, gt=0)
    """Largest global norm of the gradient."""
    ema: float | None = Field(default=None, gt=0, lt=1)
    """Also keep an fp32 average of the weights, with this decay per optimizer step; null keeps none."""

    def conflicts(self, section: str) -> Conflicts:
        if self.schedule == "wsd" and not self.decay_steps:
            return [(f"{section}.decay_steps", "schedule wsd falls in the last decay_steps; set it above 0")]
        if self.schedule != "wsd" and self.decay_steps:
            return [(f"{section}.decay_steps", "belongs to schedule wsd; choose that, or set it to 0")]
        return []


class Trainer(Optimization):
    prompts_per_step: int = Field(ge=1)
    """Prompts per RL step, global; times algorithm.group_size is the number of rollouts."""
    minibatches: int = Field(default=1, ge=1)
    """Optimizer steps per pass over a step's rollouts."""
    epochs: int = Field(default=1, ge=1)
    """Passes over a step's rollouts."""


class Critic(Optimization):
    path: Location = ""
    """A causal LM, which gets a fresh head, or a reward model (sequence classification, one label); empty is
    model.path."""
    lora: Lora | None = None
    """Train adapters and the head; the rest stays as it is."""
    minibatches: int = Field(default=1, ge=1)
    """Optimizer steps per pass over a step's rollouts."""
    epochs: int = Field(default=1, ge=1)
    """Passes over a step's rollouts."""
    value_clip: float | None = Field(default=0.2, gt=0)
    """Largest useful change of a value within a step; null does not clip."""


class PretrainTrainer(Optimization):
    samples_per_step: int = Field(ge=1)
    """Documents per optimizer step, global."""
