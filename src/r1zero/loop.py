"""The loop. Its imports are the table of contents; `build.py` makes the parts.

problems -> prompts -> engine -> completions -> verifiers -> groups -> advantages -> packs -> trainer -> weights
                         ^                                                                                │
                         └──────────────────────────────── sync ──────────────────────────────────────────┘
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import pairwise
from statistics import fmean

import numpy as np

from r1zero import rollouts, seeds, speed
from r1zero.algorithms import Algorithm
from r1zero.build import Parts
from r1zero.data.packing import pack
from r1zero.log import Progress, log
from r1zero.session import Session
from r1zero.trainer.trainer import frozen_logprobs
from r1zero.types import Batch, Group, Prompt, Sample


def train(parts: Parts, session: Session) -> None:
    """Reinforcement learning with verifiable rewards until `run.steps`. Evaluates and saves when due."""
    recipe, algorithm = parts.recipe, parts.algorithm
    parts.publish_weights(session.done)
    evaluate(parts, session)
    for step in session.steps():
        prompts = next_prompts(parts, session.position)
        groups = sample_and_grade(parts, session, prompts, step)
        session.folder.write_rollouts(step, rollouts.records(step, groups))
        samples = [to_samples(group, algorithm) for group in groups if algorithm.keep(group)]
        minibatches = [to_packs(parts, part, session) for part in split(samples, recipe.trainer.minibatches)]
        with session.clock("update"):
            metrics = rollouts.summary(groups, parts.verifiers) | update(parts, minibatches)
        with session.clock("sync"):
            parts.publish_weights(step)
        metrics |= speeds(parts, session, groups, minibatches)
        session.finish_step(len(prompts), metrics, headline(metrics))
        alarm(metrics)
        evaluate(parts, session)


def next_prompts(parts: Parts, position: int) -> list[Prompt]:
    recipe, count = parts.recipe, parts.recipe.trainer.prompts_per_step
    chosen = parts.mixture.indices(position=position, count=count, seed=recipe.run.seed, shuffle=recipe.data.shuffle)
    return [parts.prompts[index] for index in chosen]


def sample_and_grade(parts: Parts, session: Session, prompts: list[Prompt], step: int) -> list[Group]:
    """The step's rollouts. Ctrl-C gives them up: nothing has been learned from them yet."""
    recipe = parts.recipe
    sampling = replace(parts.sampling, seed=seeds.derive(recipe.run.seed, "rollout", step))
    progress = Progress(f"step {step}", recipe.rollouts_per_step(), "rollouts")

    def on_group() -> None:
        progress.advance(recipe.algorithm.group_size)
        session.stop.check()

    with session.clock("rollout"):
        pending = rollouts.sample(parts.engine, parts.pool, prompts, sampling, parts.verifiers, parts.decode, on_group)
    with session.clock("score"):
        return rollouts.grade(prompts, pending, parts.verifiers)


def to_samples(group: Group, algorithm: Algorithm) -> list[Sample]:
    """A group with advantages: the same on every token of a response."""
    return [
        Sample(
            prompt_ids=group.prompt.token_ids,
            response_ids=rollout.completion.token_ids,
            mask=np.ones(len(rollout.completion.token_ids), dtype=bool),
            advantages=np.full(len(rollout.completion.token_ids), advantage, dtype=np.float32),
            behaviour_logprobs=rollout.completion.logprobs,
        )
        for rollout, advantage in zip(group.rollouts, algorithm.advantages(group.rewards), strict=True)
    ]


def split(groups: Sequence[list[Sample]], count: int) -> list[list[Sample]]:
    """Whole groups in `count` parts of nearly equal size."""
    bounds = np.linspace(0, len(groups), count + 1).astype(int)
    return [[sample for group in groups[start:end] for sample in group] for start, end in pairwise(bounds)]


def to_packs(parts: Parts, samples: list[Sample], session: Session) -> list[Batch]:
    """The packs of one optimizer step, with what the loss needs beside the policy: reference log-probabilities, and the
    old ones if the rollouts feed more than one update."""
    recipe = parts.recipe
    packs = pack(
        samples,
        tokens_per_pack=recipe.trainer.tokens_per_pack,
        loss_mean=recipe.algorithm.loss_mean,
        longest_response=recipe.rollout.max_new_tokens,
    )
    if parts.reference is not None:
        with session.clock("reference"):
            temperature = recipe.rollout.temperature
            packs = [
                replace(batch, reference_logprobs=frozen_logprobs(parts.reference, batch, temperature))
                for batch in packs
            ]
    if recipe.updates_per_step() > 1:
        with session.clock("old_logprobs"):
            packs = [replace(batch, old_logprobs=parts.trainer.logprobs(batch)) for batch in packs]
    return packs


def update(parts: Parts, minibatches: Sequence[Sequence[Batch]]) -> dict[str, float]:
    """One optimizer step per minibatch and epoch; returns means over the optimizer steps."""
    collected: dict[str, list[float]] = {}
    skipped = 0
    for packs in [packs for _ in range(parts.recipe.trainer.epochs) for packs in minibatches if packs]:
        learning = [batch for batch in packs if parts.algorithm.learns_from(batch)] or packs[:1]
        rest = [batch for batch in packs if batch not in learning]
        shares = [parts.trainer.forward_backward(batch, parts.algorithm.loss) for batch in learning]
        shares += [parts.trainer.forward(batch, parts.algorithm.loss) for batch in rest]
        done = parts.trainer.step()
        skipped += done.skipped
        means = {name: sum(share[name] for share in shares) for name in shares[0]}
        for name, value in {**means, "grad_norm": done.grad_norm, "lr": done.lr}.items():
            collected.setdefault(name, []).append(value)
    return {**{name: fmean(values) for name, values in collected.items()}, "updates/skipped": skipped}


def speeds(
    parts: Parts, session: Session, groups: Sequence[Group], minibatches: Sequence[Sequence[Batch]]
) -> dict[str, float]:
    rate, epochs = session.device.gemm_rate, parts.recipe.trainer.epochs
    return {
        **speed.rollout_metrics(parts.flops, groups, session.seconds("rollout"), rate),
        **speed.update_metrics(
            parts.flops, minibatches, parts.algorithm.learns_from, epochs, session.seconds("update"), rate
        ),
    }


def evaluate(parts: Parts, session: Session) -> None:
    """Grade the held-out set if it is due and was not graded at this step before."""
    if parts.evaluator is None or not session.evaluation_due() or session.folder.evaluated(session.done):
        return
    recipe = parts.recipe
    seed = seeds.derive(recipe.run.seed, "evaluation")
    with session.clock("evaluate"):
        report = parts.evaluator.run(parts.engine, parts.pool, seed=seed, check=session.stop.check)
    sampled, greedy = (rollouts.records(session.done, groups) for groups in (report.sampled, report.greedy))
    session.folder.write_evaluation(session.done, report.metrics, sampled, greedy)
    session.sink.write(session.done, report.metrics)
    shown = [
        f"{name.removeprefix('evaluation/')} {report.metrics[name]:.3f}" for name in SHOWN if name in report.metrics
    ]
    log.info(f"evaluation after step {session.done}, {len(parts.evaluator.prompts)} problems: {'  '.join(shown)}")


SHOWN = (
    "evaluation/accuracy",
    "evaluation/greedy_accuracy",
    "evaluation/response_length",
    "evaluation/reflection_rate",
)


def headline(metrics: dict[str, float]) -> str:
    names = ("reward", "accuracy", "format", "response_length", "entropy", "kl")
    return "  ".join(f"{name} {metrics[name]:.3g}" for name in names if name in metrics)


def alarm(metrics: dict[str, float]) -> None:
    """Say aloud what otherwise shows only as a run that learns nothing."""
    graded = sum(metrics[f"verdict/{verdict}"] for verdict in ("graded", "unverifiable", "error", "timeout"))
    warnings: Iterable[tuple[bool, str]] = (
        (metrics["groups/without_spread"] == 1, "no gradient: within every group all rewards are equal"),
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
