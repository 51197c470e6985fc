"""Who judges: killable, contained workers, programs in a sandbox, a reward server, reward models, a model as judge."""

from r1zero.grading import code as _code  # noqa: F401 (its verifiers are named like any other)
