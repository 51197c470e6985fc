"""What the loop carries from step to step beside weights, and its file in a checkpoint."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from r1zero import config
from r1zero.algorithms import Algorithm
from r1zero.algorithms import build as build_algorithm
from r1zero.algorithms.kl import adapted
from r1zero.base.log import log
from r1zero.types import Completion, Group, Prompt, Rollout, Score

_FILE = "memory.json"


@dataclass(slots=True, eq=False)
class LoopState:
    """The KL coefficient of the next step, and graded groups that wait for it."""

    kl: float | None
    surplus: tuple[Group, ...] = ()

    def algorithm(self, of_recipe: Algorithm) -> Algorithm:
        """The recipe's algorithm, with the KL coefficient where it has been adapted to."""
        if of_recipe.settings.kl_target is None:
            return of_recipe
        return build_algorithm(of_recipe.settings.model_copy(update={"kl": self.kl}))

    def advance(
        self,
        kept: Sequence[Group],
        surplus: tuple[Group, ...],
        metrics: Mapping[str, float],
        settings: config.Algorithm,
    ) -> dict[str, float]:
        """Go on to the next step. The KL coefficient follows the measured KL; the one used is returned."""
        self.surplus = surplus
        if settings.kl_target is None or self.kl is None or "kl" not in metrics:
            return {}
        used, rollouts = self.kl, sum(len(group.rollouts) for group in kept)
        self.kl = adapted(
            used, metrics["kl"], target=settings.kl_target, rollouts=rollouts, horizon=settings.kl_horizon
        )
        return {"kl_coefficient": used}

    def save(self, folder: Path) -> None:
        state = {"kl": self.kl, "surplus": [_record(group) for group in self.surplus]}
        (folder / _FILE).write_text(json.dumps(state, ensure_ascii=False))

    def load(self, folder: Path, prompts: Iterable[Prompt]) -> None:
        """A group whose prompt is no longer among `prompts` is left out, and said so."""
        state = json.loads((folder / _FILE).read_text())
        known = {prompt.problem.id: prompt for prompt in prompts}
        self.kl = state["kl"]
        self.surplus = tuple(
            _group(record, known[record["problem"]]) for record in state["surplus"] if record["problem"] in known
        )
        if gone := len(state["surplus"]) - len(self.surplus):
            log.warning(f"{gone} sampled groups are dropped: their problems are no longer in the data")


def _record(group: Group) -> dict[str, Any]:
    return {"problem": group.prompt.problem.id, "rollouts": [_rollout_record(rollout) for rollout in group.rollouts]}


def _rollout_record(rollout: Rollout) -> dict[str, Any]:
    completion, score = rollout.completion, rollout.score
    return {
        "text": rollout.text,
        "token_ids": completion.token_ids.tolist(),
        "logprobs": completion.logprobs.tolist(),  # as doubles, whose shortest decimal gives the same float32 back
        "finish_reason": completion.finish_reason,
        "versions": completion.versions,
        "value": score.value,
        "parts": dict(score.parts),
        "verdict": score.verdict,
        "detail": score.detail,
    }


def _group(record: Mapping[str, Any], prompt: Prompt) -> Group:
    return Group(prompt=prompt, rollouts=tuple(_rollout(one, prompt) for one in record["rollouts"]))


def _rollout(record: Mapping[str, Any], prompt: Prompt) -> Rollout:
    return Rollout(
        prompt=prompt,
        completion=Completion(
            token_ids=np.array(record["token_ids"], dtype=np.int32),
            logprobs=np.array(record["logprobs"], dtype=np.float32),
            finish_reason=record["finish_reason"],
            versions=tuple((version, count) for version, count in record["versions"]),
        ),
        text=record["text"],
        score=Score(value=record["value"], parts=record["parts"], verdict=record["verdict"], detail=record["detail"]),
    )
