"""A model on a recipe's evaluation set: sampled, graded, and every answer kept."""

from __future__ import annotations

import time
from pathlib import Path

from r1zero.base import device, seeds
from r1zero.base.errors import UsageError
from r1zero.base.log import log
from r1zero.config import Recipe
from r1zero.engine.open import open_engine
from r1zero.engine.policy import load_policy
from r1zero.evaluation.evaluator import Report, evaluator_of
from r1zero.grading import rollouts
from r1zero.grading.combine import Verifiers
from r1zero.grading.open import open_scorer
from r1zero.run import store
from r1zero.run.folder import RunFolder
from r1zero.run.interrupt import Stop


def run(recipe: Recipe, what: str) -> tuple[Report, Path]:
    """Grade the model of `what` (a run folder: its newest intact checkpoint; otherwise the recipe's) and return the
    numbers and the folder of the answers. Raises UsageError where the recipe has no evaluation."""
    if (held_out := recipe.evaluation) is None:
        raise UsageError(f"{what}: has no evaluation section; add evaluation.path=...")
    if newest := store.newest_intact(Path(what) / "checkpoints", log.warning):
        source = newest / "ema" if held_out.ema else newest
        saved = recipe.model.model_copy(update={"path": str(source), "lora": None})  # adapters know their settings
        recipe = recipe.model_copy(update={"model": saved})
    log.info(f"evaluating {recipe.model.path} on {held_out.path}")
    chosen = device.select(recipe.run.device, recipe.model.dtype, recipe.run.threads, recipe.run.deterministic)
    folder = RunFolder(Path(recipe.run.dir) / f"evaluate-{time.strftime('%Y%m%d-%H%M%S')}")
    with Stop() as stop, open_scorer(recipe, chosen) as pool:
        Verifiers.of(recipe)  # names first, then the model
        policy = load_policy(recipe, chosen)
        evaluator, unused = evaluator_of(recipe, policy, pool)
        folder.quarantine_rows(unused)
        engine = open_engine(recipe.rollout, policy.model, policy.tokenizer)
        seed = seeds.derive(recipe.run.seed, "evaluation")
        report = evaluator.run(engine, pool, seed=seed, check=stop.check)
    sampled, greedy = (rollouts.records(0, groups) for groups in (report.sampled, report.greedy))
    folder.write_evaluation(0, report.metrics, sampled, greedy)
    return report, folder.evaluations
