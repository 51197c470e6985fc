"""Measure: what the models say of a step's tokens before its first update."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from torch import Tensor

from r1zero import config
from r1zero.algorithms import Algorithm
from r1zero.data.packing import pack, unpack
from r1zero.rl import samples
from r1zero.rl.samples import Measured
from r1zero.run.session import Watch
from r1zero.trainer.base import Trainer
from r1zero.types import Batch, Sample, TokenLogprobs, TokenValues


def measure(
    drafts: Sequence[Sample],
    algorithm: Algorithm,
    policy: Trainer[TokenLogprobs],
    reference: Callable[[Batch], Tensor] | None,
    critic: Trainer[TokenValues] | None,
    *,
    updates: int,
    watch: Watch,
) -> Measured:
    """Forward passes over the drafts by the models that the step needs: the policy only if its log-probabilities enter
    the reward, or if the rollouts feed more than one of `updates` optimizer steps."""

    def ask(
        phase: str, asked: Sequence[Sample], settings: config.Optimization, says: Callable[[Batch], Tensor]
    ) -> list[np.ndarray]:
        with watch.clock(phase):
            packs = pack(asked, tokens_per_pack=settings.tokens_per_pack)
            said: list[Tensor] = []
            for batch in packs:
                watch.check()
                said.append(says(batch))
            return unpack(packs, said, len(asked))

    def policies(asked: Sequence[Sample]) -> Measured:
        old = start = None
        if updates > 1 or algorithm.penalises_kl:
            old = ask("old_logprobs", asked, policy.settings, lambda batch: policy.predict(batch).logprobs)
        if reference is not None:
            start = ask("reference", asked, policy.settings, reference)
        return Measured(old_logprobs=old, reference_logprobs=start)

    found = policies(drafts)
    if critic is not None:
        values = ask("values", drafts, critic.settings, lambda batch: critic.predict(batch).values)
        found = replace(found, values=values)
    if algorithm.penalises_kl and not all(draft.mask.any() for draft in drafts):
        penalties = samples.kl_penalties(policies(samples.unlearned(drafts)), algorithm.settings)
        found = replace(found, unlearned_penalties=np.array([penalty.sum() for penalty in penalties]))
    return found
