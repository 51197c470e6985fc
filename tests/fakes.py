"""An engine that says what it is told."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from torch import Tensor

from r1zero.types import Completion, Prompt, Sampling


class ScriptedEngine:
    """Answers every prompt with the same texts, in turn, and stops."""

    def __init__(self, tokenizer: Any, texts: Sequence[str]) -> None:
        self.tokenizer, self.texts, self.version = tokenizer, texts, 0

    def generate(self, prompts: Sequence[Prompt], sampling: Sampling) -> Iterator[tuple[int, tuple[Completion, ...]]]:
        for index in range(len(prompts)):
            yield index, tuple(self._completion(self.texts[number % len(self.texts)]) for number in range(sampling.n))

    def _completion(self, text: str) -> Completion:
        ids = np.array(
            [*self.tokenizer(text, add_special_tokens=False)["input_ids"], self.tokenizer.eos_token_id], np.int32
        )
        logprobs = np.full(len(ids), -1.0, np.float32)
        return Completion(token_ids=ids, logprobs=logprobs, finish_reason="stop", versions=((self.version, len(ids)),))

    def check_room(self, longest: int, sampling: Sampling) -> None: ...

    def load_weights(self, weights: Iterable[tuple[str, Tensor]], version: int) -> None:
        self.version = version

    def sleep(self) -> None: ...

    def wake(self) -> None: ...

    def close(self) -> None: ...
