"""A longer context for a model that was trained on a shorter one."""

from __future__ import annotations

from typing import Any

from r1zero.base.errors import UsageError
from r1zero.models import fetch
from r1zero.models.loading import loading


def context_changes(
    path: str, *, rope_theta: float | None, context: int | None, trust_remote_code: bool = False
) -> dict[str, Any]:
    """Values of a model's config: another base of its rotary embedding (a larger one turns slower, so that positions
    the model never saw look like ones it did: arXiv 2309.16039), and more positions. Raises UsageError for a model
    without them."""
    from transformers import AutoConfig

    if rope_theta is None and context is None:
        return {}
    local = fetch.resolve(path)
    with loading(f"model.path = '{path}'", local):
        config = AutoConfig.from_pretrained(local, trust_remote_code=trust_remote_code)
    changes: dict[str, Any] = {}
    if rope_theta is not None:
        rope = getattr(config, "rope_parameters", None)
        if not rope or "rope_theta" not in rope:
            raise UsageError(f"model.rope_theta = {rope_theta:g}: {config.model_type} has no single one; remove it")
        changes["rope_parameters"] = {**rope, "rope_theta": rope_theta}
    if context is not None:
        if not hasattr(config, "max_position_embeddings"):
            raise UsageError(f"model.context = {context}: {config.model_type} does not say it; remove it")
        changes["max_position_embeddings"] = context
    return changes
