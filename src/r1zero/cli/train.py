"""`r1zero train RECIPE [a.b=c ...] [--resume]`"""

from __future__ import annotations

from typing import Annotated

import typer


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
    if isinstance(settings, Recipe):
        from r1zero.rl.run import run

        run(settings, resume=resume)
    else:
        from r1zero.tuning.run import run as tune

        tune(settings, resume=resume)
