"""`r1zero pretrain RECIPE [a.b=c ...] [--resume]`"""

from __future__ import annotations

from pathlib import Path

from r1zero.cli.arguments import Overrides, RecipeName, Resume


def command(
    recipe: RecipeName,
    overrides: Overrides = None,
    resume: Resume = False,
) -> None:
    """Pretrain a new model from scratch on a corpus."""
    from r1zero.config import PretrainRecipe, load
    from r1zero.run.folder import RunFolder
    from r1zero.run.interrupt import Stop
    from r1zero.run.session import settle
    from r1zero.tuning.pretrain import pretrain

    settings = load(PretrainRecipe, recipe, overrides or [])
    with RunFolder.create(Path(settings.run.dir), resume=resume) as folder:
        settings, chosen = settle(settings, folder)
        with Stop() as stop:
            pretrain(settings, chosen, folder, stop)
