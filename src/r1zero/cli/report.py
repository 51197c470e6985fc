"""`r1zero report RUN_FOLDER`"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def command(run: Annotated[Path, typer.Argument(help="A run folder.")]) -> None:
    """Write report.html from what a run has left so far; prints its path."""
    from r1zero.report import write_report

    typer.echo(write_report(run))
