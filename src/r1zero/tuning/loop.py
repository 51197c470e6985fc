"""Training on rows: the trainer, packs and session of `rl/loop.py`, with rows of a data set in place of rollouts.

rows -> samples -> packs -> trainer -> weights
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from torch import Tensor

from r1zero.base import seeds
from r1zero.base.log import log
from r1zero.data import order
from r1zero.data.packing import pack, unpack
from r1zero.data.training_set import TrainingSet
from r1zero.grading import rollouts
from r1zero.rl.samples import on_mask
from r1zero.rl.update import update
from r1zero.run import speed
from r1zero.run.session import Session, Watch
from r1zero.trainer.base import Trainer
from r1zero.tuning import on_policy
from r1zero.tuning.objectives import Objective
from r1zero.tuning.on_policy import OnPolicy
from r1zero.tuning.parts import TuningParts
from r1zero.types import Batch, Group, Sample


def train(parts: TuningParts, session: Session) -> None:
    """Train until `run.steps`. Evaluates and saves when due."""
    trainer, objective, count = parts.trainer, parts.objective, parts.samples_per_step
    rate = session.device.gemm_rate
    evaluate(parts, session)
    for step in session.steps():
        samples = next_samples(parts.rows, session.position, count, session.run.seed, parts.shuffle)
        metrics: dict[str, float] = {}
        if parts.on_policy is not None:
            groups = answer(parts.on_policy, trainer, samples, session, "rollout", step)
            session.folder.write_rollouts(step, rollouts.records(step, groups))
            metrics |= on_policy.summary(groups)
            metrics |= speed.rollout_metrics(parts.flops, groups, session.seconds("rollout"), rate)
            samples = on_policy.to_samples(groups)
        packs = to_packs(samples, objective, trainer.settings.tokens_per_pack, parts.reference, session)
        with session.clock("update"):
            metrics |= update(trainer, [packs], objective.loss, lambda _: True, session.before_update)
        metrics |= speed.update_metrics(parts.flops, [packs], lambda _: True, 1, session.seconds("update"), rate)
        metrics["tokens/learned"] = float(sum(int(sample.mask.sum()) for sample in samples))
        metrics["epoch"] = (session.position + count) / len(parts.rows)
        session.finish_step(count, metrics, headline(objective, metrics))
        if metrics["updates/skipped"]:
            log.warning("an update was skipped: its gradient was not finite")
        evaluate(parts, session)


def next_samples(rows: TrainingSet, position: int, count: int, seed: int, shuffle: bool) -> list[Sample]:
    """The samples of a step's rows, those of a row side by side."""
    chosen = order.indices(size=len(rows), position=position, count=count, seed=seed, shuffle=shuffle)
    return [sample for index in chosen for sample in rows[index]]


def answer(
    model: OnPolicy, trainer: Trainer[Any], samples: Sequence[Sample], session: Session, *purpose: str | int
) -> list[Group]:
    """The model's own answers to the prompts of samples; the random numbers depend on `purpose`."""
    with session.clock("rollout"):
        model.engine.load_weights(trainer.own_weights(), session.done)
        return model.answer(samples, seeds.derive(session.run.seed, *purpose), session.check)


def to_packs(
    samples: Sequence[Sample],
    objective: Objective,
    tokens_per_pack: int,
    reference: Callable[[Batch], Tensor] | None,
    watch: Watch,
) -> list[Batch]:
    """A step's packs, with what the reference says of them if the loss asks for it."""

    def packed(of: Sequence[Sample]) -> list[Batch]:
        return pack(of, tokens_per_pack=tokens_per_pack, loss_mean=objective.loss_mean, together=objective.together)

    if reference is None:
        return packed(samples)
    with watch.clock("reference"):
        packs = packed(samples)
        said = unpack(packs, [reference(batch) for batch in packs], len(samples))
    watch.check()
    known = zip(samples, said, strict=True)
    return packed([replace(sample, reference_logprobs=on_mask(logprobs, sample.mask)) for sample, logprobs in known])


def headline(objective: Objective, metrics: dict[str, float]) -> str:
    return "  ".join(f"{name} {metrics[name]:.4g}" for name in (*objective.shown, "grad_norm", "epoch"))


def evaluate(parts: TuningParts, session: Session) -> None:
    """Loss and metrics on the held-out rows if it is due and was not done at this step before."""
    if parts.held_out is None or not session.evaluation_due() or session.folder.evaluated(session.done):
        return
    samples = [sample for index in range(len(parts.held_out)) for sample in parts.held_out[index]]
    means: dict[str, float] = {}
    if parts.on_policy is not None:
        groups = answer(parts.on_policy, parts.trainer, samples, session, "evaluation")
        means |= on_policy.summary(groups)
        samples = on_policy.to_samples(groups)
    with session.clock("evaluate"):
        limit = parts.trainer.settings.tokens_per_pack
        packs = to_packs(samples, parts.objective, limit, parts.reference, session)
        means |= measure(parts.trainer, packs, parts.objective.loss)
    report = {f"evaluation/{name}": value for name, value in means.items()}
    report["evaluation/rows"] = float(len(parts.held_out))
    session.folder.write_evaluation(session.done, report, [], [])
    session.sink.write(session.done, report)
    shown = "  ".join(f"{name} {means[name]:.4f}" for name in parts.objective.shown)
    log.info(f"evaluation after step {session.done}, {len(parts.held_out)} rows: {shown}")


def measure(trainer: Trainer[Any], packs: Sequence[Batch], loss: Any) -> dict[str, float]:
    """Means over packs under the current weights."""
    shares = [trainer.evaluate(batch, loss) for batch in packs]
    return {name: sum(share[name] for share in shares) for name in shares[0]}
