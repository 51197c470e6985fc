"""The loop. Its imports are the table of contents; `parts.py` makes the parts.

problems -> prompts -> engine -> completions -> verifiers -> groups -> advantages -> packs -> trainer -> weights
                         ^                                                                                │
                         └──────────────────────────────── sync ──────────────────────────────────────────┘
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from r1zero.algorithms import Algorithm
from r1zero.algorithms import build as build_algorithm
from r1zero.algorithms.kl import adapted
from r1zero.base import seeds
from r1zero.base.log import Progress, log
from r1zero.grading import rollouts
from r1zero.rl import learn
from r1zero.rl.parts import Parts
from r1zero.rl.samples import learnable, left_out
from r1zero.run import speed
from r1zero.run.session import Session
from r1zero.types import Batch, Group, Prompt


def train(parts: Parts, session: Session) -> None:
    """Reinforcement learning with verifiable rewards until `run.steps`. Evaluates and saves when due."""
    recipe = parts.recipe
    parts.publish_weights(session.done)
    evaluate(parts, session)
    for step in session.steps():
        algorithm = current_algorithm(parts)
        drawn = draw(parts, session, step)
        session.folder.write_rollouts(step, rollouts.records(step, drawn.sampled))
        samples, metrics = learn.to_samples(parts, session, algorithm, drawn.kept)
        minibatches = learn.to_minibatches(recipe, algorithm, samples)
        metrics |= learn.update_policy(parts, session, algorithm, minibatches)
        metrics |= learn.update_critic(parts, session, samples)
        with session.clock("sync"):
            parts.publish_weights(step)
        metrics |= rollouts.summary(drawn.sampled, parts.verifiers) | drawn.metrics()
        metrics |= speeds(parts, session, drawn.sampled, minibatches)
        metrics |= remember(parts, drawn, metrics)
        session.finish_step(drawn.prompts, metrics, headline(metrics))
        alarm(metrics)
        evaluate(parts, session)


def current_algorithm(parts: Parts) -> Algorithm:
    """The recipe's algorithm, with the KL coefficient where it has been adapted to."""
    if parts.recipe.algorithm.kl_target is None:
        return parts.algorithm
    return build_algorithm(parts.recipe.algorithm.model_copy(update={"kl": parts.state.kl}))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Drawn:
    """A step's groups: those `sampled` from `prompts` prompts, those it learns from, those left for the next step."""

    sampled: list[Group]
    kept: list[Group]
    surplus: tuple[Group, ...]
    carried: int  # of those kept, sampled in an earlier step
    prompts: int
    rounds: int
    left_out: int  # responses sampled whose verifiers failed

    def metrics(self) -> dict[str, float]:
        return {
            "groups/sampled": len(self.sampled),
            "groups/kept": len(self.kept),
            "groups/carried": self.carried,
            "groups/surplus": len(self.surplus),
            "rollouts/left_out": self.left_out,
            "rounds": self.rounds,
        }


def draw(parts: Parts, session: Session, step: int) -> Drawn:
    """Sample and grade a step's prompts; where the algorithm wants its batch full, again until enough groups are kept.
    Groups beyond that wait for the next step. Ctrl-C gives all up: nothing has been learned from them yet."""
    wanted, settings = parts.recipe.trainer.prompts_per_step, parts.recipe.algorithm
    sampled: list[Group] = []
    kept = list(parts.state.surplus)
    rounds = asked = 0
    while not rounds or (parts.algorithm.refills and len(kept) < wanted and rounds < settings.max_rounds):
        # fewer where groups wait: or, once all groups are kept, as many would wait for ever, and be learned late
        count = wanted if rounds else wanted - len(kept)
        groups = sample_and_grade(parts, session, next_prompts(parts, session.position + asked, count), step, rounds)
        sampled += groups
        kept += learnable(groups, parts.algorithm, parts.recipe.rewards, parts.recipe.rollout.max_new_tokens)
        rounds += 1
        asked += count
    if parts.algorithm.refills and len(kept) < wanted:
        log.warning(
            f"step {step}: {len(kept)} of {wanted} groups differ in {settings.filter_by} after {rounds} rounds; "
            f"raise algorithm.max_rounds, or choose problems that are sometimes solved"
        )
    return Drawn(
        sampled=sampled,
        kept=kept[:wanted],
        surplus=tuple(kept[wanted:]),
        carried=min(wanted, len(parts.state.surplus)),
        prompts=asked,
        rounds=rounds,
        left_out=sum(left_out(rollout, parts.recipe.rewards) for group in sampled for rollout in group.rollouts),
    )


def remember(parts: Parts, drawn: Drawn, metrics: dict[str, float]) -> dict[str, float]:
    """What the next step begins with. The KL coefficient follows the measured KL."""
    parts.state.surplus = drawn.surplus
    settings = parts.recipe.algorithm
    if settings.kl_target is None or parts.state.kl is None or "kl" not in metrics:
        return {}
    used = parts.state.kl
    rollouts_done = sum(len(group.rollouts) for group in drawn.kept)
    parts.state.kl = adapted(
        used, metrics["kl"], target=settings.kl_target, rollouts=rollouts_done, horizon=settings.kl_horizon
    )
    return {"kl_coefficient": used}


def next_prompts(parts: Parts, position: int, count: int) -> list[Prompt]:
    recipe = parts.recipe
    chosen = parts.mixture.indices(position=position, count=count, seed=recipe.run.seed, shuffle=recipe.data.shuffle)
    return [parts.prompts[index] for index in chosen]


def sample_and_grade(parts: Parts, session: Session, prompts: list[Prompt], step: int, drawn: int) -> list[Group]:
    """Rollouts of `prompts`, the step's batch number `drawn`."""
    recipe = parts.recipe
    address = (step, drawn) if drawn else (step,)
    sampling = replace(parts.sampling, seed=seeds.derive(recipe.run.seed, "rollout", *address))
    progress = Progress(f"step {step}", len(prompts) * recipe.algorithm.group_size, "rollouts")

    def on_group() -> None:
        progress.advance(recipe.algorithm.group_size)
        session.stop.check()

    with session.clock("rollout"):
        pending = rollouts.sample(parts.engine, parts.pool, prompts, sampling, parts.verifiers, parts.decode, on_group)
    with session.clock("score"):
        return rollouts.grade(prompts, pending, parts.verifiers)


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
    with session.clock("evaluate"), parts.evaluated_weights(session.done):
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
