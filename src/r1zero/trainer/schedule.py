"""Learning rates."""

from __future__ import annotations

import math

from r1zero.config import Optimization

_INVERSE_SQRT_STEPS = 10_000  # after which inverse_sqrt has fallen to 1 / sqrt(2), where there is no warm-up to say it


def learning_rate(settings: Optimization, update: int, total: int) -> float:
    """Rate of the update with index `update` (from 0) of `total`: linear warm-up, then the schedule's fall towards
    `min_lr_ratio`, which all but inverse_sqrt reach at the last update.

    wsd (warm-up, stable, decay; arXiv 2404.06395, 2405.18392) holds until the last `decay_steps`; inverse_sqrt (arXiv
    1706.03762) falls as sqrt(warmup_steps / update).
    """
    if update < settings.warmup_steps:
        return settings.lr * (update + 1) / settings.warmup_steps
    return settings.lr * (settings.min_lr_ratio + (1 - settings.min_lr_ratio) * _share(settings, update, total))


def _share(settings: Optimization, update: int, total: int) -> float:
    """From 1, right after warm-up, to 0."""
    since, last = update - settings.warmup_steps, total - 1
    if settings.schedule == "constant":
        return 1.0
    if settings.schedule == "inverse_sqrt":
        scale = settings.warmup_steps or _INVERSE_SQRT_STEPS
        return math.sqrt(scale / (scale + since))
    if settings.schedule == "wsd":
        return _fall(settings.decay_shape, (update - (last - settings.decay_steps)) / settings.decay_steps)
    return _fall(settings.schedule, since / max(1, last - settings.warmup_steps))


def _fall(shape: str, done: float) -> float:
    done = min(1.0, max(0.0, done))
    if shape == "cosine":
        return 0.5 * (1 + math.cos(math.pi * done))
    return 1 - (math.sqrt(done) if shape == "1-sqrt" else done)
