"""Cuts a chat format's shapes where a tokenizer cuts them anyway, so that what does not change is tokenised once.

A tokenizer splits its input at special tokens, and the rest into words by patterns that read from left to right. So a
shape such as `<|im_start|>user\\nSolve it step by step.\\n{content}<|im_end|>\\n` has the same tokens in three pieces:
`<|im_start|>user\\nSolve it step by`, ` step.\\n{content}` and `<|im_end|>\\n`. A shape is cut only if the tokenizer's
kind makes that certain, and if probes confirm it; else it stays whole, which is slower and no less right.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from tokenizers import Tokenizer

from r1zero.data.chat.formats import SHAPES, ChatFormat, Piece

_CONTENT = "{content}"
_NORMALIZERS = {"NFC", "NFD", "NFKC", "NFKD", "Lowercase", "Sequence"}
_PRE_TOKENIZERS = {"ByteLevel", "Split", "Digits", "Punctuation", "Sequence", "Whitespace", "WhitespaceSplit"}
_BETWEEN_WORDS = re.compile(r"(?<=[a-z])(?= [a-z])")
_PROBES = (
    "x",
    "X y",
    " x",
    "\n",
    "\n\nx",
    "  x ",
    "5",
    "$x^2$",
    "\\frac{1}{2}",
    "'s",
    "é",
    "问题 1",
    "\u0301x",
    "",
    ".\n",
)


def cut(format_: ChatFormat, tokenizer: Tokenizer) -> ChatFormat:
    """The format with the shapes in more pieces, where that cannot change a token."""
    settings = json.loads(tokenizer.to_str())
    if not _reads_from_left_to_right(settings):
        return format_
    special = [token["content"] for token in settings["added_tokens"] if _splits(token)]
    shapes = {name: getattr(format_, name) for name in SHAPES}
    return replace(
        format_,
        **{
            name: tuple(part for piece in shape for part in _parts(piece, special, tokenizer))
            for name, shape in shapes.items()
            if shape is not None
        },
    )


def _reads_from_left_to_right(settings: Mapping[str, Any]) -> bool:
    """Whether every step before the vocabulary treats a place by what follows it alone."""
    before = settings["pre_tokenizer"]
    kinds = set(_kinds(settings["normalizer"])) <= _NORMALIZERS and set(_kinds(before)) <= _PRE_TOKENIZERS
    return before is not None and kinds and "(?<" not in json.dumps(before)


def _kinds(part: Any) -> Iterator[str]:
    if isinstance(part, Mapping):
        if "type" in part:
            yield part["type"]
        for inner in part.values():
            yield from _kinds(inner)
    elif isinstance(part, list):
        for inner in part:
            yield from _kinds(inner)


def _splits(token: Mapping[str, Any]) -> bool:
    """Whether the text around an added token is tokenised as if it stood alone."""
    return not any(token[name] for name in ("lstrip", "rstrip", "normalized", "single_word"))


def _parts(piece: Piece, special: list[str], tokenizer: Tokenizer) -> tuple[Piece, ...]:
    if not isinstance(piece, str) or piece.count(_CONTENT) != 1:
        return (piece,)
    before, after = piece.split(_CONTENT)
    start = max((before.rfind(token) + len(token) for token in special if token in before), default=0)
    words = [found.start() for found in _BETWEEN_WORDS.finditer(before, start)]
    head = words[-1] if words else start
    tail = min((after.find(token) for token in special if token in after), default=len(after))
    parts = (before[:head], f"{before[head:]}{_CONTENT}{after[:tail]}", after[tail:])
    return tuple(part for part in parts if part) if _same(piece, parts, tokenizer) else (piece,)


def _same(piece: str, parts: tuple[str, ...], tokenizer: Tokenizer) -> bool:
    for probe in _PROBES:
        whole = tokenizer.encode(piece.replace(_CONTENT, probe), add_special_tokens=False).ids
        in_parts = [tokenizer.encode(part.replace(_CONTENT, probe), add_special_tokens=False).ids for part in parts]
        if whole != [token for ids in in_parts for token in ids]:
            return False
    return True
