"""`r1zero model list`, `r1zero model fetch NAME` and `r1zero model export RUN FOLDER`"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from r1zero.errors import UsageError

app = typer.Typer(help="Models that need no hub, and models out of runs.", no_args_is_help=True)


@app.command("list")
def list_() -> None:
    """Names of the models that r1zero brings or can fetch."""
    from r1zero.models import fetch

    for name in fetch.names():
        typer.echo(name)


@app.command("fetch")
def fetch_(name: Annotated[str, typer.Argument(help="A name that `r1zero model list` shows.")]) -> None:
    """Download, check and convert a model; prints its folder."""
    from r1zero.models import fetch

    typer.echo(fetch.fetch(name))


@app.command("export")
def export(
    run: Annotated[Path, typer.Argument(help="A run folder.")],
    folder: Annotated[Path, typer.Argument(help="A new folder for the model.")],
    dtype: Annotated[str, typer.Option(help="bf16 or fp32.")] = "fp32",
) -> None:
    """Write the newest intact checkpoint's model as a plain Hugging Face folder."""
    import torch
    from transformers import AutoTokenizer

    from r1zero.checkpoint import store
    from r1zero.log import log
    from r1zero.models.load import auto_class

    dtypes = {"fp32": torch.float32, "bf16": torch.bfloat16}
    if dtype not in dtypes:
        raise UsageError(f"--dtype '{dtype}': must be bf16 or fp32")
    if folder.exists() and any(folder.iterdir()):
        raise UsageError(f"{folder}: is not empty; name a new folder")
    newest = store.newest_intact(run / "checkpoints", log.warning)
    if newest is None:
        raise UsageError(f"{run}: has no intact checkpoint")
    auto_class(newest).from_pretrained(newest, dtype=dtypes[dtype]).save_pretrained(folder)
    AutoTokenizer.from_pretrained(newest).save_pretrained(folder)
    log.info(f"{newest} -> {folder}")
