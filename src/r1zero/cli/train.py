"""`r1zero train RECIPE [a.b=c ...] [--resume]`"""

from __future__ import annotations

from r1zero.cli.arguments import Overrides, RecipeName, Resume


def command(
    recipe: RecipeName,
    overrides: Overrides = None,
    resume: Resume = False,
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
