"""r1zero: reinforcement learning with verifiable rewards, the R1-Zero recipe. Start reading at `rl/loop.py`.

What a notebook needs is here (docs/python.md), loaded when it is used. Everything below `r1zero.` is for extensions
(docs/extend.md) and may change between versions.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from r1zero.api import Model, evaluate, grade, load_model, load_recipe, read_metrics, train
    from r1zero.base.errors import UsageError
    from r1zero.rewards.catalog import verifier_function
    from r1zero.types import Message, Problem, Score

__version__ = "0.1.0"
__all__ = [
    "Message",
    "Model",
    "Problem",
    "Score",
    "UsageError",
    "evaluate",
    "grade",
    "load_model",
    "load_recipe",
    "read_metrics",
    "train",
    "verifier_function",
]
_ELSEWHERE = {
    "Message": "r1zero.types",
    "Problem": "r1zero.types",
    "Score": "r1zero.types",
    "UsageError": "r1zero.base.errors",
    "verifier_function": "r1zero.rewards.catalog",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'r1zero' has no attribute '{name}'")
    return getattr(import_module(_ELSEWHERE.get(name, "r1zero.api")), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
