"""A model that answers the prompts it learns from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Any

import numpy as np

from r1zero.engine.base import RolloutEngine
from r1zero.rl.samples import draft
from r1zero.types import Group, Problem, Prompt, Rollout, Sample, Sampling, Score


@dataclass(frozen=True, slots=True, kw_only=True)
class OnPolicy:
    """An engine that shares the trainer's weights, and how it samples: one answer per prompt."""

    engine: RolloutEngine
    sampling: Sampling
    decode: Callable[[Any], str]

    def answer(self, given: Sequence[Sample], seed: int, on_group: Callable[[], None]) -> list[Group]:
        """A group of one rollout for the prompt of each sample, in their order. `on_group` is called whenever one is
        there and may raise to abandon the work."""
        prompts = [_prompt(sample.prompt_ids, number) for number, sample in enumerate(given)]
        groups: dict[int, Group] = {}
        for index, completions in self.engine.generate(prompts, replace(self.sampling, seed=seed)):
            prompt = prompts[index]
            rollouts = (
                Rollout(prompt=prompt, completion=done, text=self.decode(done.token_ids), score=Score(value=0.0))
                for done in completions
            )
            groups[index] = Group(prompt=prompt, rollouts=tuple(rollouts))
            on_group()
        return [groups[index] for index in range(len(prompts))]


def to_samples(groups: Sequence[Group]) -> list[Sample]:
    """Every sampled token is learned from."""
    return [draft(rollout, learned=True) for group in groups for rollout in group.rollouts]


def summary(groups: Sequence[Group]) -> dict[str, float]:
    completions = [rollout.completion for group in groups for rollout in group.rollouts]
    return {
        "response_length": fmean(len(completion.token_ids) for completion in completions),
        "truncated_rate": fmean(completion.finish_reason == "length" for completion in completions),
    }


def _prompt(token_ids: np.ndarray, number: int) -> Prompt:
    return Prompt(problem=Problem(id=f"row:{number}", question="", answer="", source=""), token_ids=token_ids)
