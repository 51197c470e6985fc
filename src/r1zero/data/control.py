"""The texts that a tokenizer reads as control tokens, and what happens to text from outside that holds one: rows are
refused, responses on their way to a reward model or judge lose it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from r1zero.data.chat.formats import without_thoughts

_MARKER = re.compile(r"<[|\uff5c][^<>]+[|\uff5c]>")  # <|user|> and <｜User｜>, as turns begin in most chat templates


def control_tokens(tokenizer: Any) -> tuple[str, ...]:
    """Every text that a transformers tokenizer reads as a control token, whether or not it has a name such as
    eos_token: most of Llama 3's have none. Tokens that look like the mark of a turn are among them even where the
    tokenizer does not call them special, as DeepSeek-R1's does not."""
    added = tokenizer.added_tokens_decoder.values()
    marks = {token.content for token in added if token.special or _MARKER.fullmatch(token.content)}
    return tuple(sorted({*tokenizer.all_special_tokens, *marks} - {""}))


class ControlTokens:
    """Finds control tokens in a text, and takes them out."""

    def __init__(self, texts: Iterable[str]) -> None:
        longest_first = sorted({*texts} - {""}, key=lambda text: (-len(text), text))
        self._pattern = re.compile("|".join(map(re.escape, longest_first))) if longest_first else None
        self._longest = len(longest_first[0]) if longest_first else 0

    @classmethod
    def of(cls, tokenizer: Any) -> ControlTokens:
        """Those of a transformers tokenizer."""
        return cls(control_tokens(tokenizer))

    def find(self, text: str) -> str | None:
        """The first control token in a text, also one whose halves meet when a chat format cuts a thought out."""
        if self._pattern is None:
            return None
        found = self._pattern.search(text)
        if found is None and "</think>" in text:
            found = self._pattern.search(without_thoughts(text))
        return found.group() if found else None

    def remove(self, text: str) -> str:
        """The text without control tokens, also without those that come together when another one is taken out."""
        start = 0
        while self._pattern is not None and (found := self._pattern.search(text, start)):
            text = text[: found.start()] + text[found.end() :]
            start = max(0, found.start() - self._longest)
        return text
