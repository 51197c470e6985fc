"""What a reward model is shown: the same when it is trained and when it scores."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from r1zero.types import Message


def judged_ids(tokenizer: Any, turns: Sequence[Message], text: str | None) -> list[int]:
    """The tokens of a chat and the response to it; `text` None is the chat up to the response. `tokenizer` is a
    transformers one; without a chat template the turns are put one below the other."""
    if tokenizer.chat_template:
        chat = [{"role": turn.role, "content": turn.content} for turn in turns]
        if text is not None:
            chat.append({"role": "assistant", "content": text})
        rendered = tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=text is None)
        return list(tokenizer(rendered, add_special_tokens=False)["input_ids"])
    asked = "\n".join(turn.content for turn in turns)
    if text is not None:
        return list(tokenizer(asked, text)["input_ids"])  # a pair, as classifiers of the BERT family take it
    return list(tokenizer(asked + "\n")["input_ids"])


def judged_steps(
    tokenizer: Any, turns: Sequence[Message], steps: Sequence[str], mark: str
) -> tuple[list[int], list[int]]:
    """The tokens of a chat and a response in steps, each followed by `mark`, and where each step's last token is."""
    ids, ends = judged_ids(tokenizer, turns, None), []
    for step in steps:
        ids += tokenizer(step + mark, add_special_tokens=False)["input_ids"]
        ends.append(len(ids) - 1)
    return ids, ends
