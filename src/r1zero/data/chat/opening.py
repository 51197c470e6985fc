"""What a chat template's generation prompt already says in the assistant's name, `<think>` above all.

The model goes on from there, so it is the beginning of the response: a verifier that did not see it would find a
thought that ends and never began.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from itertools import takewhile

from r1zero.data.read.cells import BadRow
from r1zero.types import Message

_QUESTION, _ANSWER = "r1zeroquestion", "r1zeroanswer"
_THOUGHT = re.compile(
    r"<(?:\w+:)?(?:think(?:ing)?|thoughts?|reason(?:ing)?|analysis|scratchpad|answer)>\s*\Z", re.IGNORECASE
)


def begun(render: Callable[[Sequence[Message], bool], str], control: Iterable[str]) -> str:
    """The end of a generation prompt that belongs to the response. `render(turns, generation_prompt)` is the text of a
    chat, or raises BadRow; `control` are the tokenizer's control tokens.

    It is what no answer of an earlier turn begins with: such a turn shows where the assistant's header ends. Templates
    that begin every answer with the same thought are told by the tag that stays open.
    """
    question = [Message("user", _QUESTION)]
    prompt = _rendered(render, question, True).rpartition(_QUESTION)[2]
    longest = opened_thought(prompt)
    turns = [token for token in control if "think" not in token.lower()]
    answered = [*question, Message("assistant", _ANSWER)]
    for chat in ([*answered, *question], answered):
        header, answer, _ = _rendered(render, chat, False).partition(_QUESTION)[2].partition(_ANSWER)
        alike = takewhile(lambda pair: pair[0] == pair[1], zip(prompt, header, strict=False))
        rest = prompt[sum(1 for _ in alike) :]
        if answer and rest != prompt and not any(token in rest for token in turns):
            longest = max(longest, rest, key=len)
    return longest if longest.strip() else ""


def opened_thought(prompt: str) -> str:
    """The tag of a thought that a prompt's end opens, or nothing."""
    found = _THOUGHT.search(prompt)
    return found.group() if found else ""


def _rendered(render: Callable[[Sequence[Message], bool], str], chat: Sequence[Message], generation: bool) -> str:
    try:
        return render(chat, generation)
    except BadRow:
        return ""
