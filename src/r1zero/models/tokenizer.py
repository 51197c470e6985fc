"""A tokenizer without its model."""

from __future__ import annotations

from typing import Any

from r1zero.models import fetch
from r1zero.models.loading import check_tokenizer, loading


def load_tokenizer(path: str, *, trust_remote_code: bool = False, key: str = "tokenizer_name_or_path") -> Any:
    """A transformers tokenizer. `path` is a folder, a Hugging Face id, or a name that `r1zero model list` shows. Raises
    UsageError, which names `key`, when there is nothing to load."""
    from transformers import AutoTokenizer

    where, local = f"{key} = '{path}'", fetch.resolve(path)
    with loading(where, local, otherwise="no such folder, and not a tokenizer the hub gives"):
        tokenizer = AutoTokenizer.from_pretrained(local, trust_remote_code=trust_remote_code)
        check_tokenizer(tokenizer, where)
    return tokenizer
