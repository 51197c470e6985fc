"""What a person is told of a step: its headline, and what otherwise shows only as a run that learns nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from r1zero.base.log import log


def headline(metrics: Mapping[str, float]) -> str:
    names = ("reward", "accuracy", "format", "response_length", "entropy", "kl")
    return "  ".join(f"{name} {metrics[name]:.3g}" for name in names if name in metrics)


def alarm(metrics: Mapping[str, float]) -> None:
    """Say aloud what otherwise shows only as a run that learns nothing."""
    graded = sum(metrics[f"verdict/{verdict}"] for verdict in ("graded", "unverifiable", "error", "timeout"))
    failed = metrics["rollouts/left_out"]
    warnings: Iterable[tuple[bool, str]] = (
        (metrics["updates/without_gradient"] > 0, "no gradient: every advantage is 0; the weights stay as they are"),
        (metrics["groups/kept"] == 0, "no gradient: no group is left to learn from"),
        (failed > 0, f"{failed:.0f} responses were left out of baseline and loss: a verifier failed on them"),
        (metrics["truncated_rate"] == 1, "every response was cut off: raise rollout.max_new_tokens"),
        (
            metrics["verdict/error"] + metrics["verdict/timeout"] > 0.1 * graded,
            "more than a tenth of the verdicts failed",
        ),
        (metrics["updates/skipped"] > 0, "an update was skipped: its gradient was not finite"),
    )
    for alarming, message in warnings:
        if alarming:
            log.warning(message)
