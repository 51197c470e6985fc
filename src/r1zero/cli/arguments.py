"""Arguments that several commands take."""

from __future__ import annotations

from typing import Annotated, TypeAlias

import typer

RecipeName: TypeAlias = Annotated[
    str, typer.Argument(help="A YAML file, or the name of a recipe that comes with r1zero.")
]
Overrides: TypeAlias = Annotated[list[str] | None, typer.Argument(help="Settings as section.key=value.")]
Resume: TypeAlias = Annotated[bool, typer.Option(help="Continue the run in run.dir from its newest intact checkpoint.")]
