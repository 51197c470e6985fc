"""From a recipe's rollout settings to an engine: an entry of `ENGINES`, here or of an installed package."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from r1zero import config
from r1zero.base import registry
from r1zero.base.errors import UsageError, suggest
from r1zero.engine.base import RolloutEngine
from r1zero.engine.native import NativeEngine
from r1zero.engine.remote import RemoteEngine


def native(settings: config.Rollout, model: Any, tokenizer: Any) -> NativeEngine:
    """Samples from the trainer's own model, in its process."""
    return NativeEngine(model, tokenizer, kv_cache_gib=settings.kv_cache_gib, compiled=settings.compile)


def remote(settings: config.Rollout, model: Any, tokenizer: Any) -> RemoteEngine:
    """A server samples, whatever model is loaded here; both must have the same tokens."""
    return RemoteEngine(settings.remote, len(tokenizer))


ENGINES: dict[str, Callable[[config.Rollout, Any, Any], RolloutEngine]] = registry.with_installed(
    "engines", {"native": native, "remote": remote}
)


def open_engine(settings: config.Rollout, model: Any, tokenizer: Any) -> RolloutEngine:
    """The engine that `settings.engine` names, for a loaded model. Raises UsageError for an unknown name."""
    if settings.engine not in ENGINES:
        raise UsageError(f"rollout.engine = '{settings.engine}': unknown engine{suggest(settings.engine, ENGINES)}")
    return ENGINES[settings.engine](settings, model, tokenizer)
