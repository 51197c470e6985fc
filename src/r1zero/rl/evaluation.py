"""The held-out set inside a run."""

from __future__ import annotations

from contextlib import AbstractContextManager

from r1zero.base import seeds
from r1zero.base.log import log
from r1zero.engine.base import RolloutEngine
from r1zero.evaluation.evaluator import Evaluator
from r1zero.grading import rollouts
from r1zero.grading.scorer import Scorer
from r1zero.run.session import Session

_SHOWN = (
    "evaluation/accuracy",
    "evaluation/greedy_accuracy",
    "evaluation/response_length",
    "evaluation/reflection_rate",
)


def evaluate(
    evaluator: Evaluator | None,
    engine: RolloutEngine,
    pool: Scorer,
    weights: AbstractContextManager[None],
    session: Session,
) -> None:
    """Grade the held-out set, inside of `weights`, if it is due and was not graded at this step before."""
    if evaluator is None or not session.evaluation_due() or session.folder.evaluated(session.done):
        return
    seed = seeds.derive(session.run.seed, "evaluation")
    with session.clock("evaluate"), weights:
        report = evaluator.run(engine, pool, seed=seed, check=session.check)
    sampled, greedy = (rollouts.records(session.done, groups) for groups in (report.sampled, report.greedy))
    session.folder.write_evaluation(session.done, report.metrics, sampled, greedy)
    session.sink.write(session.done, report.metrics)
    shown = [
        f"{name.removeprefix('evaluation/')} {report.metrics[name]:.3f}" for name in _SHOWN if name in report.metrics
    ]
    log.info(f"evaluation after step {session.done}, {len(evaluator.prompts)} problems: {'  '.join(shown)}")
