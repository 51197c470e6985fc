"""Pack and update: samples become packs, packs become optimizer steps of the policy and of the critic."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from statistics import fmean

import numpy as np

from r1zero import config
from r1zero.algorithms.losses import LossMean, clipped_value_loss
from r1zero.data.packing import pack
from r1zero.trainer.base import Prediction, Trainer
from r1zero.types import Batch, Sample, TokenLoss, TokenValues


def split(groups: Sequence[list[Sample]], count: int) -> list[list[Sample]]:
    """Whole groups in `count` parts of nearly equal size."""
    bounds = np.linspace(0, len(groups), count + 1).astype(int)
    return [[sample for group in groups[start:end] for sample in group] for start, end in pairwise(bounds)]


def to_minibatches(
    groups: Sequence[list[Sample]], settings: config.Trainer, mean: LossMean, longest: int
) -> list[list[Batch]]:
    """Pack: the packs of each optimizer step of one epoch."""
    return [
        pack(part, tokens_per_pack=settings.tokens_per_pack, loss_mean=mean, longest_response=longest)
        for part in split(groups, settings.minibatches)
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
        shares: list[dict[str, float]] = []
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


def update_critic(
    critic: Trainer[TokenValues], groups: Sequence[list[Sample]], settings: config.Critic
) -> dict[str, float]:
    """The critic's own optimizer steps on the same samples."""
    minibatches = [pack(part, tokens_per_pack=settings.tokens_per_pack) for part in split(groups, settings.minibatches)]
    loss = partial(clipped_value_loss, clip=settings.value_clip)
    metrics = update(critic, minibatches * settings.epochs, loss, lambda _: True)
    return {f"critic/{name}": value for name, value in metrics.items()}
