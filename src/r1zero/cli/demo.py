"""`r1zero demo [--tiny] [a.b=c ...]`"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from r1zero.cli.arguments import Overrides

if TYPE_CHECKING:
    from r1zero.config import Recipe


def command(
    overrides: Overrides = None,
    tiny: Annotated[
        bool, typer.Option(help="The miniature: a base model of 0.8 M parameters learns to write its steps.")
    ] = False,
) -> None:
    """Watch a base model learn to reason: evaluate, train by RL, evaluate again, show what changed."""
    from r1zero.base.log import duration, log
    from r1zero.config import Recipe, load
    from r1zero.models import fetch
    from r1zero.rl.run import run as train

    recipe = load(Recipe, "demo_tiny" if tiny else "demo", overrides or [])
    fetch.resolve(recipe.model.path)
    run = Path(recipe.run.dir)
    _set_aside(run)
    start = time.monotonic()
    train(recipe)
    summary = summarise(recipe, run) | {"total_seconds": time.monotonic() - start}
    (run / "summary.json").write_text(json.dumps(summary, indent=1) + "\n")
    typer.echo(_before_and_after(run))
    for name, value in summary.items():
        typer.echo(f"{name:24} {value:.3f}" if isinstance(value, float) else f"{name:24} {value}")
    log.info(f"done in {duration(summary['total_seconds'])}; open {run / 'report.html'}")


def summarise(recipe: Recipe, run: Path) -> dict[str, Any]:
    """What the demo claims, from the run folder: accuracies are pass@1 on held-out problems."""
    from r1zero.report import read
    from r1zero.run.metrics import read_metrics

    (_, base), *_, (_, final) = read.evaluations(run)
    steps = [record for record in read_metrics(run / "metrics.jsonl") if "seconds/step" in record]
    summary: dict[str, Any] = {"model": recipe.model.path}
    for name in ("accuracy", "greedy_accuracy", "response_length", "reflection_rate"):
        for when, metrics in (("base", base), ("final", final)):
            summary[f"{when}_{name}"] = metrics[f"evaluation/{name}"]
    summary["heldout_problems"] = int(final["evaluation/problems"])
    # evaluations and saves are not learning
    outside = ("seconds/evaluate", "seconds/save")
    summary["rl_seconds"] = sum(
        record["seconds/step"] - sum(record.get(name, 0) for name in outside) for record in steps
    )
    summary["rl_steps"] = len(steps)
    summary["seed"] = recipe.run.seed
    return summary


def _set_aside(run: Path) -> None:
    """A demo that ran before is kept under another name."""
    if not (run / "config.yaml").exists():
        return
    from r1zero.base.log import log

    number = next(number for number in range(1, 10_000) if not run.with_name(f"{run.name}.{number}").exists())
    run.rename(run.with_name(f"{run.name}.{number}"))
    log.info(f"the demo that ran before is now {run.name}.{number}")


def _before_and_after(run: Path, count: int = 4) -> str:
    """A few problems whose answers changed most."""
    from r1zero.report import read

    evaluations = read.evaluations(run)
    before, after = (read.answers(run, evaluations[place][0]) for place in (0, -1))
    keys = sorted(before, key=lambda key: (before[key].share_right - after[key].share_right, key))[:count]
    blocks = [
        f"problem  {before[key].question}   (answer {before[key].answer})\n"
        f"  before  {before[key].sampled[0]!r}\n  after   {after[key].sampled[0]!r}\n"
        for key in keys
    ]
    return "\n" + "\n".join(blocks)
