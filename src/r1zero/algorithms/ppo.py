"""PPO (arXiv 1707.06347) with a critic and generalised advantages; with gamma = lambda = 1 and no KL it is what
Open-Reasoner-Zero runs (arXiv 2503.24290). The critic's loss is `losses.clipped_value_loss`."""

from __future__ import annotations

from r1zero import config
from r1zero.algorithms.advantages import generalised, token_rewards, whitened
from r1zero.algorithms.base import Algorithm
from r1zero.algorithms.losses import clipped_surrogate
from r1zero.types import Credit, Experience


def ppo(settings: config.Algorithm) -> Algorithm:
    """GAE against the critic's values, whitened over the step's tokens; returns: the advantages before whitening plus
    the values."""

    def advantages(experience: Experience) -> Credit:
        assert experience.values is not None
        raw = generalised(
            token_rewards(experience),
            experience.values,
            experience.lengths,
            gamma=settings.gamma,
            gae_lambda=settings.gae_lambda,
        )
        return Credit(advantages=whitened(raw) if settings.whiten else raw, returns=raw + experience.values)

    return Algorithm(
        settings=settings,
        advantages=advantages,
        surrogate=clipped_surrogate,
        needs_critic=True,
        uses=frozenset({"gamma", "gae_lambda", "whiten"}),
    )


ALGORITHMS = {"ppo": ppo}
