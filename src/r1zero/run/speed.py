"""How fast a step was, how much of its work was needed, and how far it stayed from the machine's limit."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from r1zero.models.flops import NOTHING, ModelFlops, Work, causal_pairs
from r1zero.types import Batch, Group


def sampled(groups: Iterable[Group]) -> Work:
    """Forward passes that sampling needs: a group's prompt once, then every token but a row's last."""
    work = NOTHING
    for group in groups:
        prompt = len(group.prompt.token_ids)
        work += Work(prompt, 1, causal_pairs(prompt))
        for rollout in group.rollouts:
            fed = len(rollout.completion.token_ids) - 1
            work += Work(fed, fed, causal_pairs(fed, prompt))
    return work


def needed(packs: Iterable[Batch]) -> Work:
    """Forward passes that training needs: every prompt once, however many packs repeat it."""
    work = NOTHING
    seen: set[bytes] = set()
    for batch in packs:
        work += Work(0, len(batch.targets), 0)
        for segment in batch.segments:
            prompt = batch.token_ids[segment.start : segment.start + segment.length].numpy().tobytes()
            if prompt not in seen:
                seen.add(prompt)
                work += Work(segment.length, 0, causal_pairs(segment.length))
            for _, length in segment.responses:
                work += Work(length, 0, causal_pairs(length, segment.length))
    return work


def rollout_metrics(
    flops: ModelFlops, groups: Sequence[Group], seconds: float, gemm_gflops: float
) -> Mapping[str, float]:
    """Response tokens per second, and the model's FLOP/s as a share of the measured matrix-product rate."""
    tokens = sum(len(rollout.completion.token_ids) for group in groups for rollout in group.rollouts)
    gflops = flops.forward(sampled(groups)) / seconds / 1e9
    return {
        "tokens_per_second/rollout": tokens / seconds,
        "gflops/rollout": gflops,
        "gemm_share/rollout": gflops / gemm_gflops,
    }


def update_metrics(
    flops: ModelFlops,
    minibatches: Sequence[Sequence[Batch]],
    learns: Callable[[Batch], bool],
    epochs: int,
    seconds: float,
    gemm_gflops: float,
) -> Mapping[str, float]:
    """The same for training, over needed tokens only; and how many tokens were computed for them. A pack that nothing
    is learned from needs its forward pass, for the metrics."""
    learned = sum((needed(filter(learns, packs)) for packs in minibatches), NOTHING)
    measured = sum((needed(batch for batch in packs if not learns(batch)) for packs in minibatches), NOTHING)
    work = learned + measured
    computed = sum(len(batch.token_ids) for packs in minibatches for batch in packs)
    gflops = epochs * (flops.training(learned) + flops.forward(measured)) / seconds / 1e9
    return {
        "tokens/needed": epochs * work.tokens,
        "tokens/computed": epochs * computed,
        "packing/efficiency": work.tokens / computed if computed else 1.0,
        "tokens_per_second/update": epochs * work.tokens / seconds,
        "gflops/update": gflops,
        "gemm_share/update": gflops / gemm_gflops,
    }
