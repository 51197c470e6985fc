"""`r1zero prepare CONFIG [a.b=c ...]`"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def command(
    config: Annotated[str, typer.Argument(help="A YAML file; MindSpeed-RL's dataset files run as they are.")],
    overrides: Annotated[list[str] | None, typer.Argument(help="Settings as key=value.")] = None,
) -> None:
    """Tokenise raw files for training: Megatron indexed datasets, Parquet or Arrow, with a data card."""
    from r1zero.base.log import duration, log
    from r1zero.config import PrepareRecipe, load
    from r1zero.data.card import table
    from r1zero.data.prepare.merge import merge
    from r1zero.data.prepare.run import prepare
    from r1zero.models.tokenizer import load_tokenizer

    recipe = load(PrepareRecipe, config, overrides or [])
    if ignored := recipe.without_effect():
        log.info(f"without effect here: {', '.join(ignored)}")
    if recipe.merge_group_keys is not None:
        for key, sequences in merge(recipe).items():
            log.info(f"{recipe.output_prefix}_{key}: {sequences:,} sequences")
        return
    tokenizer = load_tokenizer(recipe.tokenizer_name_or_path, trust_remote_code=recipe.trust_remote_code)
    prepared = prepare(recipe, tokenizer)
    if not prepared.outputs:
        return
    typer.echo(table(prepared.counts.items()))
    tokens = max((value for key, value in prepared.counts.items() if key.startswith("tokens ")), default=0, key=float)
    rate = float(tokens) / max(1e-9, prepared.seconds)
    log.info(f"done in {duration(prepared.seconds)}, {rate:,.0f} tokens/s; open {_card(prepared.outputs)}")


def _card(outputs: tuple[Path, ...]) -> Path:
    return next(path for path in outputs if path.name.endswith("_card.html"))
