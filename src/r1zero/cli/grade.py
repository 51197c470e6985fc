"""`r1zero grade FILE --gold-column GOLD --response-column RESPONSE --verifier NAME [--json OUT]`"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer


def command(
    file: Annotated[str, typer.Argument(help="Responses with their reference answers: .jsonl, .json, .csv, .parquet.")],
    gold_column: Annotated[str, typer.Option(help="Column of the reference answer.")] = "gold",
    response_column: Annotated[str, typer.Option(help="Column of the response.")] = "answer",
    verifier: Annotated[
        list[str] | None, typer.Option(help="Name of a verifier; give several to compare them.")
    ] = None,
    label_column: Annotated[str, typer.Option(help="Column that says whether a response is right.")] = "",
    out: Annotated[
        Path | None, typer.Option("--json", help="One row per item: .jsonl holds a row per line, .json a list.")
    ] = None,
    timeout: Annotated[float, typer.Option(help="Wall-clock limit of one verdict, in seconds.", min=0.1)] = 5.0,
    workers: Annotated[int, typer.Option(help="Worker processes; 0 is one per usable core.", min=0)] = 0,
) -> None:
    """Grade a file of responses; prints verdicts, disagreements and the slowest items."""
    from r1zero.base.device import usable_cores
    from r1zero.base.log import Progress
    from r1zero.config import Rewards, Source
    from r1zero.data.read import sources
    from r1zero.evaluation.grade import grade, report, to_items
    from r1zero.grading.pool import ScorerPool
    from r1zero.rewards.catalog import verifier as look_up

    names = list(dict.fromkeys(verifier or ["math"]))
    for name in names:
        look_up(name)
    items = list(to_items(sources.read(Source(path=file)), file, gold_column, response_column, label_column))
    count = max(1, min(workers or usable_cores(), len(items)))
    progress = Progress("grading", len(items), "items")
    with ScorerPool.of(Rewards(timeout_seconds=timeout, workers=count)) as pool:
        graded = grade(items, names, pool, count, progress.advance)
    if out is not None:
        rows = [json.dumps(one.record()) for one in graded]
        out.write_text("".join(f"{row}\n" for row in rows) if out.suffix != ".json" else "[" + ",\n".join(rows) + "]\n")
    for line in report(graded, names):
        typer.echo(line)
