"""`r1zero train RECIPE [a.b=c ...] [--resume]`"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from r1zero.config import Recipe, TuningRecipe


def command(
    recipe: Annotated[str, typer.Argument(help="A YAML file, or the name of a recipe that comes with r1zero.")],
    overrides: Annotated[list[str] | None, typer.Argument(help="Settings as section.key=value.")] = None,
    resume: Annotated[
        bool, typer.Option(help="Continue the run in run.dir from its newest intact checkpoint.")
    ] = False,
) -> None:
    """Train by reinforcement learning, or on rows if the recipe has an objective."""
    from r1zero.config import Recipe, load_training

    settings = load_training(recipe, overrides or [])
    run = train if isinstance(settings, Recipe) else tune
    run(settings, resume=resume)  # pyright: ignore[reportArgumentType]


def train(recipe: Recipe, *, resume: bool) -> None:
    """Run a recipe in its folder, and leave a report."""
    from r1zero.base.log import log
    from r1zero.grading.open import open_scorer
    from r1zero.models import adapters
    from r1zero.report import write_report
    from r1zero.rl import loop
    from r1zero.rl.parts import build
    from r1zero.run import store
    from r1zero.run.folder import RunFolder
    from r1zero.run.interrupt import Stop
    from r1zero.run.session import Session, settle

    with RunFolder.create(Path(recipe.run.dir), resume=resume) as folder:
        recipe, chosen = settle(recipe, folder)
        with Stop() as stop, open_scorer(recipe, chosen) as pool:
            parts = build(recipe, chosen, folder, pool)
            with Session(recipe, folder, chosen, parts, stop, parts.fingerprints) as session:
                loop.train(parts, session)
        write_report(folder.path)
        for newest in store.published(folder.checkpoints)[-1:]:  # none after no step
            log.info(
                f"{newest} holds {adapters.describe(newest)}; `r1zero model export {folder.path} FOLDER` writes a model"
            )


def tune(recipe: TuningRecipe, *, resume: bool) -> None:
    """Run a recipe with an objective in its folder, and leave a report."""
    from r1zero.report import write_report
    from r1zero.run import rng
    from r1zero.run.folder import RunFolder
    from r1zero.run.interrupt import Stop
    from r1zero.run.session import Session, settle
    from r1zero.tuning import loop as tune
    from r1zero.tuning import parts as tune_parts

    with RunFolder.create(Path(recipe.run.dir), resume=resume) as folder:
        recipe, chosen = settle(recipe, folder)
        rng.seed_all(recipe.run.seed)
        with Stop() as stop:
            resolved, parts = tune_parts.build(recipe, chosen, folder)
            with Session(resolved, folder, chosen, parts.trainer, stop, {"data": parts.rows.fingerprint}) as session:
                tune.train(parts, session)
        write_report(folder.path)
