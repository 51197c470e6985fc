"""A tokenizer without its model."""

from __future__ import annotations

from typing import Any

from r1zero.errors import UsageError
from r1zero.models import fetch


def load_tokenizer(path: str, *, trust_remote_code: bool = False) -> Any:
    """A transformers tokenizer. `path` is a folder, a Hugging Face id, or a name that `r1zero model list` shows. Raises
    UsageError when there is nothing to load."""
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(fetch.resolve(path), trust_remote_code=trust_remote_code)
    except (OSError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise UsageError(
            f"tokenizer_name_or_path = '{path}': no such folder, and not a tokenizer the hub gives: {reason}; "
            "`r1zero model list` shows what r1zero brings"
        ) from None
