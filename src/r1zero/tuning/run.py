"""A whole run of learning from rows: its folder, device and parts, the loop, a report."""

from __future__ import annotations

from pathlib import Path

from r1zero.config import TuningRecipe
from r1zero.report import write_report
from r1zero.run import rng
from r1zero.run.folder import RunFolder
from r1zero.run.interrupt import Stop
from r1zero.run.session import Session, settle
from r1zero.tuning import loop
from r1zero.tuning.parts import tuning_parts


def run(recipe: TuningRecipe, *, resume: bool = False) -> Path:
    """Train by a recipe with an objective in its folder, which is returned. Raises as `rl.run.run` does."""
    with RunFolder.create(Path(recipe.run.dir), resume=resume) as folder:
        recipe, device = settle(recipe, folder)
        rng.seed_all(recipe.run.seed)
        with Stop() as stop:
            resolved, parts = tuning_parts(recipe, device, folder)
            with Session(resolved, folder, device, parts.trainer, stop, {"data": parts.rows.fingerprint}) as session:
                loop.train(parts, session)
        write_report(folder.path)
    return folder.path
