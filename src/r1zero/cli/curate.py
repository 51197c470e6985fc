"""`r1zero curate RECIPE [a.b=c ...]`"""

from __future__ import annotations

import typer

from r1zero.cli.arguments import Overrides, RecipeName


def command(
    recipe: RecipeName,
    overrides: Overrides = None,
) -> None:
    """Clean, deduplicate, decontaminate and grade training data; says what was taken out and why."""
    from r1zero.base.log import log
    from r1zero.config import CurateRecipe, load
    from r1zero.curate.chain import curate
    from r1zero.run.interrupt import Stop

    with Stop() as stop:
        folder = curate(load(CurateRecipe, recipe, overrides or []), stop.check)
    typer.echo((folder / "report.txt").read_text(encoding="utf-8"), nl=False)
    log.info(f"data: {folder}; open {folder / 'report.html'}; train on it with defaults: [{folder / 'sources'}]")
