"""Stop strings: against a reference that decodes the whole response after every token."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from r1zero import config
from r1zero.engine.native import NativeEngine
from r1zero.engine.native.stopping import StopStrings, TokenTexts
from r1zero.engine.sampling import sampling_of
from r1zero.types import Sampling

from ..conftest import random_prompts, small_model
from ..data.prepared import TINY

CHARACTERS = ["a", "b", " ", "\n", ".", "é", "€", "😀", "▁"]
# GPT-2's letters for bytes: printable ones are themselves, the others follow from U+0100 on
_PRINTABLE = [*range(33, 127), *range(161, 173), *range(174, 256)]
_OTHERS = [byte for byte in range(256) if byte not in _PRINTABLE]
LETTERS = {byte: chr(byte) for byte in _PRINTABLE} | {byte: chr(256 + n) for n, byte in enumerate(_OTHERS)}


def tokenizer_of(vocabulary: Sequence[str], decoder: Any) -> Any:
    numbered = {text: number for number, text in enumerate(dict.fromkeys(vocabulary))}
    core = Tokenizer(models.BPE(vocab=numbered, merges=[]))
    if decoder is not None:
        core.decoder = decoder
    return PreTrainedTokenizerFast(tokenizer_object=core)


def byte_level(pieces: Sequence[bytes]) -> Any:
    """A byte-level BPE tokenizer with these tokens."""
    return tokenizer_of(["".join(LETTERS[byte] for byte in piece) for piece in pieces], decoders.ByteLevel())


def first_stop(tokenizer: Any, tokens: Sequence[int], stops: Sequence[str]) -> int | None:
    """After how many tokens the response ends."""
    test = StopStrings(TokenTexts(tokenizer), stops)
    return next((size for size in range(1, len(tokens) + 1) if test.completed_by(tokens[:size])), None)


def by_reference(tokenizer: Any, tokens: Sequence[int], stops: Sequence[str]) -> int | None:
    texts = (tokenizer.decode(list(tokens[:size])) for size in range(1, len(tokens) + 1))
    return next((size for size, text in enumerate(texts, start=1) if any(stop in text for stop in stops)), None)


texts = st.text(st.sampled_from(CHARACTERS), min_size=1, max_size=12)


@st.composite
def parts_of(draw: st.DrawFn, whole: Any) -> Any:
    """Something from `whole`, from anywhere to anywhere: of bytes also parts of characters."""
    start = draw(st.integers(0, len(whole) - 1))
    return whole[start : draw(st.integers(start + 1, len(whole)))]


def stops_in(text: str) -> st.SearchStrategy[list[str]]:
    """Stop strings that occur in a text, and others."""
    known = [part for part in text.split("\ufffd") if part]
    one = st.one_of(texts, *([st.sampled_from(known).flatmap(parts_of)] if known else []))
    return st.lists(one, min_size=1, max_size=3)


@settings(deadline=None, max_examples=300)
@given(st.data())
def test_byte_level_tokens_of_any_bytes(data: st.DataObject) -> None:
    single = sorted({byte for character in CHARACTERS for byte in character.encode()})
    longer = data.draw(st.lists(texts.flatmap(lambda text: parts_of(text.encode())), max_size=8))
    pieces = list(dict.fromkeys([*(bytes([byte]) for byte in single), *longer]))
    tokenizer = byte_level(pieces)
    if data.draw(st.booleans()):  # a text cut anywhere into tokens, or any tokens
        text = data.draw(st.text(st.sampled_from(CHARACTERS), max_size=40)).encode()
        tokens = []
        while text:
            fitting = [number for number, piece in enumerate(pieces) if text.startswith(piece)]
            tokens.append(data.draw(st.sampled_from(fitting)))
            text = text[len(pieces[tokens[-1]]) :]
    else:
        tokens = data.draw(st.lists(st.integers(0, len(pieces) - 1), max_size=60))
    stops = data.draw(stops_in(tokenizer.decode(tokens)))
    assert first_stop(tokenizer, tokens, stops) == by_reference(tokenizer, tokens, stops)


PIECES = ["a", "b", ".", "\n", "ab", "ba", "▁", "▁▁▁", "▁a", "▁ab", "b▁", "é", ".\n\n", "a\nb"]
SENTENCEPIECE = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
DECODERS = {
    "gemma": decoders.Sequence(SENTENCEPIECE),
    "llama2": decoders.Sequence([*SENTENCEPIECE, decoders.Strip(" ", 1, 0)]),
    "metaspace": decoders.Metaspace(),
    "spaces": None,  # a tokenizer without a decoder puts spaces between its tokens
    "suffix": decoders.BPEDecoder("▁"),
}


@settings(deadline=None, max_examples=100)
@given(st.data())
@pytest.mark.parametrize("name", DECODERS)
def test_other_decoders(name: str, data: st.DataObject) -> None:
    """With spaces that come and go at a text's edges, and characters spelled in bytes."""
    spelled = [[f"<0x{byte:02X}>" for byte in character.encode()] for character in ("€", "😀", "\n")]
    pieces = [piece for piece in PIECES if name != "suffix" or "▁" not in piece[:-1]]
    tokenizer = tokenizer_of([*pieces, *(byte for bytes_ in spelled for byte in bytes_)], DECODERS[name])
    words = data.draw(st.lists(st.sampled_from([*([piece] for piece in pieces), *spelled]), max_size=30))
    tokens = tokenizer.convert_tokens_to_ids([token for word in words for token in word])
    stops = data.draw(stops_in(tokenizer.decode(tokens)))
    assert first_stop(tokenizer, tokens, stops) == by_reference(tokenizer, tokens, stops)


@pytest.mark.parametrize(
    ("pieces", "stop", "ends"),
    [
        (["a", ".\n\n", "b"], "\n", 2),  # inside a token
        (["a.", "\n\n"], ".\n", 2),  # across two
        (["<", "/an", "sw", "er", ">\n"], "</answer>", 5),
        (list("Stop here, for this is the end of it all"), "Stop here, for this is the end of it al", 39),
        (["x"] * 500 + ["y"], "x" * 500, 500),
        (["x"] * 50, "y", None),
    ],
)
def test_whatever_tokens_carry_it(pieces: list[str], stop: str, ends: int | None) -> None:
    known = list(dict.fromkeys(pieces))
    tokenizer = byte_level([piece.encode() for piece in known])
    assert first_stop(tokenizer, [known.index(piece) for piece in pieces], [stop]) == ends


@pytest.mark.parametrize(
    ("name", "tokens", "stop"),
    [
        ("gemma", [f"<0x{byte:02X}>" for byte in ("😀" * 20 + "€").encode()], "😀€"),  # unreadable from some places
        ("metaspace", ["b", "▁▁▁▁", "a"], "   a"),  # a text's first token loses all its spaces
        ("suffix", ["a", "b▁", "a"], "b "),  # the space comes when the next token does
        ("spaces", ["a", "b", "a"], "b "),
    ],
)
def test_decoders_that_look_at_neighbours(name: str, tokens: list[str], stop: str) -> None:
    tokenizer = tokenizer_of(tokens, DECODERS[name])
    ids = tokenizer.convert_tokens_to_ids(tokens)
    assert first_stop(tokenizer, ids, [stop]) == by_reference(tokenizer, ids, [stop]) is not None


def test_few_tokens_are_decoded_however_long_the_response() -> None:
    """A policy that collapsed to one emoji, whose tokens are parts of a character, for ever."""
    decoded: list[int] = []

    class Counting(TokenTexts):
        def decode(self, tokens: Sequence[int]) -> str:
            decoded.append(len(tokens))
            return super().decode(tokens)

    parts = [bytes([byte]) for byte in "😀".encode()]
    test = StopStrings(Counting(byte_level(parts)), ["</answer>", "User:"])
    tokens = [0, 1, 2, 3] * 500
    assert not any(test.completed_by(tokens[:size]) for size in range(1, len(tokens), 7))
    assert max(decoded) < 20


def test_the_engine_stops_inside_a_token_and_keeps_it_whole(model: Any) -> None:
    tokenizer = byte_level([f"{n}, {n}\n\n{n} ".encode() if n % 10 == 7 else f"{n} ".encode() for n in range(97)])
    engine = NativeEngine(model, tokenizer, kv_cache_gib=0.1)
    sampling = Sampling(n=8, max_new_tokens=20, stop_strings=("\n",), seed=1)
    ((_, completions),) = engine.generate(random_prompts([5]), sampling)
    stopped = [completion for completion in completions if completion.finish_reason == "stop"]
    assert len(stopped) > 3
    for completion in completions:
        ids = completion.token_ids.tolist()
        assert not any(token % 10 == 7 for token in ids[:-1])
        assert (ids[-1] % 10 == 7) == (completion.finish_reason == "stop")
        assert completion.finish_reason == "stop" or len(ids) == 20


def test_a_recipes_stop_strings_are_looked_for_in_the_text() -> None:
    """Also those that are one token: others hold them too. By id only where the token is a control token."""
    tokenizer, model = AutoTokenizer.from_pretrained(str(TINY)), small_model()
    recipe = config.Rollout(max_new_tokens=9, stop=(".", "</answer>", "<|endoftext|>"))
    sampling = sampling_of(recipe, n=1, stop=(".", "User:"), model=model, tokenizer=tokenizer)
    assert sampling.stop_strings == (".", "User:", "</answer>", "<|endoftext|>")
    assert sampling.stop_token_ids == {model.generation_config.eos_token_id, tokenizer.eos_token_id}
    tokens = tokenizer("Ha wait, let me check. 1", add_special_tokens=False)["input_ids"]
    ends = first_stop(tokenizer, tokens, sampling.stop_strings)
    assert ends and tokenizer.decode(tokens[:ends]).endswith(" wait, let me check.")
