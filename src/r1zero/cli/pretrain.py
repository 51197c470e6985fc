"""`r1zero pretrain RECIPE [a.b=c ...] [--resume]`"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def command(
    recipe: Annotated[str, typer.Argument(help="A YAML file, or the name of a recipe that comes with r1zero.")],
    overrides: Annotated[list[str] | None, typer.Argument(help="Settings as section.key=value.")] = None,
    resume: Annotated[
        bool, typer.Option(help="Continue the run in run.dir from its newest intact checkpoint.")
    ] = False,
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
