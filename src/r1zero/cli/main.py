"""The `r1zero` command: errors of the user become one message and exit code 2."""

from __future__ import annotations

import errno
import importlib.metadata
import os
import sys
from typing import Annotated

import typer

from r1zero.base import log, registry
from r1zero.base.errors import Interrupted, UsageError
from r1zero.cli import curate, demo, evaluate, grade, model, prepare, pretrain, report, serve_rewards, train

app = typer.Typer(
    help="Train language models to reason by reinforcement learning with verifiable rewards.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def _show_version(wanted: bool) -> None:
    if wanted:
        print(f"r1zero {importlib.metadata.version('r1zero')}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Train language models to reason by reinforcement learning with verifiable rewards."""


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
_OWN = {command.name for command in (*app.registered_commands, *app.registered_groups)}
for _name, _entry in registry.declared("commands").items():
    try:
        if _name in _OWN:
            raise UsageError(f"entry point r1zero.commands:{_name}: r1zero has a command of this name; rename it")
        app.command(_name)(registry.loaded(_entry))
    except UsageError as _error:  # a package that is broken takes no other command along
        log.log.warning(str(_error))

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)


def main() -> None:
    log.to_console()
    try:
        app()
    except UsageError as error:
        print(f"r1zero: {error}", file=sys.stderr)
        sys.exit(2)
    except Interrupted:
        sys.exit(130)
    except KeyboardInterrupt:
        print("r1zero: stopped at once", file=sys.stderr)
        sys.stderr.flush()
        os._exit(130)  # threads that wait for graders or for a network are not waited for
    except OSError as error:
        if error.errno not in _NO_ROOM:
            raise
        print(f"r1zero: {error.filename or 'a file'}: {error.strerror}; make room and continue", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
