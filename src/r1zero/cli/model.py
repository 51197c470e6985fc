"""`r1zero model list`, `r1zero model fetch NAME`, `r1zero model export RUN FOLDER`, `r1zero model merge WHAT FOLDER`"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from r1zero.base.errors import UsageError

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


_DTYPE = typer.Option(help="bf16 or fp32.")
_EMA = typer.Option("--ema", help="The average that trainer.ema keeps.")


@app.command("export")
def export(
    run: Annotated[Path, typer.Argument(help="A run folder.")],
    folder: Annotated[Path, typer.Argument(help="A new folder for the model.")],
    dtype: Annotated[str, _DTYPE] = "fp32",
    ema: Annotated[bool, _EMA] = False,
) -> None:
    """Write the newest intact checkpoint's model as a plain Hugging Face folder, adapters merged into it."""
    _check_new(folder)
    _write(_newest(run, ema), folder, dtype, _quantization_of(run))


@app.command("merge")
def merge(
    what: Annotated[Path, typer.Argument(help="A folder of adapters, or a run that trained some.")],
    folder: Annotated[Path, typer.Argument(help="A new folder for the model.")],
    dtype: Annotated[str, _DTYPE] = "fp32",
    ema: Annotated[bool, _EMA] = False,
    quantization: Annotated[
        str, typer.Option(help="nf4: merge into the 4-bit weights that the adapters were trained on; a run knows.")
    ] = "none",
) -> None:
    """Merge LoRA adapters into the model they were made for, as a plain Hugging Face folder."""
    from r1zero.models import adapters

    _check_new(folder)
    if quantization not in ("none", "nf4"):
        raise UsageError(f"--quantization '{quantization}': must be none or nf4")
    is_run = (what / "checkpoints").is_dir()
    source = _newest(what, ema) if is_run else what
    if not adapters.is_adapter(source):
        raise UsageError(f"{what}: holds no adapters; r1zero model export writes the model of a run")
    _write(source, folder, dtype, _quantization_of(what) if is_run else quantization)


def _check_new(folder: Path) -> None:
    if folder.exists() and any(folder.iterdir()):
        raise UsageError(f"{folder}: is not empty; name a new folder")


def _newest(run: Path, ema: bool) -> Path:
    from r1zero.base.log import log
    from r1zero.run import store

    newest = store.newest_intact(run / "checkpoints", log.warning)
    if newest is None:
        raise UsageError(f"{run}: has no intact checkpoint")
    if ema and not (newest / "ema").is_dir():
        raise UsageError(f"--ema: {newest} holds no average; trainer.ema keeps one")
    return newest / "ema" if ema else newest


def _quantization_of(run: Path) -> Any:
    """What the run's recipe says. A run may be of any kind, so only this key is looked at."""
    import yaml

    settings = yaml.safe_load((run / "config.yaml").read_text(encoding="utf-8"))
    return settings["model"].get("quantization", "none")


def _write(source: Path, folder: Path, dtype: str, quantization: Any) -> None:
    import torch
    from transformers import AutoTokenizer

    from r1zero.base.log import log
    from r1zero.models import adapters
    from r1zero.models.complete import refuse_incomplete
    from r1zero.models.load import auto_class
    from r1zero.models.loading import loading
    from r1zero.models.merge import merge as merge_adapters

    dtypes = {"fp32": torch.float32, "bf16": torch.bfloat16}
    if dtype not in dtypes:
        raise UsageError(f"--dtype '{dtype}': must be bf16 or fp32")
    if adapters.is_adapter(source):
        merge_adapters(source, folder, dtype=dtypes[dtype], quantization=quantization)
    else:
        with loading(str(source), str(source)):
            whole, report = auto_class(source).from_pretrained(source, dtype=dtypes[dtype], output_loading_info=True)
        refuse_incomplete(report, str(source))
        whole.save_pretrained(folder)
        AutoTokenizer.from_pretrained(source).save_pretrained(folder)
    log.info(f"{source}, {adapters.describe(source)} -> {folder}, a whole model in {dtype}")
