"""The keys of a recipe that trains on rows instead of rewards: those with an `objective` section."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from r1zero.config.data import Selection, Source
from r1zero.config.model import Model
from r1zero.config.objective import Objective
from r1zero.config.optimization import PretrainTrainer
from r1zero.config.rollout import Rollout
from r1zero.config.run import Logging, Run
from r1zero.config.section import Conflicts, FilledLocation, Location, Section


class TuningRun(Run):
    steps: int = Field(default=0, ge=0)
    """Optimizer steps; 0 asks epochs."""
    epochs: float = Field(default=0.0, ge=0)
    """Passes over the data, which end the run if steps does not end it before; 0 asks steps alone."""


class TuningModel(Model):
    rope_theta: float | None = Field(default=None, gt=0)
    """Base of the rotary embedding in place of the model's: raise it to extend the context."""
    context: int | None = Field(default=None, ge=2)
    """Positions the model is for after training, in place of what its config says."""


class Rows(Selection):
    path: FilledLocation
    """As of problems (docs/data.md); with layout prepared, the output_prefix of `r1zero prepare`, or the table it
    wrote."""
    layout: Literal["alpaca", "sharegpt", "openai", "steps", "text", "prepared"]
    """What a row looks like (docs/data.md): question and answer, turns of a chat, judged steps, plain text, tokens."""
    columns: dict[str, Any] = Field(default={})
    """Where a row's parts are, as map_keys of `r1zero prepare`: {prompt, query, response, history, system, chosen,
    rejected} of alpaca, {messages, system, chosen, rejected, role_tag, ...} of sharegpt and openai, {prompt, steps,
    labels}, {text}, and {margin} of pairs; "" switches one off."""

    def source(self) -> Source:
        return Source(**{name: getattr(self, name) for name in Selection.model_fields})


class TuningData(Rows):
    template: str = "chat"
    """Name of a template or chat format (docs/data.md), or `chat` for the tokenizer's own chat template."""
    templates_file: Location = ""
    """YAML file with further templates, or a templates.json."""
    max_tokens: int = Field(ge=2)
    """Of a row; of a pair, of each answer with its prompt."""
    too_long: Literal["drop", "cut", "split"] = "drop"
    """What happens to longer rows: kept aside with the reason; cut off at max_tokens and counted; or, text only, cut in
    pieces that are all learned."""
    shuffle: bool = True


class TuningRecipe(Section):
    """Training on rows: `r1zero train` with a recipe that has an `objective`."""

    run: TuningRun
    model: TuningModel
    data: TuningData
    evaluation: Rows | None = None
    objective: Objective
    trainer: PretrainTrainer
    rollout: Rollout | None = None
    logging: Logging = Logging()

    def steps_over(self, rows: int) -> int:
        """Optimizer steps of the run on a data set of so many rows."""
        by_epochs = -(-round(self.run.epochs * rows) // self.trainer.samples_per_step)
        return min(filter(None, (self.run.steps, by_epochs)))

    def conflicts(self) -> Conflicts:
        found: Conflicts = [*self.model.conflicts("model"), *self.trainer.conflicts("trainer")]
        found += self.rollout.conflicts("rollout") if self.rollout else []
        if not self.run.steps and not self.run.epochs:
            found.append(("run.steps", "missing; give run.steps or run.epochs"))
        if self.trainer.tokens_per_pack < self.data.max_tokens:
            longest = self.data.max_tokens
            found.append(("trainer.tokens_per_pack", f"cannot hold one row of data.max_tokens = {longest}; raise it"))
        if bool(self.objective.good_token) != bool(self.objective.bad_token):
            found.append(("objective.good_token", "needs a bad_token to be compared with, and vice versa"))
        return found
