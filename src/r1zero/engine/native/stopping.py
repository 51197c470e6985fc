"""Stop strings: found in the decoded text, whatever tokens carry them.

A stop string may lie inside a token, begin in the middle of one and end in the middle of another, or be as long as many
of them. Decoding the whole response after every token would find it and cost more than sampling. So each token is asked
once what it can add to a text: most cannot end any stop string and cost a look into a dictionary. After the others the
last tokens are decoded, as many as have room for the longest stop string. They are counted in bytes, of which every
token's least number is known even where it holds but a part of a character.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

_PART = "\ufffd"  # what the bytes of an incomplete character decode to
_CHARACTER = 4  # bytes of the longest character


@dataclass(frozen=True, slots=True)
class _Adds:
    """What a token adds to a text."""

    characters: frozenset[str]  # all that it may add; _PART among them if it holds a part of a character
    bytes: int  # at least


class TokenTexts:
    """What the tokens of a tokenizer add to a text, found out when first asked. Good for the tokenizer's lifetime."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self._known: dict[int, _Adds] = {}

    def decode(self, tokens: Sequence[int]) -> str:
        return self._tokenizer.decode(list(tokens), skip_special_tokens=False, clean_up_tokenization_spaces=False)

    def adds(self, token: int) -> _Adds:
        """Told from the token alone and behind itself: many decoders take the space from a text's first token."""
        if token not in self._known:
            alone, twice = self.decode([token]), self.decode([token, token])
            characters = frozenset(alone + twice)
            whole = len(twice.replace(_PART, "").encode()) - len(alone.replace(_PART, "").encode())
            self._known[token] = _Adds(characters, max(whole, int(_PART in characters)))
        return self._known[token]


class StopStrings:
    """Says of a growing response, after each token, whether the text now holds a stop string."""

    def __init__(self, texts: TokenTexts, stop_strings: Sequence[str]) -> None:
        self._texts, self._stop_strings = texts, stop_strings
        self._last = frozenset(stop[-1] for stop in stop_strings)
        self._longest = max((len(stop.encode()) for stop in stop_strings), default=0)
        self._harmless: dict[int, bool] = {}

    def completed_by(self, tokens: Sequence[int]) -> bool:
        """Whether the newest of a response's tokens completed a stop string. `tokens` are all of its tokens."""
        if not self._stop_strings or self._is_harmless(tokens[-1]):
            return False
        return any(
            stop in text
            for text in (self._texts.decode(tokens[start:]) for start in self._starts(tokens))
            for stop in self._stop_strings
        )

    def _is_harmless(self, token: int) -> bool:
        """Whether no stop string can end in what the token adds. Decoders add spaces of their own between tokens, so
        any token may bring one."""
        if token not in self._harmless:
            characters = self._texts.adds(token).characters | {" "}
            self._harmless[token] = _PART not in characters and not self._last & characters
        return self._harmless[token]

    def _starts(self, tokens: Sequence[int]) -> range:
        """Where to begin to decode: the longest stop string has room between the first token, which may lose a space
        or a part of a character there, and the newest. Runs of byte tokens (SentencePiece's <0xE2>) are unreadable as
        a whole if one begins inside a character, so a part of a character may be the first in several places."""
        start = len(tokens) - 1
        room = self._longest
        while start > 0 and room > 0:
            start -= 1
            room -= self._texts.adds(tokens[start]).bytes
        start = max(0, start - 1)
        parted = _PART in self._texts.adds(tokens[start]).characters
        return range(start, max(-1, start - _CHARACTER) if parted else start - 1, -1)
