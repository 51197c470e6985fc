"""REINFORCE++ (arXiv 2501.03262): no critic, and advantages normalised over the whole step instead of the group."""

from __future__ import annotations

import numpy as np

from r1zero import config
from r1zero.algorithms.advantages import by_group, generalised, group_centred, token_rewards, whitened
from r1zero.algorithms.base import Algorithm, refuse_groups_of_one
from r1zero.algorithms.losses import clipped_surrogate
from r1zero.types import Credit, Experience


def reinforce_plus_plus(settings: config.Algorithm) -> Algorithm:
    """The reward to come, with `kl_in: reward` less the KL to come, whitened over the step's tokens. Groups of 1 will
    do."""

    def advantages(experience: Experience) -> Credit:
        rewards = token_rewards(experience)
        to_come = generalised(rewards, np.zeros_like(rewards), experience.lengths, gamma=settings.gamma, gae_lambda=1.0)
        return Credit(advantages=whitened(to_come))

    return Algorithm(
        settings=settings,
        advantages=advantages,
        surrogate=clipped_surrogate,
        uses=frozenset({"gamma"}),
    )


def reinforce_plus_plus_baseline(settings: config.Algorithm) -> Algorithm:
    """The reward less the group's mean, whitened over the step's tokens."""

    refuse_groups_of_one(settings)

    def advantages(experience: Experience) -> Credit:
        return Credit(advantages=whitened(np.repeat(by_group(experience, group_centred), experience.lengths)))

    return Algorithm(
        settings=settings,
        advantages=advantages,
        surrogate=clipped_surrogate,
    )


ALGORITHMS = {
    "reinforce_plus_plus": reinforce_plus_plus,
    "reinforce_plus_plus_baseline": reinforce_plus_plus_baseline,
}
