"""A whole run of reinforcement learning: its folder, device, graders and parts, the loop, a report."""

from __future__ import annotations

from pathlib import Path

from r1zero.base.log import log
from r1zero.config import Recipe
from r1zero.grading.open import open_scorer
from r1zero.models import adapters
from r1zero.report import write_report
from r1zero.rl import loop
from r1zero.rl.parts import rl_parts
from r1zero.run import store
from r1zero.run.folder import RunFolder
from r1zero.run.interrupt import Stop
from r1zero.run.session import Session, settle


def run(recipe: Recipe, *, resume: bool = False) -> Path:
    """Train by a recipe in its folder, which is returned. Raises UsageError before any work for what a recipe gets
    wrong, and Interrupted after a stop that was asked for, with a checkpoint."""
    with RunFolder.create(Path(recipe.run.dir), resume=resume) as folder:
        recipe, device = settle(recipe, folder)
        with Stop() as stop, open_scorer(recipe, device) as pool:
            parts = rl_parts(recipe, device, pool, folder.quarantine_rows)
            with Session(recipe, folder, device, parts, stop, parts.stream.fingerprints) as session:
                loop.train(parts, session)
        write_report(folder.path)
        for newest in store.published(folder.checkpoints)[-1:]:  # none after no step
            log.info(
                f"{newest} holds {adapters.describe(newest)}; `r1zero model export {folder.path} FOLDER` writes a model"
            )
    return folder.path
