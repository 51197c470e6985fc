"""What a user sees instead of a traceback."""

import difflib
from collections.abc import Iterable


class UsageError(ValueError):
    """A mistake in a recipe, a command or a file: the message names the field, the value and the remedy."""


class Interrupted(Exception):
    """Ctrl-C was pressed and the step in progress may be abandoned: no weight has changed since it began."""


def suggest(word: str, known: Iterable[str]) -> str:
    """The remedy for an unknown name. Example: `; did you mean 'acc'?` or `; known: acc, base_acc`."""
    names = sorted(known)
    close = difflib.get_close_matches(word, names, n=1, cutoff=0.6)
    return f"; did you mean '{close[0]}'?" if close else f"; known: {', '.join(names)}"
