"""`r1zero evaluate RUN_FOLDER | RECIPE [a.b=c ...]`"""

from __future__ import annotations

from typing import Annotated

import typer

from r1zero.cli.arguments import Overrides


def command(
    what: Annotated[str, typer.Argument(help="A run folder (its newest intact checkpoint) or a recipe (its model).")],
    overrides: Overrides = None,
) -> None:
    """Grade a model on a recipe's evaluation set; prints the numbers and keeps every answer."""
    from r1zero.base.log import log
    from r1zero.config import Recipe, load
    from r1zero.evaluation.run import run

    report, answers = run(load(Recipe, what, overrides or []), what)
    for name, value in report.metrics.items():
        typer.echo(f"{name.removeprefix('evaluation/'):28} {value:.4f}")
    log.info(f"answers: {answers}")
