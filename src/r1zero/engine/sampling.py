"""From a recipe's rollout settings to how an engine samples."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from r1zero import config
from r1zero.data.control import control_tokens
from r1zero.models.load import stop_token_ids
from r1zero.types import Sampling


def sampling_of(settings: config.Rollout, *, n: int, stop: Sequence[str], model: Any, tokenizer: Any) -> Sampling:
    """How a recipe samples `n` rollouts of a prompt; `stop` are the template's stop strings. All are looked for in the
    text, since any other token may hold one too; a control token ends a response by its id as well."""
    stop_strings = dict.fromkeys((*stop, *settings.stop))
    control = {*stop_strings} & {*control_tokens(tokenizer)}
    ids = (tokenizer(token, add_special_tokens=False)["input_ids"] for token in control)
    stop_tokens = stop_token_ids(model, tokenizer) | {found[0] for found in ids if len(found) == 1}
    return Sampling(
        n=n,
        temperature=settings.temperature,
        top_k=settings.top_k,
        top_p=settings.top_p,
        min_p=settings.min_p,
        max_new_tokens=settings.max_new_tokens,
        stop_token_ids=stop_tokens,
        stop_strings=tuple(stop_strings),
    )
