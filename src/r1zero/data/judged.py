"""What a reward model is shown: the same when it is trained and when it scores."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from r1zero.data.chat.templates import apply_template
from r1zero.types import Message


def judged_ids(tokenizer: Any, turns: Sequence[Message], text: str | None) -> list[int]:
    """The tokens of a chat and the response to it; `text` None is the chat up to the response. `tokenizer` is a
    transformers one; without a chat template the turns are put one below the other."""
    if tokenizer.chat_template:
        chat = [*turns, *([] if text is None else [Message("assistant", text)])]
        rendered = apply_template(tokenizer, chat, add_generation_prompt=text is None)
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


def last_token(tokenizer: Any, text: str) -> int:
    """The last token of a word that is a judgement: some tokenizers put a mark of the word's beginning before it."""
    return int(tokenizer(text, add_special_tokens=False)["input_ids"][-1])


def can_pad(tokenizer: Any) -> bool:
    """Whether there is a token for padding alone. One that is the end token too would look like a text's end, and
    transformers' classifiers score the last token that is not padding."""
    return tokenizer.pad_token_id is not None and tokenizer.pad_token_id != tokenizer.eos_token_id
