"""`r1zero evaluate RUN_FOLDER | RECIPE [a.b=c ...]`"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def command(
    what: Annotated[str, typer.Argument(help="A run folder (its newest intact checkpoint) or a recipe (its model).")],
    overrides: Annotated[list[str] | None, typer.Argument(help="Settings as section.key=value.")] = None,
) -> None:
    """Grade a model on a recipe's evaluation set; prints the numbers and keeps every answer."""
    import time

    from r1zero.base import device, seeds
    from r1zero.base.errors import UsageError
    from r1zero.base.log import log
    from r1zero.config import Recipe, load
    from r1zero.grading import rollouts
    from r1zero.grading.open import open_scorer
    from r1zero.rl.parts import build_engine, build_evaluator, load_policy
    from r1zero.run import store
    from r1zero.run.folder import RunFolder
    from r1zero.run.interrupt import Stop

    recipe = load(Recipe, what, overrides or [])
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
        policy = load_policy(recipe, chosen)
        evaluator = build_evaluator(recipe, policy, folder, pool)
        seed = seeds.derive(recipe.run.seed, "evaluation")
        report = evaluator.run(build_engine(recipe, policy), pool, seed=seed, check=stop.check)
    sampled, greedy = (rollouts.records(0, groups) for groups in (report.sampled, report.greedy))
    folder.write_evaluation(0, report.metrics, sampled, greedy)
    for name, value in report.metrics.items():
        typer.echo(f"{name.removeprefix('evaluation/'):28} {value:.4f}")
    log.info(f"answers: {folder.evaluations}")
