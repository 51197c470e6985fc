"""Shapes in pieces give the tokens of the whole, or are not cut."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from tokenizers import AddedToken, Tokenizer, models, normalizers, pre_tokenizers
from transformers import AutoTokenizer

from r1zero.data.chat.cuts import cut
from r1zero.data.chat.formats import BOS, EOS, ChatFormat, Piece, format_names, load_format
from r1zero.models.fetch import TINY
from r1zero.types import Message

HARD = [
    "x",
    " leading",
    "\n\nlines",
    "'s",
    "$x$",
    "ünï",
    "\u0301accent",
    "问题",
    "{content}",
    "tail \n",
    "  ",
    "5 10",
    "by step.",
]


def byte_level() -> Tokenizer:
    core = AutoTokenizer.from_pretrained(str(TINY)).backend_tokenizer
    core.add_special_tokens(["<|im_start|>", "<|im_end|>", "<start_of_turn>", "<end_of_turn>"])
    return core


def words(**parts: Any) -> Tokenizer:
    """A tokenizer of whole words, whose ids tell where words end."""
    vocabulary = {"[UNK]": 0}
    core = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    for name, part in parts.items():
        setattr(core, name, part)
    return core


def ids(core: Tokenizer, pieces: Sequence[Piece]) -> list[Any]:
    """Special tokens as they are, texts as ids."""
    found: list[Any] = []
    for piece in pieces:
        found += core.encode(piece, add_special_tokens=False).ids if isinstance(piece, str) else [piece]
    return found


@pytest.mark.parametrize("name", format_names())
def test_all_formats_have_the_same_tokens_in_pieces(name: str) -> None:
    core, whole = byte_level(), load_format(name)
    parts = cut(whole, core)
    for text in HARD:
        dialogue = [Message("user", text), Message("assistant", text), Message("observation", text)]
        dialogue.append(Message("assistant", text))
        for expected, found in zip(whole.turns(dialogue, text), parts.turns(dialogue, text), strict=True):
            assert ids(core, found.source) == ids(core, expected.source), text
            assert ids(core, found.target) == ids(core, expected.target), text


def test_what_stays_is_a_piece_of_its_own() -> None:
    shape = ("<|im_start|>user\nSolve it step by step.\n{content}<|im_end|>\n<|im_start|>assistant\n",)
    parts = cut(ChatFormat(name="x", user=shape, assistant=(BOS, "{content}", EOS)), byte_level())
    assert parts.user == (
        "<|im_start|>user\nSolve it step by", " step.\n{content}", "<|im_end|>\n<|im_start|>assistant\n"
    )  # fmt: skip
    assert parts.assistant == (BOS, "{content}", EOS)


@pytest.mark.parametrize(
    "parts",
    [
        {},  # one word from the beginning to the end
        {"pre_tokenizer": pre_tokenizers.Metaspace()},
        {"pre_tokenizer": pre_tokenizers.Whitespace(), "normalizer": normalizers.Prepend("_")},
        {"pre_tokenizer": pre_tokenizers.Split("(?<=b)y", "isolated")},
    ],
)
def test_tokenizers_that_look_back_are_left_alone(parts: dict[str, Any]) -> None:
    format_ = ChatFormat(name="x", user=("Solve it step by step.\n{content}",))
    assert cut(format_, words(**parts)) == format_


def test_special_tokens_that_take_space_along_are_no_place_to_cut() -> None:
    core = words(pre_tokenizer=pre_tokenizers.Whitespace())
    core.add_special_tokens([AddedToken("<e>", lstrip=True, special=True)])
    format_ = ChatFormat(name="x", user=("{content}<e>",))
    assert cut(format_, core) == format_


def test_probes_have_the_last_word() -> None:
    """A pattern that joins what usually stands apart: a cut that looks certain, and is not."""
    core = words(pre_tokenizer=pre_tokenizers.Split("by step", "isolated"))
    core.add_tokens(["by step"])
    format_ = ChatFormat(name="x", user=("Solve it step by step.\n{content}",))
    assert cut(format_, core) == format_
