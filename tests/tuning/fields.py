"""Small rows as token fields."""

from __future__ import annotations

import numpy as np

from r1zero.data.handlers import IGNORED, Fields


def ids(*tokens: int) -> np.ndarray:
    return np.array(tokens, dtype=np.int32)


def answer_row(rng: np.random.Generator, prompt: int, answer: int, gap: int = 0) -> Fields:
    """A prompt, an answer that is learned, and with `gap` another question and answer behind it."""
    tokens = rng.integers(3, 97, prompt + answer + 2 * gap).astype(np.int32)
    labels = tokens.copy()
    labels[:prompt] = IGNORED
    labels[prompt + answer : prompt + answer + gap] = IGNORED
    return {"input_ids": tokens, "labels": labels}


def pair_row(rng: np.random.Generator, prompt: int, chosen: int, rejected: int) -> Fields:
    question = rng.integers(3, 97, prompt).astype(np.int32)
    fields: Fields = {}
    for side, length in (("chosen", chosen), ("rejected", rejected)):
        answer = rng.integers(3, 97, length).astype(np.int32)
        fields[f"{side}_input_ids"] = np.concatenate([question, answer])
        fields[f"{side}_labels"] = np.concatenate([np.full(prompt, IGNORED, np.int32), answer])
    return fields
