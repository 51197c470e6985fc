"""Proof that a model's weights came from its files: transformers fills what it does not find with random numbers, and
passes over what it has no place for."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from r1zero.base.errors import UsageError

LM_HEAD = frozenset({"lm_head.weight", "lm_head.bias"})  # what a critic or reward model has no use for


def refuse_incomplete(
    report: Mapping[str, Any], where: str, *, new: Collection[str] = (), unused: Collection[str] = ()
) -> None:
    """Raises UsageError, which begins with `where`, unless the loading report of `from_pretrained` says that every
    weight was found and every tensor used. `new` may be missing, `unused` may be left over."""
    missing = sorted({str(name) for name in report["missing_keys"]} - set(new))
    if missing:
        raise UsageError(
            f"{where}: {missing[0]}{_more(missing)} not in the files, and would be random; choose a complete model"
        )
    surplus = sorted({str(name) for name in report["unexpected_keys"]} - set(unused))
    if surplus:
        raise UsageError(
            f"{where}: the files hold {surplus[0]}{_more(surplus)}, for which this kind of model has no place; "
            f"its config.json describes another model"
        )
    if report["mismatched_keys"]:
        first = sorted(map(str, report["mismatched_keys"]))[0]
        raise UsageError(f"{where}: shapes differ from its config.json's: {first}; choose a complete model")


def _more(names: Collection[str]) -> str:
    return f" and {len(names) - 1} more" if len(names) > 1 else ""
