"""Training on rows: the trainer, packs and session of `rl/loop.py`, with rows of a data set in place of rollouts.

rows -> samples -> packs -> trainer -> weights
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from r1zero.base import seeds
from r1zero.base.log import log
from r1zero.data import order
from r1zero.data.packing import pack, unpack
from r1zero.grading import rollouts
from r1zero.rl import learn
from r1zero.rl.samples import on_mask
from r1zero.run import speed
from r1zero.run.session import Session
from r1zero.trainer.trainer import Trainer
from r1zero.tuning import on_policy
from r1zero.tuning.parts import Parts
from r1zero.types import Batch, Sample


def train(parts: Parts, session: Session) -> None:
    """Train until `run.steps`. Evaluates and saves when due."""
    evaluate(parts, session)
    for step in session.steps():
        samples, metrics = answered(parts, session, next_samples(parts, session), step)
        packs = to_packs(parts, session, samples)
        with session.clock("update"):
            metrics |= learn.update(parts.trainer, [packs], parts.objective.loss, lambda _: True, session.before_update)
        rate = session.device.gemm_rate
        metrics |= speed.update_metrics(parts.flops, [packs], lambda _: True, 1, session.seconds("update"), rate)
        metrics["tokens/learned"] = float(sum(int(sample.mask.sum()) for sample in samples))
        metrics["epoch"] = (session.position + parts.samples_per_step) / len(parts.rows)
        session.finish_step(parts.samples_per_step, metrics, headline(parts, metrics))
        if metrics["updates/skipped"]:
            log.warning("an update was skipped: its gradient was not finite")
        evaluate(parts, session)


def next_samples(parts: Parts, session: Session) -> list[Sample]:
    """The samples of the step's rows, those of a row side by side."""
    chosen = order.indices(
        size=len(parts.rows),
        position=session.position,
        count=parts.samples_per_step,
        seed=session.run.seed,
        shuffle=parts.shuffle,
    )
    return [sample for index in chosen for sample in parts.rows[index]]


def answered(
    parts: Parts, session: Session, samples: list[Sample], step: int | None
) -> tuple[list[Sample], dict[str, float]]:
    """The samples of rows as they are; or of their prompts, answered by the model. Step None is an evaluation."""
    if parts.on_policy is None:
        return samples, {}
    purpose = ("evaluation",) if step is None else ("rollout", step)
    with session.clock("rollout"):
        parts.on_policy.engine.load_weights(parts.trainer.own_weights(), session.done)
        seed = seeds.derive(session.run.seed, *purpose)
        groups = parts.on_policy.answer(samples, seed, session.stop.check)
    metrics = on_policy.summary(groups)
    if step is not None:
        session.folder.write_rollouts(step, rollouts.records(step, groups))
        rate = session.device.gemm_rate
        metrics |= speed.rollout_metrics(parts.flops, groups, session.seconds("rollout"), rate)
    return on_policy.to_samples(groups), metrics


def to_packs(parts: Parts, session: Session, samples: Sequence[Sample]) -> list[Batch]:
    """A step's packs, with what the reference says of them if the loss asks for it."""

    def packed(of: Sequence[Sample]) -> list[Batch]:
        return pack(
            of,
            tokens_per_pack=parts.trainer.settings.tokens_per_pack,
            loss_mean=parts.objective.loss_mean,
            together=parts.objective.together,
        )

    if parts.reference is None:
        return packed(samples)
    with session.clock("reference"):
        packs = packed(samples)
        said = unpack(packs, [parts.reference(batch) for batch in packs], len(samples))
    session.stop.check()
    known = zip(samples, said, strict=True)
    return packed([replace(sample, reference_logprobs=on_mask(logprobs, sample.mask)) for sample, logprobs in known])


def headline(parts: Parts, metrics: dict[str, float]) -> str:
    shown = [*parts.objective.shown, "grad_norm", "epoch"]
    return "  ".join(f"{name} {metrics[name]:.4g}" for name in shown)


def evaluate(parts: Parts, session: Session) -> None:
    """Loss and metrics on the held-out rows if it is due and was not done at this step before."""
    if parts.held_out is None or not session.evaluation_due() or session.folder.evaluated(session.done):
        return
    given = [sample for index in range(len(parts.held_out)) for sample in parts.held_out[index]]
    samples, noted = answered(parts, session, given, None)
    with session.clock("evaluate"):
        packs = to_packs(parts, session, samples)
        means = noted | measure(parts.trainer, packs, parts.objective.loss)
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
