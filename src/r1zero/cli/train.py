"""`r1zero train RECIPE [a.b=c ...] [--resume]`"""

from __future__ import annotations

from r1zero.cli.arguments import Overrides, RecipeName, Resume


def command(
    recipe: RecipeName,
    overrides: Overrides = None,
    resume: Resume = False,
) -> None:
    """Train by reinforcement learning, or on rows if the recipe has an objective."""
    from r1zero.config import load_training

    settings = load_training(recipe, overrides or [])  # what is wrong with it is said before torch is imported
    from r1zero import api

    api.train(settings, resume=resume)
