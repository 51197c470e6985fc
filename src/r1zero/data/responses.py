"""Sampled tokens as the text that is judged and kept."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Any

import numpy as np

_CLOSING_TAG = re.compile(r"</(?!s>)\w+>")  # `</s>` ends a turn


def response_text(tokenizer: Any, token_ids: np.ndarray, stop_token_ids: Collection[int]) -> str:
    """The text of a response [R] without the token that ended its turn. All other control tokens stay: `<think>` and
    `</answer>` are such tokens in many tokenizers, and a verifier looks for them, also for one that ends it."""
    ids = [int(token) for token in token_ids]
    if ids and ids[-1] in stop_token_ids and not _CLOSING_TAG.fullmatch(tokenizer.decode(ids[-1:])):
        ids.pop()
    return tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False)
