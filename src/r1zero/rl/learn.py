"""From a step's groups to new weights: measure, advantages, packs, updates of the policy and of the critic."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from itertools import pairwise
from statistics import fmean

import numpy as np
from torch import Tensor

from r1zero import config
from r1zero.algorithms import Algorithm
from r1zero.algorithms.losses import clipped_value_loss
from r1zero.data.packing import pack, unpack
from r1zero.rl import samples
from r1zero.rl.parts import Parts
from r1zero.rl.samples import Measured
from r1zero.run.session import Session
from r1zero.trainer.trainer import Prediction, Trainer
from r1zero.types import Batch, Group, Sample, TokenLoss


def to_samples(
    parts: Parts, session: Session, algorithm: Algorithm, groups: Sequence[Group]
) -> tuple[list[list[Sample]], dict[str, float]]:
    """The groups with advantages, and what happened on the way."""
    recipe = parts.recipe
    drafts = samples.drafts(groups, recipe.rewards)
    measured = measure(parts, session, algorithm, drafts)
    experience = samples.experience(groups, drafts, measured, recipe, algorithm)
    credit = algorithm.advantages(experience)
    finished = iter(samples.finished(drafts, measured, credit))
    metrics = samples.metrics(
        groups, experience, credit, recipe.rewards, recipe.rollout.max_new_tokens, version=session.done
    )
    return [[next(finished) for _ in group.rollouts] for group in groups], metrics


def measure(parts: Parts, session: Session, algorithm: Algorithm, drafts: Sequence[Sample]) -> Measured:
    """Forward passes over the drafts by the models that the step needs: the policy only if its log-probabilities enter
    the reward, or if the rollouts feed more than one update."""
    recipe = parts.recipe

    def ask(
        phase: str, asked: Sequence[Sample], settings: config.Optimization, says: Callable[[Batch], Tensor]
    ) -> list[np.ndarray]:
        with session.clock(phase):
            packs = pack(asked, tokens_per_pack=settings.tokens_per_pack)
            said = []
            for batch in packs:
                session.stop.check()
                said.append(says(batch))
            return unpack(packs, said, len(asked))

    def policies(asked: Sequence[Sample]) -> Measured:
        old = reference = None
        if recipe.updates_per_step() > 1 or algorithm.penalises_kl:
            old = ask("old_logprobs", asked, recipe.trainer, lambda batch: parts.trainer.predict(batch).logprobs)
        if parts.reference is not None:
            says = partial(parts.reference.logprobs, temperature=recipe.rollout.temperature)
            reference = ask("reference", asked, recipe.trainer, says)
        return Measured(old_logprobs=old, reference_logprobs=reference)

    found = policies(drafts)
    if (critic := parts.critic) is not None:
        values = ask("values", drafts, critic.settings, lambda batch: critic.predict(batch).values)
        found = replace(found, values=values)
    if algorithm.penalises_kl and not all(draft.mask.any() for draft in drafts):
        penalties = samples.kl_penalties(policies(samples.unlearned(drafts)), algorithm.settings)
        found = replace(found, unlearned_penalties=np.array([penalty.sum() for penalty in penalties]))
    return found


def split(groups: Sequence[list[Sample]], count: int) -> list[list[Sample]]:
    """Whole groups in `count` parts of nearly equal size."""
    bounds = np.linspace(0, len(groups), count + 1).astype(int)
    return [[sample for group in groups[start:end] for sample in group] for start, end in pairwise(bounds)]


def to_minibatches(recipe: config.Recipe, algorithm: Algorithm, groups: Sequence[list[Sample]]) -> list[list[Batch]]:
    """The packs of each optimizer step of one epoch."""
    return [
        pack(
            part,
            tokens_per_pack=recipe.trainer.tokens_per_pack,
            loss_mean=algorithm.mean,
            longest_response=recipe.rollout.max_new_tokens,
        )
        for part in split(groups, recipe.trainer.minibatches)
    ]


def update(
    trainer: Trainer[Prediction],
    minibatches: Sequence[Sequence[Batch]],
    loss: Callable[[Prediction, Batch], TokenLoss],
    learns_from: Callable[[Batch], bool],
    before: Callable[[bool], None] = lambda stepping: None,
) -> dict[str, float]:
    """One optimizer step per minibatch that has a gradient; returns means over the minibatches: the loss as it is, what
    is measured beside it by the same weights, made to sum to 1.

    Until the first optimizer step `before` may raise to give the update up: it is called before every pack, and with
    True before that step.
    """
    collected: dict[str, list[float]] = {}
    skipped = without = 0
    begun = False
    for packs in filter(None, minibatches):
        learning = [batch for batch in packs if learns_from(batch)]
        shares = []
        for batch in [*learning, *(batch for batch in packs if batch not in learning)]:
            if not begun:
                before(False)
            run = trainer.forward_backward if batch in learning else trainer.forward
            shares.append(run(batch, loss))
        if learning and not begun:
            before(True)
            begun = True
        done = trainer.step() if learning else trainer.pass_over()
        skipped += done.skipped
        without += not learning
        total = sum(float(batch.weight.sum()) for batch in packs)
        means = {name: sum(share[name] for share in shares) / total for name in shares[0]}
        means["loss"] *= total
        for name, value in {**means, "grad_norm": done.grad_norm, "lr": done.lr}.items():
            collected.setdefault(name, []).append(value)
    means = {name: fmean(values) for name, values in collected.items()}
    return {**means, "updates/skipped": skipped, "updates/without_gradient": without}


def update_policy(
    parts: Parts, session: Session, algorithm: Algorithm, minibatches: list[list[Batch]]
) -> dict[str, float]:
    with session.clock("update"):
        every = minibatches * parts.recipe.trainer.epochs
        return update(parts.trainer, every, algorithm.loss, algorithm.learns_from, session.before_update)


def update_critic(parts: Parts, session: Session, groups: Sequence[list[Sample]]) -> dict[str, float]:
    """The critic's own optimizer steps on the same samples."""
    settings = parts.recipe.critic
    if parts.critic is None or settings is None:
        return {}
    with session.clock("critic"):
        minibatches = [
            pack(part, tokens_per_pack=settings.tokens_per_pack) for part in split(groups, settings.minibatches)
        ]
        loss = partial(clipped_value_loss, clip=settings.value_clip)
        metrics = update(parts.critic, minibatches * settings.epochs, loss, lambda _: True)
    return {f"critic/{name}": value for name, value in metrics.items()}
