"""The `r1zero` command: errors of the user become one message and exit code 2."""

from __future__ import annotations

import sys

import typer

from r1zero import log
from r1zero.cli import curate, demo, evaluate, grade, model, prepare, pretrain, report, serve_rewards, train
from r1zero.errors import Interrupted, UsageError

app = typer.Typer(
    help="Train language models to reason by reinforcement learning with verifiable rewards.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command("train")(train.command)
app.command("evaluate")(evaluate.command)
app.command("demo")(demo.command)
app.command("curate")(curate.command)
app.command("prepare")(prepare.command)
app.command("pretrain")(pretrain.command)
app.command("grade")(grade.command)
app.command("report")(report.command)
app.command("serve-rewards")(serve_rewards.command)
app.add_typer(model.app, name="model")


def main() -> None:
    log.to_console()
    try:
        app()
    except UsageError as error:
        print(f"r1zero: {error}", file=sys.stderr)
        sys.exit(2)
    except Interrupted:
        sys.exit(130)


if __name__ == "__main__":
    main()
